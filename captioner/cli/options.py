"""Options that several commands share, so that they read and behave alike; and how words become values."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captioner.errors import UsageError

if TYPE_CHECKING:
    from captioner.events import Listener
    from captioner.experiment import Experiment

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="YAML file, as examples/ has them.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
Models = Annotated[
    list[Path],
    typer.Option(
        "--model", "-m", metavar="FOLDER", help="A run's directory, or a checkpoint's; several caption together."
    ),
]


def setting(example: str) -> Any:
    """``--set`` of a command that heeds what ``example`` sets."""
    return typer.Option("--set", metavar="KEY=VALUE", help=f"Set a config value, such as {example}; repeatable.")


def refuse_settings(overrides: list[str]) -> None:
    """Raise ``UsageError`` for ``--set`` where there are files of captions, and no model that it could change."""
    if overrides:
        settings = ", ".join(f"--set {each}" for each in overrides)
        raise UsageError(f"no effect on files of captions: {settings}", "leave it out, or score a model")


def open_experiment(config: Path, overrides: list[str], listener: "Listener") -> "Experiment":
    """The experiment that a config file and overrides describe."""
    # Here and in the commands, heavy modules are imported where they are used: help must show at once.
    from captioner.configfile import load_config
    from captioner.experiment import Experiment

    return Experiment(load_config(config, overrides), listener)


def whole_numbers(option: str, text: str) -> list[int]:
    """``1,3,5`` -> each number once, in order; none of an empty text. Raises ``UsageError``."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"{option} {text}: expected whole numbers above 0", f"for example {option} 1,3,5")
    return list(dict.fromkeys(map(int, parts)))
