"""A hash of one tiny training: whether two machines compute the same bytes.

    python -m tools.digest

It trains on generated phantoms in this process, in seconds, in the arithmetic that any x86-64 since
2013 has.
"""

import numpy as np

from breast_ultrasound.model.arithmetic import apply_limits, limits
from tools.workspace import TINY, merged, shipped_params

# Whatever the augmentation can do: as shipped, nothing is cut out.
SMALL = {
    "training": {"n_epochs": 2, "batch_size": 16},
    "augment": {"cutout": 0.3},
}
N_TRAIN, N_SCORE = 40, 20


def main() -> None:
    """Print the hashes of what goes in, and of the logits and weights that come out."""
    apply_limits(limits("portable"))
    images, result = _inputs_and_result()
    print(f"images: {images}")
    print(f"digest: {result}")


def _inputs_and_result() -> tuple[str, str]:
    from breast_ultrasound.data.image_set import SPLITS
    from breast_ultrasound.data.official import FILE_LABEL_MALIGNANT
    from breast_ultrasound.data.phantom import make_phantoms
    from breast_ultrasound.model.training import TrainingConfig
    from breast_ultrasound.params import Params
    from breast_ultrasound.runs.run import Run, digest_of, train

    params = Params.model_validate(merged(merged(shipped_params(), TINY), SMALL))
    config = TrainingConfig(
        lr=0.01,
        model=params.model,
        training=params.training,
        augment=params.augment,
        test_time_augmentation=True,
        recalibrate_batch_norm=True,
    )
    arrays = make_phantoms(N_TRAIN + N_SCORE, seed=0)
    images = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    labels = np.concatenate([arrays[f"{split}_labels"][:, 0] for split in SPLITS])
    indices = np.arange(len(images))
    run = Run(config, 0, indices[:N_TRAIN], indices[N_TRAIN:], keep_weights=True)
    result = train(run, images, labels == FILE_LABEL_MALIGNANT)
    weights = {f"weights/{name}": array for name, array in result.weights.items()}
    return digest_of(arrays), digest_of({"logits": result.logits, **weights})


if __name__ == "__main__":
    main()
