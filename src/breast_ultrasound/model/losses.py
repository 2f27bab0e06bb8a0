"""Losses over logits of malignant: each takes (B,) logits and (B,) targets 0 or 1."""

from torch import Tensor
from torch.nn import functional

from breast_ultrasound.params import TrainingParams


def loss_of(logits: Tensor, targets: Tensor, params: TrainingParams) -> Tensor:
    """Return the batch's loss, a scalar, by `params.loss`."""
    smoothed = targets * (1 - params.label_smoothing) + 0.5 * params.label_smoothing
    weights = 1 + (params.malignant_weight - 1) * targets
    match params.loss:
        case "bce":
            return bce(logits, smoothed, weights)
        case "focal":
            return focal(logits, smoothed, weights, params.focal_gamma)
        case "pairwise_auc":
            return pairwise_auc(logits, targets)


def bce(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross-entropy; the mean is over the weights.

    With targets moved towards 1/2 this is label smoothing
    (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7).
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Focal loss, which counts easy images less (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    With gamma 0 it is `bce`.
    """
    from torchvision.ops import sigmoid_focal_loss  # slow to import

    losses: Tensor = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=gamma, reduction="none")
    return (losses * weights).sum() / weights.sum()


def pairwise_auc(logits: Tensor, targets: Tensor) -> Tensor:
    """Logistic loss over all malignant–benign pairs of the batch, a smooth 1 − AUC.

    Consistent with the AUC (Gao and Zhou 2015, https://arxiv.org/abs/1208.0645). It ranks and
    does not calibrate; smoothing and weights do not apply. A batch of one class has loss 0.
    """
    malignant, benign = logits[targets == 1], logits[targets == 0]
    if not len(malignant) or not len(benign):
        return 0.0 * logits.sum()  # keeps the graph
    margins = malignant[:, None] - benign[None, :]  # (B₁, B₀)
    return functional.softplus(-margins).mean()
