"""``captioner lint``: what is wrong with a data set."""

from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson, ConfigFile, Quiet, setting

if TYPE_CHECKING:
    from captioner.data.lint.report import Report

_BIN, _BAR = 5, 40


def lint(
    config: ConfigFile,
    overrides: Annotated[list[str], setting("dataset.root=FOLDER")] = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read every caption and picture, and tell what is wrong; the exit status is 1 if training would be wrong too.

    Example: captioner lint --config examples/flickr8k-attention.yaml --set dataset.root=Flickr8k
    """
    from captioner.configfile import load_config
    from captioner.data.lint import lint_dataset

    with Console(quiet) as console:
        report = lint_dataset(load_config(config, overrides), console.listen)
    if as_json:
        console.json(report.to_json())
    else:
        _show(console, report)
    if report.wrong:
        raise typer.Exit(1)


def _show(console: Console, report: "Report") -> None:
    from captioner.data.formats.reading import counted
    from captioner.data.lint.report import SEVERITIES

    rows = [(one.severity, one.kind, one.message, one.remedy) for one in report.findings]
    if rows:
        console.table(["severity", "kind", "what is wrong", "what to do"], rows)
    if "splits" in report.statistics:
        splits = [
            (split, f"{of['pictures']:,}", f"{of['captions']:,}", f"{of['unknown_rate']:.2%}")
            for split, of in report.statistics["splits"].items()
        ]
        console.table(["split", "pictures", "captions", "unknown words"], splits)
        console.table(["words", "captions", "how often"], _histogram(report.statistics["caption_lengths"]))
    counts = [counted(report.count(severity), severity) for severity in SEVERITIES]
    console.done(", ".join(counts) if rows else "nothing is wrong")


def _histogram(lengths: dict[str, int]) -> list[tuple[str, str, str]]:
    """Captions by number of words, in fives."""
    bins: dict[int, int] = {}
    for length, count in lengths.items():
        bins[(int(length) - 1) // _BIN] = bins.get((int(length) - 1) // _BIN, 0) + count
    most = max(bins.values(), default=1)
    return [
        ("0" if at < 0 else f"{at * _BIN + 1}-{at * _BIN + _BIN}", f"{count:,}", "#" * -(-count * _BAR // most))
        for at, count in sorted(bins.items())
    ]
