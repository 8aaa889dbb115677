"""The command line: registers the commands, and turns errors into two lines and an exit status."""

import sys

import typer

from captioner import __version__
from captioner.cli import caption, evaluate, inspect, preprocess, train, vocab
from captioner.cli.console import Console
from captioner.errors import CaptionerError

app = typer.Typer(
    name="captioner",
    help="Train image-captioning models, and use them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="vocab")(vocab.vocab)
app.command(name="preprocess")(preprocess.preprocess)
app.command(name="train")(train.train)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="caption")(caption.caption)
app.command(name="inspect")(inspect.inspect)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"captioner {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train image-captioning models, and use them."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 usage or config error, 3 some inputs failed."""
    try:
        app()
    except CaptionerError as error:
        if "--debug" in sys.argv:
            raise
        Console().error(error)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        Console().error(CaptionerError("interrupted", "the same command goes on where it stopped"))
        sys.exit(130)
    except BrokenPipeError:  # The reader, such as `head`, has gone.
        sys.stderr.close()
        sys.exit(0)
