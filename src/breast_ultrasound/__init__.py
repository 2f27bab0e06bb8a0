"""A reproducible workflow for classifying breast ultrasound images (BreastMNIST).

For scripts there is `load`, which stays as it is; all else may change with every version:

    import breast_ultrasound as bu

    probability = bu.load("models/release").predict(images)
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breast_ultrasound.scripting import Model

__all__ = ["load"]


def load(folder: str | Path) -> "Model":
    """Return the model of a folder that `dvc repro` or `make release` wrote.

    Call it before the first use of torch: it limits the process to the model's arithmetic, and what
    torch has begun with cannot be changed (other last digits).

    Raises:
        InputError: there is no model, or a part is missing or damaged. It is a ValueError.
    """
    from breast_ultrasound.scripting import Model

    return Model(Path(folder))
