"""Every family of backbones gives the features that torchvision's own model computes before its classifier."""

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from captioner.errors import CaptionerError, ModelError
from captioner.model.backbones import backbone_names, build_backbone, check_backbone, default_weights
from captioner.model.encoder import Encoder
from captioner.model.fusing import FusedConv2d, _has_post_ops, fused


@dataclass(frozen=True)
class Family:
    """Where torchvision's model has its feature map: the input of ``module``, as (B, D, h, w) after ``view``."""

    name: str
    module: str
    size: int = 64
    view: Callable[[Tensor], Tensor] = lambda x: x


def of_tokens(x: Tensor) -> Tensor:
    """(B, 1 + P, D) with the class token first -> (B, D, h, w)."""
    side = round((x.shape[1] - 1) ** 0.5)
    return x[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)


# The transformer's last layer norm is the input of nothing that is a module: its output is looked at, below.
FAMILIES = [
    Family("resnet18", "avgpool"),
    Family("resnext50_32x4d", "avgpool"),
    Family("inception_v3", "avgpool", size=96),
    Family("vgg11", "avgpool"),
    Family("densenet121", "features", view=F.relu),
    Family("mobilenet_v2", "features"),
    Family("mobilenet_v3_small", "avgpool"),
    Family("efficientnet_b0", "avgpool"),
    Family("convnext_tiny", "avgpool"),
    Family("regnet_y_400mf", "avgpool"),
    Family("vit_b_16", "encoder", view=of_tokens),
    Family("swin_t", "avgpool"),
]
RARER = [
    Family("wide_resnet50_2", "avgpool"),
    Family("googlenet", "avgpool"),
    Family("alexnet", "avgpool", size=96),
    Family("squeezenet1_1", "features"),
    Family("shufflenet_v2_x0_5", "conv5"),
    Family("mnasnet0_5", "layers"),
    Family("efficientnet_v2_s", "avgpool"),
    Family("swin_v2_t", "avgpool"),
    Family("vit_b_32", "encoder", view=of_tokens),
    Family("maxvit_t", "classifier.0", size=224),
]
OUTPUTS = {"features", "encoder", "conv5", "layers"}
"""Modules that end in the feature map; of the others it is the input."""


def pictures(size: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def reference(family: Family, model: nn.Module, images: Tensor) -> Tensor:
    """What torchvision's own forward pass has at the family's module."""
    seen: list[Tensor] = []

    def look(_: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        seen.append(result if family.module in OUTPUTS else given[0])

    handle = model.get_submodule(family.module).register_forward_hook(look)
    preset = models.get_model_weights(family.name).DEFAULT.transforms()
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (preset.mean, preset.std))
    with torch.no_grad():
        model.eval()((images / 255 - mean) / std)
    handle.remove()
    return family.view(seen[0])


def weights_file(folder: Path, family: Family) -> tuple[Path, nn.Module]:
    """Random weights on disk, and torchvision's model that has them; statistics differ from layer to layer."""
    torch.manual_seed(1)
    options: dict[str, Any] = {"image_size": family.size} if family.name.startswith("vit_") else {}
    if family.name in ("inception_v3", "googlenet"):
        options["init_weights"] = False
    model = models.get_model(family.name, weights=None, **options)
    if hasattr(model, "transform_input"):
        model.transform_input = True  # As torchvision sets it whenever weights are loaded.
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    # What follows the features is not needed, and of VGG it is nearly all.
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("classifier.")}
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth", model


def encoder_of(family: Family, weights: str, **options: Any) -> Encoder:
    settings = {"grid": None, "fine_tune": False, "image_size": family.size, **options}
    return Encoder.from_settings(family.name, weights=weights, **settings)


def check_family(family: Family, folder: Path) -> None:
    path, model = weights_file(folder, family)
    images = pictures(family.size)
    expected = reference(family, model, images)
    encoder = encoder_of(family, str(path))
    with torch.no_grad():
        features = encoder(images)
    batch, size, height, width = expected.shape
    assert features.shape == (batch, height * width, size)
    assert encoder.feature_shape() == (height * width, size)
    # The positions come row by row.
    torch.testing.assert_close(features, expected.permute(0, 2, 3, 1).flatten(1, 2), rtol=1e-4, atol=1e-4)
    assert features.std() > 1e-3

    with torch.no_grad():
        pooled = encoder_of(family, str(path), grid=2)(images)
    wanted = F.adaptive_avg_pool2d(expected, 2).permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(pooled, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_features_are_torchvision_s_own(family: Family, tmp_path: Path) -> None:
    check_family(family, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", RARER, ids=lambda family: family.name)
def test_features_of_rarer_families(family: Family, tmp_path: Path) -> None:
    check_family(family, tmp_path)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_classifier_is_left_out(family: Family) -> None:
    encoder = encoder_of(family, "none")
    kept = sum(parameter.numel() for parameter in encoder.parameters())
    whole = sum(parameter.numel() for parameter in build_backbone(family.name, family.size).parameters())
    assert kept < whole


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_stage_can_be_the_first_that_is_trained(family: Family) -> None:
    """Its name is a module's name in torchvision, and all that follows has gradients."""
    names = [name.replace("/", ".") for name in encoder_of(family, "none").stages]
    middle = names[len(names) // 2]
    encoder = encoder_of(family, "none", fine_tune=middle)
    assert not encoder.frozen
    trained = {name.split(".")[1] for name, one in encoder.named_parameters() if one.requires_grad}
    assert {name.replace("/", ".") for name in trained} <= set(names[len(names) // 2 :])
    assert trained


def test_a_name_list_holds_classification_models_only() -> None:
    names = backbone_names()
    assert {"resnet50", "vit_b_16", "swin_t"} <= set(names)
    assert not {"fasterrcnn_resnet50_fpn", "deeplabv3_resnet50", "r3d_18", "raft_large", "quantized_resnet50"} & set(
        names
    )


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("resnet5", ", did you mean 'resnet50'?"),
        ("mobilenetv2", ", did you mean 'mobilenet_v2'?"),
        ("ResNet50", ", did you mean 'resnet50'?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_backbone(wrong: str, hint: str) -> None:
    assert refusal(lambda: check_backbone(wrong)) == (
        f"there is no backbone '{wrong}'{hint}",
        "set encoder.backbone to one of torchvision's classification models, such as resnet50 or mobilenet_v2",
    )


def refusal(act: Callable[[], object], kind: type[CaptionerError] = ModelError) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        act()
    return caught.value.problem, caught.value.remedy


RESNET = Family("resnet18", "avgpool")


def test_an_unknown_stage() -> None:
    assert refusal(lambda: encoder_of(RESNET, "none", fine_tune="layer5")) == (
        "resnet18 has no stage 'layer5', did you mean 'layer4'?",
        "set encoder.fine_tune to true, false, or one of conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4",
    )


def test_an_unknown_last_stage() -> None:
    assert refusal(lambda: encoder_of(RESNET, "none", last_stage="layer_3")) == (
        "resnet18 has no stage 'layer_3', did you mean 'layer3'?",
        "set encoder.last_stage to one of conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4",
    )


def test_an_earlier_stage_gives_what_it_gives_in_the_whole_backbone(tmp_path: Path) -> None:
    path, model = weights_file(tmp_path, RESNET)
    seen: list[torch.Tensor] = []
    model.layer3.register_forward_hook(lambda *parts: seen.append(parts[-1]))
    images = pictures(64)
    reference(RESNET, model, images)
    encoder = encoder_of(RESNET, str(path), last_stage="layer3", image_size=64)
    with torch.no_grad():
        features = encoder(images)
    torch.testing.assert_close(features, seen[0].flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)
    assert encoder.feature_shape() == (16, 256)
    assert not any("layer4" in name for name in encoder.state_dict())


WRONG_MODEL = "set encoder.backbone to the model that these weights were saved from, or encoder.weights to another file"


def test_a_state_dict_of_another_model(tmp_path: Path) -> None:
    torch.save(models.mobilenet_v3_small().state_dict(), tmp_path / "mobile.pth")
    torch.save(models.wide_resnet50_2().state_dict(), tmp_path / "wide.pth")
    assert refusal(lambda: encoder_of(RESNET, str(tmp_path / "mobile.pth"))) == (
        f"{tmp_path}/mobile.pth is not a state dict of resnet18: 120 of 120 tensors are missing (first 'conv1.weight')",
        WRONG_MODEL,
    )
    assert refusal(lambda: encoder_of(Family("resnet50", "avgpool"), str(tmp_path / "wide.pth")))[0] == (
        f"{tmp_path}/wide.pth is not a state dict of resnet50: 176 have another shape (first 'layer1.0.conv1.weight')"
    )


@pytest.mark.parametrize(
    ("smaller", "larger"), [("resnet18", "resnet34"), ("swin_t", "swin_s"), ("convnext_tiny", "convnext_small")]
)
def test_a_state_dict_of_a_deeper_model_of_the_family(smaller: str, larger: str, tmp_path: Path) -> None:
    """All tensors of the smaller one are there, in the right shapes, and yet they make no sense without the others."""
    torch.save(models.get_model(larger).state_dict(), tmp_path / "larger.pth")
    problem, remedy = refusal(lambda: encoder_of(Family(smaller, ""), str(tmp_path / "larger.pth")))
    assert problem.startswith(f"{tmp_path}/larger.pth is not a state dict of {smaller}: ")
    assert remedy == WRONG_MODEL


def test_a_classifier_of_other_classes_does_not_matter(tmp_path: Path) -> None:
    torch.save(models.resnet18(num_classes=7).state_dict(), tmp_path / "seven.pth")
    state = models.resnet18().state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, tmp_path / "no.pth")
    assert encoder_of(RESNET, str(tmp_path / "seven.pth")).frozen
    assert encoder_of(RESNET, str(tmp_path / "no.pth")).frozen


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = models.resnet18().state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    encoder = encoder_of(RESNET, str(tmp_path / "weights.safetensors"))
    assert torch.equal(encoder.state_dict()["stages.conv1.weight"], state["conv1.weight"])


REMEDY = "save it as torch.save(model.state_dict(), PATH), and give that file"


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    whole, text, nested = tmp_path / "whole.pth", tmp_path / "text.pth", tmp_path / "nested.pth"
    torch.save(models.resnet18(), whole)
    text.write_text("no weights")
    torch.save({"state_dict": models.resnet18().state_dict(), "epoch": 3}, nested)
    for path in (whole, text):
        problem, remedy = refusal(lambda path=path: encoder_of(RESNET, str(path)))
        assert problem == f"{path} cannot be read as a state dict (UnpicklingError)"
        assert remedy == REMEDY
    assert refusal(lambda: encoder_of(RESNET, str(nested))) == (
        f"{nested} holds something other than a state dict",
        REMEDY,
    )


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (str(self.mark),)


def test_reading_weights_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    refusal(lambda: encoder_of(RESNET, str(tmp_path / "bomb.pth")))
    assert not (tmp_path / "mark").exists()


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import urllib.error

    def unreachable(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    url = models.get_model_weights("resnet18").DEFAULT.url
    assert refusal(lambda: default_weights("resnet18")) == (
        f"cannot download torchvision's weights of resnet18 from {url}: no route to host",
        f"try again with a network, or put that file into {tmp_path}/hub/checkpoints",
    )


class TestFineTuning:
    def test_frozen_stages_stay_as_they_are(self) -> None:
        """No gradient, evaluation mode, and batch statistics that never move."""
        encoder = encoder_of(RESNET, "none", fine_tune="layer3").train()
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
        encoder(pictures(64, 4)).square().sum().backward()
        optimizer.step()
        for name, module in encoder.stages.items():
            assert module.training == (name in ("layer3", "layer4"))
        for name, parameter in encoder.named_parameters():
            trained = name.startswith(("stages.layer3.", "stages.layer4."))
            assert (parameter.grad is not None) == trained, name
        for name, tensor in encoder.state_dict().items():
            moved = not torch.equal(tensor, before[name])
            assert moved == name.startswith(("stages.layer3.", "stages.layer4.")), name

    def test_a_frozen_encoder_has_no_gradients(self) -> None:
        encoder = encoder_of(RESNET, "none").train()
        assert encoder.frozen
        assert not encoder(pictures(64)).requires_grad
        assert not any(module.training for stage in encoder.stages.values() for module in stage.modules())
        assert list(encoder.trained_parameters()) == []

    def test_all_of_it(self) -> None:
        encoder = encoder_of(RESNET, "none", fine_tune=True).train()
        assert all(module.training for stage in encoder.stages.values() for module in stage.modules())
        encoder(pictures(64)).sum().backward()
        assert all(parameter.grad is not None for parameter in encoder.parameters())

    def test_statistics_of_pretrained_weights_stay(self, tmp_path: Path) -> None:
        """As in detection: those of a few pictures are worse. Gains and biases are trained like all other weights."""
        file = tmp_path / "weights.pth"
        torch.save(build_backbone("resnet18").state_dict(), file)
        encoder = encoder_of(RESNET, str(file), fine_tune="layer4")
        images, before = pictures(64, 4), {name: tensor.clone() for name, tensor in encoder.named_buffers()}
        evaluated = encoder(images)
        torch.testing.assert_close(encoder.train()(images), evaluated)
        encoder(images).square().sum().backward()
        assert encoder.stages["layer4"].training
        for name, buffer in encoder.named_buffers():
            assert torch.equal(buffer, before[name]), name
        for name, parameter in encoder.stages["layer4"].named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name

    def test_evaluation_mode_and_back(self) -> None:
        encoder = encoder_of(RESNET, "none", fine_tune="layer4")
        for mode in (True, False, True):
            encoder.train(mode)
            assert encoder.stages["layer4"].training == mode
            assert not encoder.stages["layer1"].training
            encoder.feature_shape()
            assert encoder.stages["layer4"].training == mode


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "vit_b_16", "efficientnet_b0", "swin_t"])
def test_a_picture_arrives_as_in_torchvision_s_preset(name: str, tmp_path: Path) -> None:
    """From a file of a camera's proportions to the numbers that the first layer sees."""
    from captioner.data.images import load_image
    from captioner.model.backbones import backbone_transform

    picture = Image.radial_gradient("L").resize((500, 333))
    picture = Image.merge("RGB", (picture, picture.rotate(180), picture.point(lambda value: 255 - value)))
    picture.save(tmp_path / "picture.png")
    preset = models.get_model_weights(name).DEFAULT.transforms()
    transform = backbone_transform(name, None)
    encoder = Encoder("mobilenet_v3_small", transform)
    with torch.no_grad():
        seen = encoder.normalise(load_image(tmp_path / "picture.png", transform).unsqueeze(0))
    torch.testing.assert_close(seen, preset(picture).unsqueeze(0), rtol=0, atol=1e-6)


def test_an_image_size_of_one_s_own() -> None:
    transform = encoder_of(Family("resnet18", "avgpool", size=100), "none").transform
    assert (transform.resize, transform.crop) == (100, 100)


@pytest.mark.parametrize(
    ("name", "image_size", "side"),
    [("mobilenet_v2", 256, 224), ("mobilenet_v2", 224, 192), ("mobilenet_v2", 32, 32), ("vit_b_32", None, 224)],
)
def test_things_are_as_large_in_parts_of_pictures_as_in_whole_ones(
    name: str, image_size: int | None, side: int
) -> None:
    """Three quarters of the area, on average, in as many of the pixels; a ViT sees one size alone."""
    encoder = Encoder.from_settings(name, weights="none", grid=None, fine_tune=True, image_size=image_size)
    assert encoder.part_side(0.5) == side
    assert encoder.part_side(1) == encoder.transform.crop
    assert encoder.eval()(torch.zeros(1, 3, side, side, dtype=torch.uint8)).shape[1] == (side // 32) ** 2


def test_the_hash_changes_with_any_weight() -> None:
    encoder = encoder_of(RESNET, "none")
    before = encoder.weights_hash()
    assert encoder_of(RESNET, "none").weights_hash() != before
    with torch.no_grad():
        encoder.stages["layer4"][1].bn2.running_mean[3] += 1e-3
    assert encoder.weights_hash() != before
    assert len(before) == 12


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t", "convnext_tiny", "densenet121"])
def test_bfloat16_comes_close_to_float32(name: str) -> None:
    import copy

    torch.manual_seed(0)
    encoder = encoder_of(Family(name, ""), "none")
    with torch.no_grad():
        exact = encoder(pictures(64))
        rounded = copy.deepcopy(encoder).to(torch.bfloat16)(pictures(64))
    assert rounded.dtype == torch.bfloat16
    assert F.cosine_similarity(rounded.float().flatten(), exact.flatten(), dim=0) > 0.99


@pytest.mark.parametrize(
    ("name", "activated"),
    {
        "resnet18": 9, "inception_v3": 94, "mobilenet_v2": 35, "mobilenet_v3_small": 32, "efficientnet_b0": 49,
        "densenet121": 59, "vgg11": 8, "vit_b_16": 0,
    }.items(),
)  # fmt: skip
def test_a_copy_for_inference_gives_the_same_features(name: str, activated: int) -> None:
    encoder = Encoder.from_settings(name, weights="none", grid=2, fine_tune=False, image_size=None)
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    fast = encoder.for_inference(torch.device("cpu"), torch.float32)
    images = torch.randint(0, 256, (1, 3, encoder.transform.crop, encoder.transform.crop), dtype=torch.uint8)
    with torch.inference_mode():
        expected, found = encoder(images), fast(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    left = [module for module in fast.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(left) < len(norms) or not norms
    convolutions = [module for module in fast.modules() if isinstance(module, FusedConv2d)]
    assert sum(not isinstance(one.activation, torch.nn.Identity) for one in convolutions) == activated
    assert fast.transform == encoder.transform
    assert not any(parameter.requires_grad for parameter in fast.parameters())


def test_what_cannot_be_followed_is_left_as_it_is() -> None:
    class Undecided(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.norm(images) if images.sum() > 0 else images

    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
    sequence = torch.nn.Sequential(plain, Undecided()).eval()
    result = fused(sequence)
    assert [type(part).__name__ for part in result.modules() if "Norm" in type(part).__name__] == ["BatchNorm2d"]
    images = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(result(images), sequence(images))


def test_activations_are_computed_within_convolutions() -> None:
    convolution = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
    images = torch.randn(2, 3, 9, 9)
    for activation in (torch.nn.ReLU(), torch.nn.ReLU6(), torch.nn.Hardswish(), torch.nn.SiLU(), torch.nn.Sigmoid()):
        plain = torch.nn.Sequential(convolution, activation, torch.nn.ReLU())
        fast = fused(plain)
        with torch.inference_mode():
            expected, found = plain(images), fast(images)
        torch.testing.assert_close(found, expected, msg=str(activation))
        assert any(isinstance(part, FusedConv2d) for part in fast.modules())
    shared = torch.nn.Sequential(convolution, torch.nn.Conv2d(5, 5, 1, padding="same"), torch.nn.ReLU())
    assert sum(isinstance(part, FusedConv2d) for part in fused(shared).modules()) == 1


def test_without_the_operator_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.model.fusing._has_post_ops", lambda dtype: False)
    monkeypatch.setattr("captioner.model.fusing._activated", None)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU())
    images = torch.randn(1, 3, 9, 9)
    torch.testing.assert_close(fused(plain)(images), plain(images))


def test_asking_for_the_operator_draws_no_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even ones that are put back: another thread may draw meanwhile."""
    monkeypatch.setattr(torch.random, "fork_rng", lambda **_: nullcontext())
    before = torch.get_rng_state()
    _has_post_ops.__wrapped__(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
