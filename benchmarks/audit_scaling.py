"""How long the search for near-duplicates takes, and how much memory, as the image set grows.

Each image is a blend of two of dev, one of them mirrored: as ultrasound images, they are alike,
which is what makes a search slow. One in a hundred is a noisy copy of another, mirrored or not; all
copies must be found. Each size runs in a process of its own, so that its peak memory is its own.
Run after `dvc repro`.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import find_near_duplicates
from tools.workspace import ROOT

SIZES = (1_000, 10_000, 100_000)


def make_images(n_images: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (N, 28, 28) uint8, and the pairs, (P, 2), of planted copies among them."""
    rng = np.random.default_rng(0)
    dev = ImageSet.load(ROOT / "data/processed/dev.npz").images
    first, second = dev[rng.integers(len(dev), size=(2, n_images))]
    share = rng.uniform(0.3, 0.7, (n_images, 1, 1)).astype(np.float32)
    images = (share * first + (1 - share) * second[:, :, ::-1]).astype(np.uint8)
    original = np.arange(n_images // 100)
    copy = n_images - len(original) + original
    noisy = images[original] + rng.normal(0, 3, (len(original), 28, 28))
    noisy[::2] = noisy[::2, :, ::-1]
    images[copy] = np.clip(noisy, 0, 255).astype(np.uint8)
    return images, np.stack([original, copy], axis=1)


def measure(n_images: int) -> None:
    """Search one set, and print a line."""
    images, planted = make_images(n_images)
    start = time.perf_counter()
    duplicates = find_near_duplicates(images, 0.95)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    n_found = len(set(map(tuple, planted.tolist())) & set(map(tuple, duplicates.pairs.tolist())))
    print(f"{n_images:8} images{seconds:9.2f} s{gigabytes:7.2f} GB, {len(duplicates.pairs)} pairs, "
          f"{n_found} of {len(planted)} copies found", flush=True)  # fmt: skip


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, help="this size only, in this process")
    size = parser.parse_args().size
    if size is not None:
        measure(size)
        return
    for n_images in SIZES:
        command = [sys.executable, "-m", "benchmarks.audit_scaling", "--size", str(n_images)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
