"""How long the search for near-twins takes, and how much memory, as the image set grows.

Random images of 28×28 with one in a hundred a noisy copy of another, mirrored or not; all copies
must be found. Each size runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.twins import find_twins

SIZES = (1_000, 10_000, 100_000)


def make_images(n_images: int) -> tuple[NDArray[np.uint8], int]:
    """Return images (N, 28, 28) uint8, and how many of them are planted copies."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, 14, 14), dtype=np.uint8)
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    n_copies = n_images // 100
    copies = np.clip(images[:n_copies] + rng.normal(0, 5, (n_copies, 28, 28)), 0, 255)
    copies[::2] = copies[::2, :, ::-1]
    images[-n_copies:] = copies.astype(np.uint8)
    return images, n_copies


def measure(n_images: int) -> None:
    """Search one set, and print a line."""
    images, n_copies = make_images(n_images)
    start = time.perf_counter()
    twins = find_twins(images, 0.95)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{n_images:8} images{seconds:9.2f} s{gigabytes:7.2f} GB, "
          f"{len(twins.pairs)} of {n_copies} copies found", flush=True)  # fmt: skip


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
