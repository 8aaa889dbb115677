"""``captioner download``: fetches a data set, or generates the built-in one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from captioner.cli.console import Console
from captioner.cli.options import Quiet


def download(
    name: Annotated[
        str, typer.Argument(help="coco (2014, Karpathy's split), coco2017, flickr8k, flickr30k or shapes.")
    ],
    root: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the data set; by default data/NAME.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="A folder on another server with the files.")
    ] = None,
    only: Annotated[Literal["annotations"] | None, typer.Option(help="Leave the pictures out.")] = None,
    archive: Annotated[
        list[Path], typer.Option(metavar="FILE", help="An archive that you have already; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep what was unpacked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download a data set, verify and unpack it; interrupted, the same command goes on, and finished, does nothing.

    Example: captioner download flickr8k --root data/flickr8k
    """
    from captioner.data.download.catalog import SOURCES
    from captioner.data.download.job import Download
    from captioner.errors import UsageError, nearest
    from captioner.files import readable_size

    root = root or Path("data") / name
    with Console(quiet) as console:
        if name == "shapes":
            _shapes(root, dry_run, console)
            return
        if name not in SOURCES:
            known = [*SOURCES, "shapes"]
            raise UsageError(
                f"no data set is called '{name}'{nearest(name, known)}", f"choose one of {', '.join(known)}"
            )
        source = SOURCES[name]
        job = Download(
            source,
            root,
            mirror=mirror,
            only_annotations=only is not None,
            given=archive,
            keep_archives=keep_archives,
        )
        console.done(f"{source.title}, from {source.page}")
        console.done(f"terms: {source.terms}")
        if dry_run:
            console.table(
                ["file", "size", "state", "from"],
                [(s.archive.name, readable_size(s.archive.size), s.state, s.origin) for s in job.steps],
            )
            console.done(
                f"would download {readable_size(job.bytes_to_fetch)} to {root}; "
                f"needs {readable_size(job.bytes_needed)}, {readable_size(job.bytes_free)} are free"
            )
            return
        done = job.run(console.listen)
        console.done(f"{name} is in {root}" if done else f"{name} is in {root} already: nothing to do")
        console.done(f"use it: --set {' --set '.join((*source.settings, f'dataset.root={root}'))}")


def _shapes(root: Path, dry_run: bool, console: Console) -> None:
    from captioner.config import DatasetConfig
    from captioner.data.shapes.dataset import CAPTIONS_FILE, generate_shapes

    settings = DatasetConfig(format="shapes", root=str(root))
    if dry_run:
        console.done(f"would draw {settings.size:,} pictures in {root}; nothing is downloaded")
        return
    there = (root / CAPTIONS_FILE).exists()
    generate_shapes(root, images=settings.size, seed=settings.seed)
    console.done(f"shapes is in {root} already: nothing to do" if there else f"shapes is in {root}, drawn here")
    console.done(f"use it: --set dataset.format=shapes --set dataset.root={root}")
