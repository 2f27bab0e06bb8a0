"""A hash of a few tiny trainings: whether two machines compute the same bytes.

    python -m tools.digest

It trains on generated phantoms in this process, in seconds, in the arithmetic that any x86-64 since
2013 has.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.model.arithmetic import apply_limits, limits
from tools.workspace import TINY, merged, shipped_params

# Whatever the augmentation can do: as shipped, nothing is cut out.
SMALL = {
    "training": {"n_epochs": 2, "batch_size": 16},
    "augment": {"cutout": 0.3},
}
# Between them every loss, stem and optimiser.
TRAININGS: tuple[dict[str, Any], ...] = (
    {"training": {"loss": "bce"}, "model": {"stem": "small"}},
    {
        "training": {"loss": "focal", "optimizer": "sgd"},
        "model": {"stem": "small_strided", "input_size": 40, "dropout": 0.2},
    },
    {
        "training": {"loss": "pairwise_auc"},
        "model": {"stem": "imagenet", "blocks": [2, 2, 2, 2], "standardise": "global"},
    },
)
N_TRAIN, N_SCORE = 40, 20


def main() -> None:
    """Print the hashes of what goes in, and of the logits and weights that come out."""
    apply_limits(limits("portable"))
    from breast_ultrasound.data.phantom import make_phantoms
    from breast_ultrasound.runs.run import digest_of

    arrays = make_phantoms(N_TRAIN + N_SCORE, seed=0)
    print(f"images: {digest_of(arrays)}")
    results = [_train(arrays, changes) for changes in TRAININGS]
    found = {f"{i}/{name}": array for i, r in enumerate(results) for name, array in r.items()}
    print(f"digest: {digest_of(found)}")


def _train(
    arrays: dict[str, NDArray[np.uint8]], changes: dict[str, Any]
) -> dict[str, NDArray[np.float32]]:
    """Return the logits and weights of a tiny training with changed parameters."""
    from breast_ultrasound.data.image_set import SPLITS
    from breast_ultrasound.data.official import FILE_LABEL_MALIGNANT
    from breast_ultrasound.model.training import TrainingConfig
    from breast_ultrasound.params import Params
    from breast_ultrasound.runs.run import Run, train

    content = merged(merged(merged(shipped_params(), TINY), SMALL), changes)
    params = Params.model_validate(content)
    config = TrainingConfig(
        lr=0.01,
        model=params.model,
        training=params.training,
        augment=params.augment,
        test_time_augmentation=True,
        recalibrate_batch_norm=True,
    )
    images = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    labels = np.concatenate([arrays[f"{split}_labels"][:, 0] for split in SPLITS])
    indices = np.arange(len(images))
    run = Run(config, 0, indices[:N_TRAIN], indices[N_TRAIN:], keep_weights=True)
    result = train(run, images, labels == FILE_LABEL_MALIGNANT)
    return {"logits": result.logits, **result.weights}


if __name__ == "__main__":
    main()
