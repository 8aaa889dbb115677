"""A trained model in one directory, safe to load: JSON and safetensors, everything needed to caption elsewhere.

``checkpoint.json`` names every other file and is replaced last, by one rename: until then the old checkpoint stands,
from then on the new one. Weights have their hash in their name, so that old and new never share a file.
"""

import io
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from captioner.calibration import Calibration
from captioner.checkpoint.index import calibration_in, check_files, damaged, read_config, read_index, read_part
from captioner.checkpoint.snapshot import Snapshot
from captioner.config import Config
from captioner.errors import CheckpointError, UsageError
from captioner.model.build import CaptionModel, build_decoder
from captioner.model.encoder import Encoder
from captioner.transform import ImageTransform
from captioner.vocab import Vocabulary


@dataclass(frozen=True)
class Checkpoint:
    """What a directory holds."""

    model: CaptionModel
    """In float32, in evaluation mode, on the CPU."""
    vocabulary: Vocabulary
    config: Config
    provenance: dict[str, Any]
    """Where it came from: versions, data set, epoch, validation scores."""
    index: dict[str, Any]
    """``checkpoint.json`` as it is."""
    folder: Path

    @property
    def calibration(self) -> Calibration | None:
        """What makes confidence of its captions' log-probabilities; None where it was written without."""
        return calibration_in(self.index, self.folder)


def save_checkpoint(
    folder: Path,
    model: CaptionModel,
    vocabulary: Vocabulary,
    config: Config,
    provenance: dict[str, Any],
    *,
    training: dict[str, Any] | None = None,
) -> None:
    """Replace the checkpoint in ``folder``; the old one stands until the new one is whole.

    torchvision's own weights are only named, with their hash, unless they were trained on or ``encoder.keep`` asks
    for them. ``training`` is what resuming needs beside the weights. Raises ``StorageError``.
    """
    Snapshot.take(model, vocabulary, config, provenance, training).write(folder)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load what ``save_checkpoint`` wrote; runs no code from it.

    Raises ``CheckpointError`` when something is missing, damaged or of another version, and ``ModelError`` when
    torchvision's weights are needed and cannot be downloaded.
    """
    folder, index = read_index(path)
    check_files(folder, index)
    vocabulary = Vocabulary.from_json(read_part(folder, index, "vocabulary").decode(errors="replace"))
    config = read_config(folder, index)
    try:
        transform = ImageTransform.from_json(index["encoder"]["transform"])
        feature_size, weights_hash = index["features"]["size"], index["encoder"]["weights_hash"]
    except (ValueError, KeyError, TypeError):
        raise damaged(folder) from None
    settings = config.encoder
    stored = "encoder" in index["files"]
    encoder = Encoder(
        settings.backbone,
        transform,
        weights="none" if stored else "default",
        grid=settings.grid,
        fine_tune=settings.fine_tune,
        image_size=settings.image_size,
        last_stage=settings.last_stage,
        pretrained=settings.weights != "none",
    )
    if stored:
        fill(encoder, _read_tensors(folder, index, "encoder"), folder)
    elif encoder.weights_hash() != weights_hash:
        raise CheckpointError(
            f"torchvision's default weights of {settings.backbone} are not those that {folder} was trained with",
            "install the torchvision version that its checkpoint.json names",
        )
    decoder = build_decoder(config.decoder, feature_size, len(vocabulary))
    fill(decoder, _read_tensors(folder, index, "decoder"), folder)
    model = CaptionModel(encoder, decoder).eval()
    return Checkpoint(model, vocabulary, config, index["provenance"], index, folder)


def load_training_state(folder: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given as ``training``. Raises ``CheckpointError``."""
    folder, index = read_index(folder)
    if "training" not in index["files"]:
        raise CheckpointError(f"{folder} holds no training state", "resume from a run's directory, which has 'last'")
    data = read_part(folder, index, "training")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles before it refuses them.
            state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise CheckpointError(f"{folder / index['files']['training']} is damaged", "begin a new run") from None
    return state


def load_checkpoints(paths: Sequence[Path]) -> list[Checkpoint]:
    """Load models that are to choose words together. Raises ``UsageError`` if their vocabularies differ."""
    checkpoints = [load_checkpoint(path) for path in paths]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        if checkpoint.vocabulary.words != checkpoints[0].vocabulary.words:
            raise UsageError(
                f"{paths[0]} and {path} have different vocabularies: their words cannot be averaged",
                "name models that were trained on the same captions with the same vocab.min_count",
            )
    return checkpoints


def _read_tensors(folder: Path, index: dict[str, Any], part: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_tensors(read_part(folder, index, part))
    except SafetensorError:
        raise CheckpointError(f"{folder / index['files'][part]} is damaged", "use another checkpoint") from None
    return tensors


def fill(module: torch.nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Give a module the weights that come from ``folder``. Raises ``CheckpointError`` if they do not fit."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"the weights in {folder} do not fit its configuration: {reason}", "use another checkpoint"
        ) from None
