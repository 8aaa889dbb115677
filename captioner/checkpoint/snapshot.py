"""A model at one moment, copied so that training can go on while it is written as a checkpoint."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from captioner.checkpoint.index import INDEX, VERSION
from captioner.config import Config
from captioner.files import atomic_write, remove_parts, write_text
from captioner.model.build import CaptionModel
from captioner.model.encoder import hash_weights
from captioner.vocab import Vocabulary


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint will hold, on the CPU; nothing that trains has a part in it."""

    decoder: dict[str, Tensor]
    encoder: dict[str, Tensor]
    index: dict[str, Any]
    """``checkpoint.json``, without what takes long to find out."""
    vocabulary: Vocabulary
    training: dict[str, Any] | None
    named_only: bool
    """Whether the encoder's weights are torchvision's own, which are named instead of stored."""

    @classmethod
    def take(
        cls,
        model: CaptionModel,
        vocabulary: Vocabulary,
        config: Config,
        provenance: dict[str, Any],
        training: dict[str, Any] | None = None,
    ) -> "Snapshot":
        """Copy what changes; a frozen encoder does not. ``training`` is what resuming needs beside the weights."""
        encoder = model.encoder
        weights = encoder.state_dict()
        index = {
            "vocabulary": {"size": len(vocabulary), "fingerprint": vocabulary.fingerprint},
            "features": dict(zip(("positions", "size"), encoder.feature_shape(), strict=True)),
            "encoder": {"transform": encoder.transform.to_json()},
            "config": config.model_dump(),
            "provenance": provenance,
        }
        return cls(
            decoder=_copied(model.decoder.state_dict()),
            encoder=weights if encoder.frozen else _copied(weights),
            index=index,
            vocabulary=vocabulary,
            training=_copied(training),
            named_only=encoder.has_default_weights and encoder.frozen and not config.encoder.keep,
        )

    def write(self, folder: Path) -> None:
        """Replace the checkpoint in ``folder``; the old one stands until this one is whole. Raises ``StorageError``."""
        files = {"decoder": _write(folder, "decoder.safetensors", lambda: _tensor_bytes(self.decoder))}
        if not self.named_only:
            files["encoder"] = _write(folder, "encoder.safetensors", lambda: _tensor_bytes(self.encoder))
        if self.training is not None:
            files["training"] = _write(folder, "training.pt", lambda: _pickle_bytes(self.training))
        files["vocabulary"] = _write(folder, "vocabulary.json", lambda: self.vocabulary.to_json().encode())
        encoder = {"weights_hash": hash_weights(self.encoder), **self.index["encoder"]}
        header = {"format": "captioner checkpoint", "version": VERSION, "files": files}
        write_text(folder / INDEX, json.dumps({**header, **self.index, "encoder": encoder}, indent=2) + "\n")
        for old in folder.glob("*-????????????????.*"):
            if old.name not in files.values():
                old.unlink(missing_ok=True)
        remove_parts(folder)


def _copied(value: Any) -> Any:
    """With every tensor in dictionaries and lists copied to the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _write(folder: Path, name: str, make: Callable[[], bytes]) -> str:
    """Write a file under a name that holds its hash; returns the name."""
    data = make()
    stem, suffix = name.split(".")
    path = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
    if not path.exists():
        with atomic_write(path) as file:
            file.write(data)
    return path.name


def _tensor_bytes(state: dict[str, Tensor]) -> bytes:
    return bytes(save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}))


def _pickle_bytes(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
