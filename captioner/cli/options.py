"""Options that several commands share, so that they read and behave alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from captioner.events import Listener
    from captioner.experiment import Experiment

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="YAML file, as examples/ has them.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Set a config value, such as training.epochs=5.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
Model = Annotated[Path, typer.Option("--model", "-m", help="A run's directory, or a checkpoint's.")]

Models = Annotated[
    list[Path], typer.Option("--model", "-m", help="A run's directory, or a checkpoint's; several caption together.")
]


def open_experiment(config: Path, overrides: list[str], listener: "Listener") -> "Experiment":
    """The experiment that a config file and overrides describe."""
    # Here and in the commands, heavy modules are imported where they are used: help must show at once.
    from captioner.configfile import load_config
    from captioner.experiment import Experiment

    return Experiment(load_config(config, overrides), listener)
