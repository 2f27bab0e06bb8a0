from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from breast_ultrasound.model.resnet import ResNet, count_flops, standardised
from breast_ultrasound.params import ModelParams


def _params(**changes: object) -> ModelParams:
    plain = {"stem": "imagenet", "input_size": 28, "width": 64, "blocks": [2] * 4, "dropout": 0}
    return ModelParams.model_validate({**plain, "standardise": "none", **changes})


def test_the_plain_network_is_torchvisions() -> None:
    theirs = resnet18(num_classes=1)
    theirs.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    ours = ResNet(_params())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(5, 1, 28, 28)
    # Not to the bit: the last layer is written out, without a product of matrices.
    torch.testing.assert_close(ours(images), theirs(images).squeeze(1))
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images).squeeze(1))


def test_the_start_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = resnet18(num_classes=1).layer3[0].conv1.weight
    torch.manual_seed(0)
    ours = ResNet(_params()).get_parameter("layer3.0.conv1.weight")
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.02)


@pytest.mark.parametrize(
    ("stem", "size", "side"),
    [("imagenet", 28, 7), ("small", 28, 28), ("small_strided", 28, 14), ("small_strided", 56, 28)],
)
def test_the_stem_sets_the_resolution(stem: str, size: int, side: int) -> None:
    model = ResNet(_params(stem=stem, input_size=size, width=8))
    seen: list[torch.Size] = []
    model.layer1.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    assert model(torch.randn(2, 1, 28, 28)).shape == (2,)
    assert seen == [(2, 8, side, side)]


def test_a_stage_without_blocks_passes_on_what_it_is_given() -> None:
    model = ResNet(_params(stem="small", width=8, blocks=[0, 1, 2, 1]))
    assert model(torch.randn(2, 1, 28, 28)).shape == (2,)
    stages = (model.layer1, model.layer2, model.layer3, model.layer4)
    assert [len(stage) for stage in stages] == [0, 1, 2, 1]
    assert model.layer2[0].conv1.weight.shape[:2] == (16, 8)
    bare = ResNet(_params(stem="small", width=8, blocks=[0, 0, 0, 0]))
    assert bare.fc.in_features == 8


@pytest.mark.parametrize("standardise", ["global", "local"])
def test_standardised_networks_ignore_gain_and_offset(standardise: str) -> None:
    images = torch.rand(4, 1, 28, 28) * 2 - 1
    changed = images * torch.tensor([0.5, 0.8, 1.2, 2.0])[:, None, None, None] - 0.1
    plain, network = (
        ResNet(_params(width=8, standardise=by)).eval() for by in ("none", standardise)
    )
    assert not torch.allclose(plain(images), plain(changed), rtol=0.05)
    # All but: a constant is added to the deviation, so that an image of one grey stays black.
    torch.testing.assert_close(network(images), network(changed), rtol=0.05, atol=0.05)
    assert network(torch.full((1, 1, 28, 28), 0.7)).isfinite().all()


def test_local_standardisation_takes_away_the_background() -> None:
    """A grey that grows from one side to the other, at any size of the images."""
    for side in (28, 64):
        lesion = torch.zeros(1, 1, side, side)
        lesion[..., side // 2 : side // 2 + side // 7, side // 2 : side // 2 + side // 7] = -0.5
        ramp = torch.linspace(-0.4, 0.4, side)[:, None]
        left = {
            by: (standardised(lesion + ramp, by) - standardised(lesion, by)).square().mean()
            for by in ("global", "local")
        }
        assert left["local"] < left["global"] / 4
    even = torch.full((1, 1, 28, 28), 0.3)
    torch.testing.assert_close(standardised(even, "local"), torch.zeros_like(even))


@pytest.mark.parametrize("standardise", ["global", "local"])
def test_standardised_images_have_mean_0_and_deviation_1(
    standardise: Literal["global", "local"],
) -> None:
    images = standardised(torch.rand(4, 1, 64, 64) * 1.8 - 0.9, standardise).double().numpy()
    assert images.mean(axis=(1, 2, 3)) == pytest.approx(np.zeros(4), abs=1e-6)
    # All but: a constant is added to the deviation, of some 0.5.
    assert images.std(axis=(1, 2, 3)) == pytest.approx(np.ones(4), abs=0.05)


@pytest.mark.parametrize("standardise", ["global", "local"])
def test_standardisation_is_of_each_image_alone(standardise: str) -> None:
    images = torch.rand(4, 1, 28, 28) * 2 - 1
    model = ResNet(_params(width=8, standardise=standardise)).eval()
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone)


def test_dropout_acts_in_training_only() -> None:
    model = ResNet(_params(width=8, dropout=0.5))
    images = torch.randn(4, 1, 28, 28)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_flops_grow_with_the_square_of_width_and_side() -> None:
    small = count_flops(_params(stem="small", width=16), side=28)
    assert count_flops(_params(stem="small", width=32), side=28) / small == pytest.approx(
        4, rel=0.02
    )
    larger = count_flops(_params(stem="small", width=16, input_size=56), side=28)
    assert larger / small == pytest.approx(4, rel=0.1)  # 7 × 7 is not 4 × 4 times 4
