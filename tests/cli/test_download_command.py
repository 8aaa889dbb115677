"""``captioner download`` says what it would do, does it once, and says how to use what it made."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import Cli
from PIL import Image

from captioner.data.download import catalog
from captioner.data.download.catalog import Archive, Source
from captioner.data.shapes.dataset import CAPTIONS_FILE


def photo() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), "green").save(stream, "JPEG")
    return stream.getvalue()


PARTS = {
    "text.zip": {"captions.csv": b"image,caption,split\na.jpg,grass,train\nb.jpg,a lawn,val\n"},
    "photos.zip": {"images/a.jpg": photo(), "images/b.jpg": photo()},
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A catalogue with one small data set on a server of its own; the name of the data set."""
    served = tmp_path / "served"
    served.mkdir()
    for name, files in PARTS.items():
        with zipfile.ZipFile(served / name, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(served))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    archives = tuple(
        Archive(
            name,
            kind,  # type: ignore[arg-type]
            (f"http://127.0.0.1:{server.server_port}/{name}",),
            (served / name).stat().st_size,
            f"md5:{hashlib.md5((served / name).read_bytes()).hexdigest()}",
            pictures=pictures,
        )
        for name, kind, pictures in (("text.zip", "annotations", 0), ("photos.zip", "pictures", 2))
    )
    source = Source("tiny", "Tiny: 2 lawns", archives, "free for all", "https://example.org", ("dataset.format=csv",))
    monkeypatch.setitem(catalog.SOURCES, "tiny", source)
    monkeypatch.chdir(tmp_path)
    yield "tiny"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_dry_run_shows_what_how_big_and_where_to(cli: Cli, tiny: str) -> None:
    done = cli("download", tiny, "--dry-run")
    assert done.status == 0
    assert [row[:3] for row in done.rows] == [
        ["file", "size", "state"],
        ["text.zip", "177 bytes", "to be downloaded"],
        ["photos.zip", "2 kB", "to be downloaded"],
    ]
    first, second, third = done.err.splitlines()
    assert first == "Tiny: 2 lawns, from https://example.org"
    assert second == "terms: free for all"
    assert third.startswith("would download ")
    assert not Path("data").exists()


def test_download_then_use(cli: Cli, tiny: str) -> None:
    done = cli("download", tiny)
    assert done.status == 0, done.err
    lines = done.err.splitlines()
    assert lines[:2] == ["Tiny: 2 lawns, from https://example.org", "terms: free for all"]
    assert "text.zip: 1 file in data/tiny" in lines
    assert "photos.zip: 2 files in data/tiny" in lines
    assert lines[-2] == "tiny is in data/tiny"
    use = lines[-1].removeprefix("use it: ").split()
    assert use == ["--set", "dataset.format=csv", "--set", "dataset.root=data/tiny"]
    Path("c.yaml").write_text("version: 1\ndataset: {format: csv, root: nowhere}\nvocab: {min_count: 1}\n")
    assert cli("vocab", "--config", "c.yaml", *use).status == 0


def test_a_second_download_does_nothing_and_says_so(cli: Cli, tiny: str) -> None:
    cli("download", tiny)
    done = cli("download", tiny)
    assert done.status == 0
    assert "tiny is in data/tiny already: nothing to do" in done.err.splitlines()
    assert [row[2] for row in cli("download", tiny, "--dry-run").rows] == ["state", "done", "done"]


def test_only_annotations(cli: Cli, tiny: str) -> None:
    cli("download", tiny, "--only", "annotations", "--root", "here")
    assert [path.name for path in Path("here").glob("[!.]*")] == ["captions.csv"]


def test_keep_archives(cli: Cli, tiny: str) -> None:
    cli("download", tiny, "--keep-archives")
    assert sorted(path.name for path in Path("data/tiny").glob("*.zip")) == ["photos.zip", "text.zip"]


def test_a_mirror_without_the_file(cli: Cli, tiny: str) -> None:
    url = catalog.SOURCES["tiny"].archives[0].urls[0]
    done = cli("download", tiny, "--mirror", url.replace("text.zip", "other"), "--quiet")
    assert done.status == 1
    assert done.err.splitlines() == [
        f"error: {url.replace('text.zip', 'other')}/text.zip: the server answers 404 File not found",
        "       name another server that has the file by --mirror",
    ]


def test_without_a_network_it_ends_at_once_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "Flickr8k"
    done = cli("download", "flickr8k", "--root", root, "--mirror", "http://nowhere.invalid/files", "--quiet")
    assert done.status == 1
    assert done.err.splitlines() == [
        "error: http://nowhere.invalid/files/Flickr8k_text.zip: the name nowhere.invalid leads to no server from here",
        "       connect to the network (where a proxy leads there, set HTTPS_PROXY), and run the command again",
    ]
    assert not root.exists()


def test_an_unknown_data_set(cli: Cli) -> None:
    done = cli("download", "coc")
    assert done.status == 2
    assert done.err.splitlines() == [
        "error: no data set is called 'coc', did you mean 'coco'?",
        "       choose one of coco, coco2017, flickr8k, flickr30k, shapes",
    ]


def test_flickr30k_says_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    done = cli("download", "flickr30k", "--root", tmp_path)
    assert done.status == 1
    assert done.err.splitlines()[-2:] == [
        "error: flickr30k-images.tar.gz of flickr30k cannot simply be downloaded: its authors send the photographs on "
        "request, by the form at the end of https://shannon.cs.illinois.edu/DenotationGraph/",
        "       then give it by --archive FILE, or take the captions alone by --only annotations",
    ]


def test_shapes_are_drawn_once(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    assert cli("download", "shapes", "--root", root, "--dry-run").err == (
        f"would draw 4,000 pictures in {root}; nothing is downloaded\n"
    )
    assert not root.exists()
    done = cli("download", "shapes", "--root", root)
    assert done.err.splitlines() == [
        f"shapes is in {root}, drawn here",
        f"use it: --set dataset.format=shapes --set dataset.root={root}",
    ]
    assert (root / CAPTIONS_FILE).exists()
    assert cli("download", "shapes", "--root", root).err.startswith(f"shapes is in {root} already: nothing to do\n")
