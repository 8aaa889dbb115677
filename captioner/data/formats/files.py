"""Finding and reading the files of a data set, with errors that name the file and the line."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from captioner.config import DatasetConfig
from captioner.errors import DatasetError


def read_text(path: Path) -> str:
    """The UTF-8 text of ``path``, without a byte-order mark.

    Raises ``DatasetError`` naming the line of the first byte that is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            f"there is no file {path}", "give its path relative to dataset.root, or put the file there"
        ) from None
    except OSError as error:
        raise DatasetError(
            f"cannot read {path}: {error.strerror}", "give the path of a file that you may read"
        ) from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise broken(path, line, "not UTF-8 text", f"save {path.name} as UTF-8, and try again") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of ``path`` that are not blank, each with its number from 1."""
    # Not splitlines(): it also breaks at characters that may stand inside a caption, such as U+2028.
    lines = ((number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1))
    return [(number, line) for number, line in lines if line]


def read_json(path: Path) -> Any:
    """The value in the JSON file ``path``; raises ``DatasetError`` with the line where it stops being JSON."""
    return parse_json(read_text(path), path)


def parse_json(text: str, path: Path, line: int = 1) -> Any:
    """The value of ``text``, which begins on ``line`` of ``path``; ``DatasetError`` as in ``read_json``."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"not valid JSON: {error.msg} (column {error.colno})"
        raise broken(path, line + error.lineno - 1, problem) from None
    except RecursionError:
        raise broken(path, line, "not usable JSON: it is nested too deeply") from None


def broken(path: Path, line: int, problem: str, remedy: str = "mend that line, and try again") -> DatasetError:
    """The error for ``line`` of ``path``."""
    return DatasetError(f"{path}:{line}: {problem}", remedy)


def dataset_root(config: DatasetConfig) -> Path:
    """The folder of the data set; raises ``DatasetError`` if there is none."""
    root = Path(config.root)
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DatasetError(
            f"the data set's folder {root} {problem}",
            "name its folder: --set dataset.root=FOLDER ('captioner download' fetches a known data set)",
        )
    return root


def captions_files(config: DatasetConfig, usual: Sequence[str]) -> list[tuple[str | None, Path]]:
    """The captions files, each with the split that it gives to its pictures, if any.

    Those that ``dataset.captions`` names, or else the first of the ``usual`` names that the root has.
    Raises ``DatasetError`` if there is none.
    """
    root = dataset_root(config)
    if isinstance(config.captions, dict) and config.captions:
        return [(split, root / name) for split, name in config.captions.items()]
    if isinstance(config.captions, str):
        return [(None, root / config.captions)]
    for name in usual:
        if (root / name).is_file():
            return [(None, root / name)]
    looked = f" (looked for {', '.join(usual)})" if usual else ""
    raise DatasetError(
        f"{root} has no captions file of the format '{config.format}'{looked}",
        "set dataset.captions to its path relative to dataset.root, or dataset.format to another format",
    )


def common_source(files: Sequence[tuple[str | None, Path]]) -> Path:
    """What messages call the captions: their file, or the folder that holds several."""
    return files[0][1] if len(files) == 1 else common_folder([path for _, path in files])


def common_folder(files: Iterable[Path]) -> Path:
    """The folder that holds all ``files``, at any depth."""
    folders = list(dict.fromkeys(file.parent for file in files))
    if len(folders) > 1:
        with suppress(ValueError):  # Files on different drives of Windows have no folder in common.
            return Path(os.path.commonpath([folder.absolute() for folder in folders]))
    return folders[0]


def images_folder(config: DatasetConfig, split: str | None, usual: Iterable[str]) -> Path:
    """The folder of the pictures: as ``dataset.images`` says, or the first of the ``usual`` ones, or the root."""
    root = dataset_root(config)
    images = config.images
    if isinstance(images, dict):
        chosen = next((folder for name, folder in images.items() if name == split), None)
        if chosen is None:
            raise DatasetError(
                f"dataset.images names no folder for {f'the split {split!r}' if split else 'pictures of no split'}",
                "give one folder for all pictures, or one for each split that dataset.captions names",
            )
        return _folder(root / chosen)
    if images is not None:
        return _folder(root / images)
    return next((root / name for name in usual if (root / name).is_dir()), root)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise DatasetError(
            f"the folder of the pictures {path} does not exist",
            "set dataset.images to the folder of the pictures, relative to dataset.root",
        )
    return path
