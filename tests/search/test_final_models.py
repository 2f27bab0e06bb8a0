from dataclasses import replace

import numpy as np
import pytest

from breast_ultrasound.data.dataset import SPLITS, ImageSet
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.run import RunResult
from breast_ultrasound.search.final_models import history_of, images_without, plan_models


def test_the_control_lacks_as_many_of_each_class_and_knows_the_duplicates(dev: ImageSet) -> None:
    everything = images_without("nothing", dev, 0)
    retrained, control = (images_without(name, dev, 0) for name in ("leaked", "others"))
    assert np.array_equal(everything, np.arange(len(dev)))
    assert not dev.leaked[retrained].any()
    assert dev.leaked.sum() == dev.leaked[control].sum() > 0
    assert len(control) == len(retrained) == len(dev) - dev.leaked.sum()
    assert dev.malignant[control].sum() == dev.malignant[retrained].sum()
    assert np.array_equal(control, images_without("others", dev, 0))
    assert not np.array_equal(control, images_without("others", dev, 1))


def test_a_control_that_cannot_lack_as_many_is_warned_of(
    dev: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    images_without("others", dev, 0)
    assert not capsys.readouterr().err
    images_without("others", replace(dev, leaked=np.arange(len(dev)) % 4 > 0), 0)
    assert "raise preprocess.near_duplicate_correlation" in capsys.readouterr().err


def test_each_model_learns_from_its_own_images(
    config: TrainingConfig, dev: ImageSet, tiny_params: Params
) -> None:
    final = tiny_params.final.model_copy(update={"n_seeds": 3})
    plan = plan_models(config, final, tiny_params.baseline, None, dev, seed=0)
    assert [len(runs) for runs in plan.values()] == [1, 3, 3, 3]
    (baseline,) = plan["baseline"]
    assert (dev.split[baseline.train] == SPLITS.index("train")).all()
    assert (dev.split[baseline.score] == SPLITS.index("val")).all()
    for name, left_out in (("final", "nothing"), ("retrained", "leaked"), ("control", "others")):
        for run in plan[name]:
            assert np.array_equal(run.train, images_without(left_out, dev, 0))
    seeds = [[run.seed for run in plan[name]] for name in ("final", "retrained", "control")]
    assert seeds[0] == seeds[1] == seeds[2]
    assert len({baseline.seed, *seeds[0]}) == 4


def test_a_history_has_a_row_an_epoch() -> None:
    def result(*losses: float, val_auc: tuple[float, ...] = ()) -> RunResult:
        return RunResult(np.zeros(0, np.float32), np.array(losses), np.array(val_auc))

    names, rows = history_of([result(4, 2), result(2, 1)])
    assert names == ["epoch", "train_loss", "member_0", "member_1"]
    assert rows == [[1, 3, 4, 2], [2, 1.5, 2, 1]]
    names, rows = history_of([result(4, 2, val_auc=(0.5, 0.75))])
    assert names == ["epoch", "train_loss", "member_0", "val_auc"]
    assert rows == [[1, 4, 4, 0.5], [2, 2, 2, 0.75]]
