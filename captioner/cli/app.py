"""The command line: registers the commands, and turns errors into two lines and an exit status."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

import typer

from captioner import __version__, processes
from captioner.cli import (
    caption,
    compare,
    doctor,
    download,
    evaluate,
    export,
    inspect,
    lint,
    preprocess,
    quickstart,
    serve,
    train,
    vocab,
)
from captioner.cli.console import Console
from captioner.cli.examples import epilog, split_docstring
from captioner.cli.usage import Command, Group, name_values
from captioner.errors import CaptionerError, Interrupted, StorageError, UsageError

app = typer.Typer(
    name="captioner",
    cls=Group,
    help="Train image-captioning models, and use them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What makes a write to standard output fail."""
_SHARED = (preprocess.preprocess, train.train, evaluate.evaluate, caption.caption)
"""Commands whose work several processes share."""


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Ctrl-C anywhere in a command says how to go on; typer itself would end without a word."""

    @functools.wraps(command)
    def run(*words: Any, **options: Any) -> None:
        if processes.started() > 1 and command not in _SHARED:
            raise UsageError(f"captioner {command.__name__} is work for one process", "run it without torchrun")
        try:
            with processes.joined():
                command(*words, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted", "the same command goes on where it stopped") from None

    return run


for _command in (
    quickstart.quickstart,
    download.download,
    lint.lint,
    vocab.vocab,
    preprocess.preprocess,
    train.train,
    evaluate.evaluate,
    compare.compare,
    caption.caption,
    serve.serve,
    inspect.inspect,
    export.export,
    doctor.doctor,
):
    _text, _examples = split_docstring(_command)
    name_values(_command)
    _paragraphs = "\n\n".join(
        " ".join(each.split()) for each in _text.split("\n\n")
    )  # Terminals break lines themselves.
    app.command(cls=Command, help=_paragraphs, epilog=epilog(_examples))(_interruptible(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"captioner {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; may stand anywhere."),
) -> None:
    """Train image-captioning models, and use them."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 usage or config error, 3 some inputs failed."""
    # Threads that wait for each other spin for milliseconds by default. That is a few per cent faster on an idle
    # machine and many times slower beside any other program, so they sleep sooner. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for stream, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, stream) is None:  # The caller has closed it, and wants to hear nothing.
            setattr(sys, stream, _nowhere(number))
    words = sys.argv[1:]
    debug = "--debug" in words  # Taken out here, so that it may stand anywhere on the line.
    words = [word for word in words if word != "--debug"]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    with processes.ending_at_once():
        _run(words, debug)


def _run(words: list[str], debug: bool) -> None:
    try:
        with processes.only_first_prints():
            try:
                app(words, prog_name=app.info.name)
            except SystemExit:  # The normal end, too: a full disk is told of here, and not by Python afterwards.
                sys.stdout.flush()
                raise
    except CaptionerError as error:
        if debug:
            raise
        if processes.tells_error():
            Console().error(error)
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = _nowhere(1)  # What is left would fail again when Python ends.
        sys.exit(error.exit_status)
    except BrokenPipeError:  # The reader, such as `head`, has gone.
        sys.stdout = _nowhere(1)
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if debug or error.errno not in _FULL or _takes_more():
            raise
        sys.stdout = _nowhere(1)
        problem = f"cannot write to standard output: {os.strerror(error.errno or 0)}"
        Console().error(StorageError(problem, "free some space, or send the results elsewhere"))
        sys.exit(StorageError.exit_status)


def _takes_more() -> bool:
    """Whether standard output can be written to, so that it was something else that failed."""
    try:
        os.write(1, b"\n")
    except OSError:
        return False
    return True


def _nowhere(number: int) -> TextIO:
    """A stream for ``number`` that takes everything and keeps nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    return open(number, "w", encoding="utf-8", closefd=False)
