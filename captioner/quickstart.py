"""The quickstart's steps: the commands that lead from nothing, or from somebody's pictures, to captions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Final

from captioner.config import Config
from captioner.configfile import parse_config
from captioner.errors import UsageError
from captioner.files import write_text

CONFIG: Final = Path(__file__).with_name("quickstart.yaml")
_SHAPES: Final = "  format: shapes\n  root: data/shapes\n"
_OWN: Final = "# Your pictures, and a small model that learns from nothing, encoder included.\n"
_UNSEEN: Final = 10
"""Pictures that are captioned at the end."""


@dataclass(frozen=True)
class Step:
    """A command: what it is good for, and its words."""

    purpose: str
    words: list[str]


def steps(folder: Path, data: Path | None) -> Iterator[Step]:
    """What fills ``folder``, on the shapes or on the pictures in ``data``; a step is made when those before are done.

    Raises ``UsageError`` if ``folder`` was begun with other data.
    """
    file, run = folder / "config.yaml", folder / "run"
    config = _write_config(file, data, folder / "data")
    with_config, model = ["--config", str(file)], ["--model", str(run)]
    if data is None:
        yield Step("pictures of shapes, each with five captions", ["download", "shapes", "--root", config.dataset.root])
    yield Step("what is wrong with the data", ["lint", *with_config])
    yield Step("the words that the model will know", ["vocab", *with_config])
    going_on = ["--resume"] if (run / "last").is_dir() else []
    yield Step(
        "encoder and decoder, both from nothing; as the encoder learns too, its features cannot be stored",
        ["train", *with_config, "--run", str(run), *going_on],
    )
    yield Step(
        "how good its captions of other pictures are, and a report with the best and the worst of them",
        ["evaluate", *model, "--split", "val", "--report", str(folder / "report.html")],
    )
    yield Step(
        "captions of pictures that it has never seen, and where it looks for each word",
        ["caption", *_unseen(config), *model, "--attention", str(folder / "attention")],
    )


def _write_config(file: Path, data: Path | None, shapes: Path) -> Config:
    if data and not data.is_dir():
        raise UsageError(f"{data} is no folder", "name the folder of your pictures: --data FOLDER")
    if data and file.resolve().is_relative_to(data.resolve()):
        raise UsageError(
            f"{file.parent} is in {data}, where it would be taken for data", "choose a --folder outside of it"
        )
    form, root = ("folder", data) if data else ("shapes", shapes)
    source = f"  format: {form}\n  root: {json.dumps(str(root), ensure_ascii=False)}\n"
    text = CONFIG.read_text(encoding="utf-8").replace(_SHAPES, source)
    if data:
        text = _OWN + "".join(dropwhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    config = parse_config(text, str(file))
    if file.exists() and (file.parent / "run").exists():
        begun = parse_config(file.read_text(encoding="utf-8"), str(file))
        if _resolved(begun) != _resolved(config):
            raise UsageError(
                f"{file.parent} holds a quickstart of other data or settings",
                "choose another --folder, or delete that one",
            )
        return begun  # Which may name the same folder otherwise.
    write_text(file, text)
    return config


def _resolved(config: Config) -> Config:
    root = str(Path(config.dataset.root).resolve())
    return config.model_copy(update={"dataset": config.dataset.model_copy(update={"root": root})})


def _unseen(config: Config) -> list[str]:
    from captioner.data.annotations import load_dataset

    return [str(record.file) for record in load_dataset(config.dataset).split("test")[:_UNSEEN]]
