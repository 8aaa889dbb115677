"""The optimiser decays what modules multiply by, and nothing else; several processes begin without a warning."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from decoder_cases import KINDS, build
from test_training import config_of, trainer_of
from torch import distributed
from torchvision import models

from captioner import processes
from captioner.config import Config
from captioner.model.build import CaptionModel
from captioner.training.optimisation import _NO_BROADCASTS, Optimisation, build_optimizer

ENCODERS: dict[str, tuple[Callable[[], torch.nn.Module], set[str]]] = {
    "convnext": (lambda: models.convnext.CNBlock(8, 0.1, 0.0), {"layer_scale"}),
    "vit": (
        lambda: models.VisionTransformer(
            image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=3
        ),
        {"class_token", "encoder.pos_embedding"},
    ),
    "swin": (
        lambda: models.SwinTransformer(
            patch_size=[4, 4], embed_dim=8, depths=[2], num_heads=[2], window_size=[2, 2], num_classes=3
        ),
        {f"features.1.{layer}.attn.relative_position_bias_table" for layer in range(2)},
    ),
}
"""Small ones of torchvision's, and their gains and positions that are no vectors."""


@pytest.mark.parametrize(("make", "kept"), ENCODERS.values(), ids=ENCODERS)
def test_gains_and_positions_of_an_encoder_do_not_decay(make: Callable[[], torch.nn.Module], kept: set[str]) -> None:
    encoder = make()
    decayed = decayed_of(CaptionModel(encoder, build("lstm-first")))  # type: ignore[arg-type]
    matrices = {name for name, weight in encoder.named_parameters() if weight.dim() > 1}
    assert kept <= matrices
    assert {name.removeprefix("encoder.") for name in decayed if name.startswith("encoder.")} == matrices - kept


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_all_matrices_of_a_decoder_decay_but_embeddings(kind: str, tied: bool) -> None:
    decoder = build(kind, tied=tied)
    matrices = {f"decoder.{name}" for name, weight in decoder.named_parameters() if weight.dim() > 1}
    model = CaptionModel(torch.nn.Identity(), decoder)  # type: ignore[arg-type]
    assert decayed_of(model) == matrices - {"decoder.embedding.weight", "decoder.position.weight"}


def decayed_of(model: CaptionModel) -> set[str]:
    config = Config.model_validate({"dataset": {"format": "shapes", "root": "x"}, "training": {"weight_decay": 0.3}})
    groups = build_optimizer(model, config).param_groups
    decayed = {weight for group in groups if group["weight_decay"] == 0.3 for weight in group["params"]}
    return {name for name, weight in model.named_parameters() if weight in decayed}


def test_several_processes_begin_without_a_warning_of_torch_s(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tiny_file)
    trainer = trainer_of(config, tmp_path / "run")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        monkeypatch.setattr(processes, "count", lambda: 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            begun = Optimisation(trainer.model, trainer.optimisation.objective, config, 10)
        assert [getattr(begun._loss, name) for name in _NO_BROADCASTS] == [False]
    finally:
        distributed.destroy_process_group()
