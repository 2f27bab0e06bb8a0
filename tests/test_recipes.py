import numpy as np

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.recipes import images_without


def test_the_control_lacks_as_many_of_each_class_and_knows_the_twins(dev: ImageSet) -> None:
    everything = images_without("nothing", dev, 0)
    retrained, control = (images_without(name, dev, 0) for name in ("leaked", "others"))
    assert np.array_equal(everything, np.arange(len(dev)))
    assert not dev.leaked[retrained].any()
    assert dev.leaked.sum() == dev.leaked[control].sum() > 0
    assert len(control) == len(retrained) == len(dev) - dev.leaked.sum()
    assert dev.malignant[control].sum() == dev.malignant[retrained].sum()
    assert np.array_equal(control, images_without("others", dev, 0))
    assert not np.array_equal(control, images_without("others", dev, 1))
