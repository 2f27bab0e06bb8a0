import numpy as np
import pytest
import torch
from torch import Tensor, nn

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model import official_recipe
from breast_ultrasound.model.official_recipe import as_tensors, official_network, train_recipe


def test_the_network_is_resnet_18_at_full_resolution() -> None:
    network = official_network().eval()
    n_parameters = sum(p.numel() for p in network.parameters())
    # Torchvision's 11,689,512 with 1000 outputs and a 7 × 7 stem of three channels.
    assert n_parameters == 11_689_512 - 998 * 513 - 64 * (3 * 49 - 9)
    seen: list[torch.Size] = []
    network.layer1.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 2)
    assert seen == [(2, 64, 28, 28)]


def test_labels_are_the_files_and_greys_from_black_to_white() -> None:
    greys = np.zeros((2, 28, 28), np.uint8)
    greys[1] = 255
    images, labels = as_tensors(greys, np.array([True, False]))
    assert labels.tolist() == [0, 1]
    assert images.shape == (2, 1, 28, 28)
    assert (images[0] == -1).all()
    assert (images[1] == 1).all()


def test_the_rate_falls_by_ten_after_half_and_after_three_quarters(
    dev: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def noted(network: nn.Module, optimizer: torch.optim.Optimizer, *_: Tensor) -> None:
        assert isinstance(optimizer, torch.optim.Adam)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()

    monkeypatch.setattr(official_recipe, "train_one_epoch", noted)
    train_recipe(dev.images[:4], dev.malignant[:4], dev.images[:2], seed=0, n_epochs=8)
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 2 + [1e-5] * 2)


def test_a_training_repeats_and_leaves_torch_as_it_was(dev: ImageSet) -> None:
    chosen = np.concatenate([np.nonzero(dev.malignant)[0][:4], np.nonzero(~dev.malignant)[0][:4]])
    learned = dev.images[chosen], dev.malignant[chosen]
    before = torch.get_rng_state(), torch.get_num_threads()
    one, again, other = (train_recipe(*learned, dev.images[:3], s, n_epochs=2) for s in (0, 0, 1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert one.shape == (3,)
    assert ((one > 0) & (one < 1)).all()
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
