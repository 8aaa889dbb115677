"""torchvision's classification models, cut before their classifiers into named stages that give a feature map.

Every stage takes what the one before it gives; the last one gives (B, D, h, w). The names are the modules' own
in torchvision (``layer3``, ``features.14``), so that a reader of its code knows where fine-tuning starts.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner.errors import ModelError, UnknownModelError, nearest
from captioner.transform import ImageTransform

_NOT_STAGES = {"avgpool", "dropout", "fc", "AuxLogits", "aux1", "aux2", "classifier", "head", "heads", "flatten"}


@dataclass(frozen=True)
class _Backbone:
    build: Callable[[], nn.Module]
    transform: ImageTransform


_OWN: dict[str, _Backbone] = {}


def register_backbone(name: str, build: Callable[[], nn.Module], transform: ImageTransform) -> None:
    """Let ``encoder.backbone: name`` be what ``build`` gives; docs/contributing.md has an example.

    Its children, one after the other, are the stages that give (B, D, h, w); ``transform`` is what pictures go through.
    """
    _OWN[name] = _Backbone(build, transform)


def backbone_names() -> list[str]:
    """All names that ``build_backbone`` knows."""
    from torchvision import models

    # The detection, segmentation and video models live in sub-modules of their own and are not listed here.
    return sorted([*models.list_models(module=models), *_OWN])


def build_backbone(name: str, image_size: int | None = None) -> nn.Module:
    """The model ``name`` with random weights, whole.

    Raises ``ModelError`` for an unknown name, and for a size of pictures that it cannot have.
    """
    from torchvision import models

    check_backbone(name)
    if name in _OWN:
        return _OWN[name].build()
    # These two would otherwise spend half a minute drawing weights from a truncated normal.
    options: dict[str, Any] = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    if image_size and name.startswith("vit_"):  # The only ones whose weights depend on the picture's size.
        options["image_size"] = image_size
    try:
        model = models.get_model(name, weights=None, **options)
    except AssertionError as error:
        raise cannot_see(name, image_size or 0, error) from None
    assert isinstance(model, nn.Module)
    return model


def cannot_see(backbone: str, side: int, error: Exception) -> ModelError:
    """The error for pictures of a size that a backbone refuses with ``error``, in words of its own."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ModelError(
        f"{backbone} cannot see pictures of {side}x{side} pixels: {reason}",
        "set encoder.image_size to another side, or leave it out for the one its weights were trained with",
    )


def check_backbone(name: str) -> None:
    """Raise ``UnknownModelError`` unless torchvision has a classification model ``name``, or one is one's own."""
    known = backbone_names()
    if name not in known:
        raise UnknownModelError(
            f"there is no backbone '{name}'{nearest(name, known)}",
            "set encoder.backbone to one of torchvision's classification models, such as resnet50 or mobilenet_v2",
        )


def backbone_transform(name: str, image_size: int | None) -> ImageTransform:
    """The transform that torchvision's default weights of ``name`` come with, or a plain square of ``image_size``."""
    from torchvision import models

    check_backbone(name)
    if name in _OWN:
        own = _OWN[name].transform
        return replace(own, resize=image_size, crop=image_size) if image_size else own
    preset = models.get_model_weights(name).DEFAULT.transforms()
    return ImageTransform(
        resize=image_size or preset.resize_size[0],
        crop=image_size or preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )


def default_weights(name: str) -> dict[str, Tensor]:
    """torchvision's default weights of ``name``, downloaded once into torch's own cache.

    Raises ``ModelError`` when they cannot be had.
    """
    from torchvision import models

    if name in _OWN:
        raise ModelError(
            f"{name} is a backbone of your own, which has no default weights",
            "set encoder.weights to none, or to a state dict's path",
        )
    weights = models.get_model_weights(name).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)  # Of urllib's errors, which show themselves as Python does.
        raise ModelError(
            f"cannot download torchvision's weights of {name} from {weights.url}: "
            f"{getattr(reason, 'strerror', None) or reason}",
            f"try again with a network, or put that file into {torch.hub.get_dir()}/checkpoints",
        ) from None
    return state


def file_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a ``.pth`` or ``.safetensors`` file; loading runs no code. Raises ``ModelError``."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(
            f"there is no file of encoder weights at {path}",
            "set encoder.weights to a state dict's path, to 'default' (torchvision's) or to 'none' (random)",
        )
    remedy = "save it as torch.save(model.state_dict(), PATH), and give that file"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Each container format has its own exceptions for "this is not one".
        raise ModelError(f"{path} cannot be read as a state dict ({type(error).__name__})", remedy) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds something other than a state dict", remedy)
    return state


def load_weights(model: nn.Module, stages: nn.Module, state: dict[str, Tensor], name: str, origin: str) -> None:
    """Load ``state`` into the whole ``model``; only what ``stages`` keep of it has to fit.

    Raises ``ModelError`` when the state dict is of another model.
    """
    kept = {id(tensor) for tensor in stages.state_dict(keep_vars=True).values()}
    wanted = {key: tensor for key, tensor in model.state_dict(keep_vars=True).items() if id(tensor) in kept}
    missing = [key for key in wanted if key not in state]
    reshaped = [key for key, tensor in wanted.items() if key in state and state[key].shape != tensor.shape]
    # Another classifier does no harm; further layers where ours end are those of a deeper model.
    parts = {key.partition(".")[0] for key in wanted}
    foreign = [key for key in state if key.partition(".")[0] in parts and key not in model.state_dict()]
    if missing or reshaped or foreign:
        counts = {
            f"{len(missing)} of {len(wanted)} tensors are missing": missing,
            f"{len(reshaped)} have another shape": reshaped,
            f"{len(foreign)} belong to no layer of it": foreign,
        }
        found = {text: keys[0] for text, keys in counts.items() if keys}
        raise ModelError(
            f"{origin} is not a state dict of {name}: {' and '.join(found)} (first '{next(iter(found.values()))}')",
            "set encoder.backbone to the model that these weights were saved from, or encoder.weights to another file",
        )
    fitting = OrderedDict((key, state[key]) for key in wanted)
    fitting._metadata = model.state_dict()._metadata  # type: ignore[attr-defined] # mnasnet looks for its version.
    model.load_state_dict(fitting, strict=False)


def cut_stages(model: nn.Module) -> "OrderedDict[str, nn.Module]":
    """The stages of a torchvision model before its classifier, in order; their composition gives (B, D, h, w)."""
    if hasattr(model, "conv_proj"):
        return _vision_transformer_stages(model)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if getattr(model, "transform_input", None) is not None:  # Inception and GoogLeNet know no AuxLogits in eval.
        stages["transform_input"] = _TransformInput(model)
    for name, child in model.named_children():
        if name in _NOT_STAGES:
            continue
        if name in ("features", "layers", "trunk_output", "blocks"):
            stages.update((f"{name}.{index}", block) for index, block in child.named_children())
        else:
            stages[name] = child
    if type(model).__name__ == "DenseNet":  # Its last activation is a function in forward, not a module.
        stages["relu"] = nn.ReLU()
    return stages


class _TransformInput(nn.Module):
    """Undoes ImageNet's normalisation where the weights come from TensorFlow; torchvision sets the flag with them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # A plain attribute would register the whole model as a child, and so keep its classifier.
        self._model = (model,)

    def forward(self, images: Tensor) -> Tensor:
        transformed: Tensor = self._model[0]._transform_input(images)  # type: ignore[operator]
        return transformed


def _vision_transformer_stages(model: Any) -> "OrderedDict[str, nn.Module]":
    stages: OrderedDict[str, nn.Module] = OrderedDict(patches=_Patches(model))
    stages.update((f"encoder.{name}", layer) for name, layer in model.encoder.layers.named_children())
    stages["ln"] = nn.Sequential(model.encoder.ln, _TokensToMap())
    return stages


class _Patches(nn.Module):
    """Picture -> class token and patch tokens with their positions, (B, 1 + P, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.conv_proj = model.conv_proj
        self.class_token = model.class_token
        self.pos_embedding = model.encoder.pos_embedding
        self.dropout = model.encoder.dropout

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1).to(patches.dtype), patches], dim=1)
        dropped: Tensor = self.dropout(tokens + self.pos_embedding.to(tokens.dtype))
        return dropped


class _TokensToMap(nn.Module):
    """(B, 1 + P, D) -> (B, D, h, w), without the class token."""

    def forward(self, tokens: Tensor) -> Tensor:
        side = round((tokens.shape[1] - 1) ** 0.5)
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], -1, side, side)
