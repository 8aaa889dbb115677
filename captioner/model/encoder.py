"""The encoder: pictures (B, 3, H, W) -> features (B, P, D), by any torchvision backbone without its classifier."""

import copy
import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.errors import ModelError, UnknownModelError, nearest
from captioner.model.backbones import (
    backbone_transform,
    build_backbone,
    cannot_see,
    cut_stages,
    default_weights,
    file_weights,
    load_weights,
)
from captioner.model.fusing import fused
from captioner.transform import ImageTransform

_STRIDE = 32  # Pixels a position, in nearly all backbones: other sides would be padded to multiples of it.


class Encoder(nn.Module):
    """A chain of named stages, of which the first ones are frozen and the rest may be trained.

    Frozen stages stay in evaluation mode and are run without gradients. The statistics of batch norms are learned only
    where all is, from random weights: a few pictures say less of them than the ImageNet that trained weights come from,
    and there are none in a state dict whose batch norms are folded into its convolutions, which would be lost.
    """

    def __init__(
        self,
        backbone: str,
        transform: ImageTransform,
        *,
        weights: str = "none",
        grid: int | None = None,
        fine_tune: bool | str = False,
        image_size: int | None = None,
        pretrained: bool | None = None,
        last_stage: str | None = None,
    ) -> None:
        """Build ``backbone`` with ``weights``: ``default`` (torchvision's), ``none`` or a state dict's path.

        Stages behind ``last_stage`` are left out.

        ``pretrained`` says whether weights that are loaded later come from ImageNet, as ``weights`` says it of those
        that are loaded now. Raises ``ModelError`` for an unknown backbone or stage, and for weights that do not fit.
        """
        super().__init__()
        model = build_backbone(backbone, image_size)
        pretrained = weights != "none" if pretrained is None else pretrained
        if hasattr(model, "transform_input"):
            model.transform_input = pretrained  # type: ignore[assignment]
        stages = cut_stages(model)
        if last_stage is not None:
            behind = _place(last_stage, list(stages), backbone, "last_stage to") + 1
            stages = OrderedDict(list(stages.items())[:behind])
        # Modules cannot have a dot in their name; torchvision's names have no underscore where the dot is.
        self.stages = nn.ModuleDict({name.replace(".", "/"): stage for name, stage in stages.items()})
        self.has_default_weights = weights == "default"
        """Whether the weights are torchvision's own, and no others have been loaded since."""
        self.register_load_state_dict_post_hook(_other_weights)  # type: ignore[no-untyped-call]
        if weights != "none":
            state = default_weights(backbone) if weights == "default" else file_weights(weights)
            load_weights(model, self.stages, state, backbone, weights)
        self.backbone = backbone
        self.transform = transform
        self.grid = grid
        self._learns_statistics = not pretrained
        self._feature_shape: tuple[int, int] | None = None
        self._trained_from = self._first_trained(fine_tune)
        for index, stage in enumerate(self.stages.values()):
            stage.requires_grad_(index >= self._trained_from)
        self.to(memory_format=torch.channels_last)
        self.train(False)

    def _first_trained(self, fine_tune: bool | str) -> int:
        names = [name.replace("/", ".") for name in self.stages]
        if isinstance(fine_tune, bool):
            return 0 if fine_tune else len(names)
        return _place(fine_tune, names, self.backbone, "fine_tune to true, false, or")

    @property
    def frozen(self) -> bool:
        """Whether no stage is trained, so that features may be computed once and stored."""
        return self._trained_from == len(self.stages)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights: float32, or bfloat16 where ``to`` made it so."""
        return next(self.stages.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.stages.parameters()).device

    def train(self, mode: bool = True) -> "Encoder":
        """Training mode for the stages that are trained, without the batch norms of pretrained ones."""
        self.training = mode
        for index, stage in enumerate(self.stages.values()):
            stage.train(mode and index >= self._trained_from)
            if not self._learns_statistics:
                for module in stage.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), uint8 -> features (B, P, D) in the computing precision, P in row order."""
        x = self.normalise(images)
        for index, stage in enumerate(self.stages.values()):
            with nullcontext() if index >= self._trained_from else torch.no_grad():
                x = stage(x)
        if self.grid is not None:
            x = F.adaptive_avg_pool2d(x, self.grid)
        return x.flatten(2).transpose(1, 2)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 in [0, 255] -> zero mean and unit deviation over ImageNet, channels last."""
        width = images.shape[3]
        # Constants in float32 whatever the weights are: rounded to bfloat16 they would shift every picture. Repeated
        # for a whole row, since along three numbers nothing is computed side by side.
        mean, std = (
            torch.tensor(values, device=images.device).mul_(255).repeat(width)
            for values in (self.transform.mean, self.transform.std)
        )
        rows = images.permute(0, 2, 3, 1).flatten(2).float()
        normalised = rows.sub_(mean).div_(std).view(*rows.shape[:2], width, 3)
        return normalised.permute(0, 3, 1, 2).to(self.dtype)

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> "Encoder":
        """A faster copy with the same features, as ``fused`` makes it; it cannot be trained."""
        fast = copy.deepcopy(self)
        fast.stages = nn.ModuleDict({"all": fused(nn.Sequential(*self.stages.values()))})
        fast._trained_from = 1
        return fast.requires_grad_(False).train(False).to(device, dtype).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def feature_shape(self) -> tuple[int, int]:
        """(P, D) for the transform's picture size, found once, by running one black picture.

        Raises ``ModelError`` where the backbone cannot see pictures of that size.
        """
        if self._feature_shape is None:
            self._feature_shape = self._shape_of(self.transform.crop)
        return self._feature_shape

    def _shape_of(self, side: int) -> tuple[int, int]:
        mode = self.training
        black = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        try:
            _, positions, size = self.train(False)(black.to(self.device)).shape
        except (AssertionError, RuntimeError, ValueError) as error:
            raise cannot_see(self.backbone, side, error) from None
        finally:
            self.train(mode)
        return positions, size

    @torch.no_grad()
    def part_side(self, smallest_crop: float) -> int:
        """Pixels along parts of pictures that cover from ``smallest_crop`` to all of them, so that things keep size.

        Shown as large as whole pictures, parts would teach the network things larger than it meets later: H. Touvron
        et al., "Fixing the Train-Test Resolution Discrepancy", NeurIPS 2019. They are where it sees no other size.
        """
        whole = self.transform.crop
        if smallest_crop == 1:
            return whole
        strides = round(whole * math.sqrt((1 + smallest_crop) / 2) / _STRIDE)
        side = min(max(1, strides) * _STRIDE, whole)
        try:
            self._shape_of(side)
        except ModelError:
            return whole
        return side

    def weights_hash(self) -> str:
        """Twelve hexadecimal digits that change with any weight."""
        return hash_weights(self.state_dict())

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the stages that are fine-tuned."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    @classmethod
    def from_settings(
        cls,
        backbone: str,
        *,
        weights: str,
        grid: int | None,
        fine_tune: bool | str,
        image_size: int | None,
        last_stage: str | None = None,
    ) -> "Encoder":
        """Build with the transform that the backbone's default weights come with."""
        transform = backbone_transform(backbone, image_size)
        return cls(
            backbone,
            transform,
            weights=weights,
            grid=grid,
            fine_tune=fine_tune,
            image_size=image_size,
            last_stage=last_stage,
        )


def hash_weights(state: dict[str, Tensor]) -> str:
    """Twelve hexadecimal digits that change with any of the tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().contiguous().cpu().numpy().data)
    return digest.hexdigest()[:12]


def _other_weights(encoder: nn.Module, _: object) -> None:
    assert isinstance(encoder, Encoder)
    encoder.has_default_weights = False


def _place(stage: str, names: list[str], backbone: str, remedy: str) -> int:
    """Where a stage stands in the chain. Raises ``UnknownModelError``, whose remedy begins so, if there is none."""
    if stage not in names:
        raise UnknownModelError(
            f"{backbone} has no stage '{stage}'{nearest(stage, names)}",
            f"set encoder.{remedy} one of {', '.join(names)}",
        )
    return names.index(stage)
