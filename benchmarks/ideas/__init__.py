"""Ideas that the workflow does not use: each trains a run on dev, its way."""

from collections.abc import Callable

from benchmarks.ideas import fitting, images, networks
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.runs.run import Run, RunResult

IDEAS: dict[str, Callable[[Run, ImageSet], RunResult]] = {
    "sharpness-aware minimisation": fitting.sharpness_aware,
    "cutmix": images.cutmix,
    "depth as a channel": networks.depth_channel,
    "near-twins agree": fitting.twins_agree,
    "gain with depth": images.shading,
    "blur-pool": networks.blur_pool,
    "ResNet-50": networks.resnet50,
    "squeeze-excite": networks.squeeze_excite,
    "enlarged, nearest": networks.enlarged("nearest"),
    "enlarged, bilinear": networks.enlarged("bilinear"),
    "enlarged, bicubic": networks.enlarged("bicubic"),
    "average shortcut": networks.average_shortcut,
    "distilled from three": fitting.distilled,
    "even average of the second half": fitting.second_half_average,
    "stochastic depth": networks.stochastic_depth,
    "mixup": images.mixup,
    "average and max pooling": networks.max_pool_too,
    "speckle": images.speckle,
    "elastic warps": images.elastic,
    "contrastive first": fitting.contrastive_first,
}
