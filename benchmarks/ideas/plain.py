"""The training that ideas change."""

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.runs.execute import find_hardware
from breast_ultrasound.runs.run import Run, RunResult, train


def plain(run: Run, dev: ImageSet) -> RunResult:
    """Train as the pipeline does, on the CPU."""
    return train(run, dev.images, dev.malignant, find_hardware("cpu"))
