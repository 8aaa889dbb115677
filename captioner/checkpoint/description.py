"""What a checkpoint holds, as programs read it and in words for people, without loading its weights."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from captioner.calibration import Calibration
from captioner.checkpoint.index import calibration_in, check_files, damaged, read_index
from captioner.errors import CheckpointError
from captioner.evaluation.metrics import written
from captioner.files import readable_size
from captioner.heeding import counting

Section = dict[str, Any]

_SAID = {
    "picture": "shorter side to {resize}, centre {crop}x{crop}",
    "features": "{positions} positions of {size}",
    "error": "{:.3f} (expected calibration error, cross-validated)",
}
"""How people are told a value of this name."""


def describe(path: Path) -> dict[str, Section]:
    """Sections of keys and values, as JSON has them.

    Raises ``CheckpointError`` as loading would, short of reading the weights.
    """
    folder, index = read_index(path)
    try:
        check_files(folder, index)
        return _sections(folder, index)
    except (KeyError, TypeError, AttributeError):
        raise damaged(folder) from None


def in_words(description: dict[str, Section]) -> dict[str, dict[str, str]]:
    """A description for people; of the sampling, what counts."""
    counted = {**description, "sampling": counting(description["sampling"])}
    return {name: dict(_lines(section)) for name, section in counted.items()}


def _lines(section: Section) -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        if name == "bins":
            for number, each in enumerate(value, 1):
                says, right = each["confidence"], each["accuracy"]
                yield f"bin {number}", f"says {says:.0%}; of {each['captions']:,} captions {right:.0%} are right"
        elif name == "bytes":
            yield "size", readable_size(value)
        elif name in _SAID:
            yield name, _SAID[name].format(**value) if isinstance(value, dict) else _SAID[name].format(value)
        elif isinstance(value, dict):
            yield name, ", ".join(f"{key} {_number(each)}" for key, each in value.items())
        elif isinstance(value, list):
            yield name, ", ".join(value)
        else:
            yield written(name), _number(value)


def _number(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _sections(folder: Path, index: dict[str, Any]) -> dict[str, Section]:
    config, provenance = index["config"], index["provenance"]
    decoder, encoder, files = config["decoder"], config["encoder"], index["files"]
    where = files.get("encoder", f"not stored: torchvision's default, hash {index['encoder']['weights_hash']}")
    transform = index["encoder"]["transform"]
    return {
        "checkpoint": {
            "directory": str(folder),
            "version": index["version"],
            "bytes": sum(file.stat().st_size for file in folder.iterdir()),
        },
        "encoder": {
            "backbone": encoder["backbone"],
            "weights": where,
            "fine-tuned": encoder["fine_tune"],
            "picture": {"resize": transform["resize"], "crop": transform["crop"]},
            "features": {"positions": index["features"]["positions"], "size": index["features"]["size"]},
        },
        "decoder": {
            "type": _decoder_type(decoder),
            "hidden size": decoder["hidden_size"],
            "parameters": _parameters(folder / files["decoder"]),
        },
        "vocabulary": {"words": index["vocabulary"]["size"], "fingerprint": index["vocabulary"]["fingerprint"]},
        "sampling": config["sampling"],
        "confidence": _confidence(calibration_in(index, folder)),
        "training": {
            "data": provenance["dataset"]["name"],
            "pictures": provenance["dataset"]["pictures"],
            "epoch": provenance["log_row"].get("epoch", 0),
            **{f"val {name}": round(value, 4) for name, value in _validation(provenance).items()},
            "precision": provenance["precision"],
            "versions": {name: provenance[name] for name in ("captioner", "torch", "torchvision")},
        },
    }


def _decoder_type(decoder: dict[str, Any]) -> str:
    layers = f"{decoder['layers']} layer{'' if decoder['layers'] == 1 else 's'}"
    details = {"lstm": f" ({decoder['conditioning']})", "transformer": f" ({layers})"}
    return str(decoder["type"]) + details.get(decoder["type"], "")


def _validation(provenance: dict[str, Any]) -> dict[str, float]:
    row = provenance["log_row"].items()
    return {name.removeprefix("val_"): value for name, value in row if name.startswith("val_")}


def _confidence(calibration: Calibration | None) -> Section:
    if calibration is None:
        return {"means": "geometric mean of the words' probabilities: it ranks captions, and is not calibrated"}
    return {
        "means": f"probability that a caption's CIDEr is {calibration.right_from} or more, as in the validation split",
        "method": "Platt scaling of the mean log-probability of its words",
        "error": round(calibration.error, 4),
        "bins": [asdict(each) for each in calibration.bins],
    }


def _parameters(path: Path) -> int:
    """Numbers in a safetensors file, by its header: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError):
        raise CheckpointError(f"{path} is missing or damaged", "copy the whole directory again") from None
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
