"""JSON lines: an object a line, with a picture and its caption or list of captions."""

from pathlib import Path
from typing import Any

from captioner.config import DatasetConfig
from captioner.data.formats.files import broken, captions_files, common_source, images_folder, parse_json, read_lines
from captioner.data.formats.reading import Gathering, Reading, row_split
from captioner.errors import nearest

_CAPTIONS = ("captions.jsonl", "annotations.jsonl", "metadata.jsonl")


def read_jsonl(config: DatasetConfig) -> Reading:
    """Read the keys that ``dataset.image_column``, ``caption_column`` and ``split_column`` name."""
    gathering, files = Gathering(), captions_files(config, _CAPTIONS)
    for split, source in files:
        folder = images_folder(config, split, ("images",))
        for line, text in read_lines(source):
            row = parse_json(text, source, line)
            if not isinstance(row, dict):
                raise broken(source, line, "expected an object such as {...}")
            name = _value(row, config.image_column, "image_column", source, line)
            captions = _value(row, config.caption_column, "caption_column", source, line)
            if not isinstance(name, str) or not name.strip():
                raise broken(source, line, f"'{config.image_column}' is not the path of a picture")
            captions = captions if isinstance(captions, list) else [captions]
            if not all(isinstance(caption, str) for caption in captions):
                raise broken(source, line, f"'{config.caption_column}' is neither a caption nor a list of captions")
            name, where = name.strip(), f"{source}:{line}"
            given = row.get(config.split_column)
            found = split or row_split("" if given is None else str(given), where)
            gathering.add(name, folder / name, [caption.strip() for caption in captions], found, where)
    return Reading(common_source(files), list(gathering))


def _value(row: dict[str, Any], name: str, key: str, path: Path, line: int) -> Any:
    if name not in row:
        raise broken(
            path,
            line,
            f"no key '{name}'{nearest(name, list(row))}",
            f"set dataset.{key} to one of its keys: {', '.join(row) or '(none)'}",
        )
    return row[name]
