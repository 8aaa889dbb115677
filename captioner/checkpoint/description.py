"""What a checkpoint holds, in words and numbers for people, read without loading its weights."""

import json
import math
from pathlib import Path
from typing import Any

from captioner.calibration import Calibration
from captioner.checkpoint.index import calibration_in, damaged, read_index
from captioner.errors import CheckpointError
from captioner.evaluation.metrics import written

Section = dict[str, Any]


def describe(path: Path) -> dict[str, Section]:
    """Sections of keys and values. Raises ``CheckpointError`` as loading would, short of reading the weights."""
    folder, index = read_index(path)
    try:
        return _sections(folder, index)
    except (KeyError, TypeError, AttributeError):
        raise damaged(folder) from None


def _sections(folder: Path, index: dict[str, Any]) -> dict[str, Section]:
    config, provenance = index["config"], index["provenance"]
    decoder, encoder, files = config["decoder"], config["encoder"], index["files"]
    where = files.get("encoder", f"not stored: torchvision's default, hash {index['encoder']['weights_hash']}")
    transform = index["encoder"]["transform"]
    return {
        "checkpoint": {
            "directory": str(folder),
            "version": index["version"],
            "size": f"{sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB",
        },
        "encoder": {
            "backbone": encoder["backbone"],
            "weights": where,
            "fine-tuned": encoder["fine_tune"],
            "picture": f"shorter side to {transform['resize']}, centre {transform['crop']}x{transform['crop']}",
            "features": f"{index['features']['positions']} positions of {index['features']['size']}",
        },
        "decoder": {
            "type": _decoder_type(decoder),
            "hidden size": decoder["hidden_size"],
            "parameters": f"{_parameters(folder / files['decoder']):,}",
        },
        "vocabulary": {"words": f"{index['vocabulary']['size']:,}", "fingerprint": index["vocabulary"]["fingerprint"]},
        "sampling": config["sampling"],
        "confidence": _confidence(calibration_in(index, folder)),
        "training": {
            "data": _dataset(provenance),
            "epoch": provenance["log_row"].get("epoch", 0),
            **{f"val {written(name)}": round(value, 4) for name, value in _validation(provenance).items()},
            "precision": provenance["precision"],
            "versions": ", ".join(f"{name} {provenance[name]}" for name in ("captioner", "torch", "torchvision")),
        },
    }


def _decoder_type(decoder: dict[str, Any]) -> str:
    details = {"lstm": f" ({decoder['conditioning']})", "transformer": f" ({decoder['layers']} layers)"}
    return str(decoder["type"]) + details.get(decoder["type"], "")


def _dataset(provenance: dict[str, Any]) -> str:
    sizes = ", ".join(f"{split} {count:,}" for split, count in provenance["dataset"]["pictures"].items())
    return f"{provenance['dataset']['name']} ({sizes})"


def _validation(provenance: dict[str, Any]) -> dict[str, float]:
    row = provenance["log_row"].items()
    return {name.removeprefix("val_"): value for name, value in row if name.startswith("val_")}


def _confidence(calibration: Calibration | None) -> Section:
    if calibration is None:
        return {"means": "geometric mean of the words' probabilities: it ranks captions, and is not calibrated"}
    rows = {
        f"bin {number}": f"says {each.confidence:.0%}; of {each.captions:,} captions {each.accuracy:.0%} are right"
        for number, each in enumerate(calibration.bins, 1)
    }
    return {
        "means": f"probability that a caption's CIDEr is {calibration.right_from} or more, as in the validation split",
        "method": "Platt scaling of the mean log-probability of its words",
        "error": f"{calibration.error:.3f} (expected calibration error, cross-validated)",
        **rows,
    }


def _parameters(path: Path) -> int:
    """Numbers in a safetensors file, by its header: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError):
        raise CheckpointError(f"{path} is missing or damaged", "copy the whole directory again") from None
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
