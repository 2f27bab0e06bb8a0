import pytest
import torch
from torch.nn import functional

from breast_ultrasound.model.losses import bce, focal, loss_of, pairwise_auc
from breast_ultrasound.params import Params, TrainingParams

LOGITS = torch.tensor([2.0, -1.0, 0.5, -3.0])
TARGETS = torch.tensor([1.0, 1.0, 0.0, 0.0])
ONES = torch.ones(4)


def test_plain_bce_is_torchs() -> None:
    expected = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS)
    assert bce(LOGITS, TARGETS, ONES).item() == pytest.approx(expected.item())


def test_a_weight_of_2_is_the_image_twice() -> None:
    weights = torch.tensor([2.0, 2.0, 1.0, 1.0])
    twice = torch.tensor([0, 0, 1, 1, 2, 3])
    expected = bce(LOGITS[twice], TARGETS[twice], torch.ones(6))
    assert bce(LOGITS, TARGETS, weights).item() == pytest.approx(expected.item())


def test_focal_of_gamma_0_is_bce_and_gamma_tames_easy_images() -> None:
    assert focal(LOGITS, TARGETS, ONES, 0.0).item() == pytest.approx(
        bce(LOGITS, TARGETS, ONES).item()
    )
    easy, hard = torch.tensor([4.0]), torch.tensor([-4.0])
    one = torch.ones(1)
    for logits, low, high in ((easy, 0.0, 0.01), (hard, 0.9, 1.0)):
        ratio = focal(logits, one, one, 2.0) / bce(logits, one, one)
        assert low <= ratio.item() <= high


def test_pairwise_auc_by_hand() -> None:
    margins = [2.0 - 0.5, 2.0 + 3.0, -1.0 - 0.5, -1.0 + 3.0]
    expected = sum(functional.softplus(torch.tensor(-m)).item() for m in margins) / 4
    assert pairwise_auc(LOGITS, TARGETS).item() == pytest.approx(expected)


def test_pairwise_auc_ignores_a_common_shift_and_falls_as_ranks_improve() -> None:
    shifted = pairwise_auc(LOGITS + 5, TARGETS)
    assert shifted.item() == pytest.approx(pairwise_auc(LOGITS, TARGETS).item(), rel=1e-5)
    better = torch.tensor([2.0, 1.0, 0.5, -3.0])
    assert pairwise_auc(better, TARGETS) < pairwise_auc(LOGITS, TARGETS)


def test_pairwise_auc_of_one_class_is_0_and_can_be_differentiated() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = pairwise_auc(logits, torch.ones(4))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", ["bce", "focal", "pairwise_auc"])
def test_every_loss_pulls_malignant_up_and_benign_down(
    loss: str, tiny_training: TrainingParams
) -> None:
    params = tiny_training.model_copy(update={"loss": loss})
    logits = torch.zeros(4, requires_grad=True)
    loss_of(logits, TARGETS, params).backward()
    assert logits.grad is not None
    assert (logits.grad[:2] < 0).all()
    assert (logits.grad[2:] > 0).all()


def test_smoothing_is_least_at_the_smoothed_target(tiny_training: TrainingParams) -> None:
    params = tiny_training.model_copy(update={"label_smoothing": 0.1})
    best = torch.logit(torch.tensor([0.95])).requires_grad_()
    loss_of(best, torch.ones(1), params).backward()
    assert best.grad is not None
    assert abs(best.grad.item()) < 1e-6


@pytest.fixture
def tiny_training(tiny_params: Params) -> TrainingParams:
    return tiny_params.training
