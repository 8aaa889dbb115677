"""A data set is downloaded once, whatever happens on the way, and ends as exactly its files."""

import hashlib
import io
import json
import random
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import (
    Fault,
    FaultyServer,
    changed,
    corrupt,
    cut,
    ignores_range,
    lies,
    nothing,
    redirect,
    slow,
    status,
    without_length,
)

from captioner.data.download import job as download
from captioner.data.download.catalog import SOURCES, Archive, Source
from captioner.data.download.job import Download
from captioner.errors import CaptionerError, DownloadError, StorageError
from captioner.events import Event, Progress, ignore

NUMBERS = random.Random(2)
PHOTOS = {f"photos/{number}.jpg": NUMBERS.randbytes(700) for number in range(12)}
TEXTS = {"captions.txt": b"image,caption\n0.jpg,a dog\n" * 40}


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


SERVED = {"photos.zip": packed(PHOTOS), "text.zip": packed(TEXTS)}


def source_at(address: str) -> Source:
    def archive(name: str, kind: str, pictures: int) -> Archive:
        checksum = f"sha256:{hashlib.sha256(SERVED[name]).hexdigest()}"
        return Archive(name, kind, (f"{address}/{name}",), len(SERVED[name]), checksum, pictures=pictures)  # type: ignore[arg-type]

    archives = (archive("text.zip", "annotations", 0), archive("photos.zip", "pictures", 12))
    return Source("tiny", "Tiny", archives, "free", "https://example.org", ("dataset.format=csv",))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with FaultyServer(dict(SERVED)) as running:
        yield running


def files(root: Path) -> dict[str, bytes]:
    """What a user sees under the root: all but our record of it."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name != ".downloaded"
    }


def test_everything_is_fetched_unpacked_and_told(server: FaultyServer, tmp_path: Path) -> None:
    events: list[Event] = []
    assert Download(source_at(server.address), tmp_path).run(events.append) == 2
    assert files(tmp_path) == {**PHOTOS, **TEXTS}
    told = {event.task: event for event in events if isinstance(event, Progress)}
    assert list(told) == ["all files", "text.zip", "unpacking text.zip", "photos.zip", "unpacking photos.zip"]
    assert told["photos.zip"].done == told["photos.zip"].total == len(SERVED["photos.zip"])
    assert told["all files"].total == sum(map(len, SERVED.values()))
    assert told["unpacking photos.zip"].done == 12


def test_a_finished_download_does_nothing(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at(server.address), tmp_path).run(ignore)
    server.requests.clear()
    again = Download(source_at(server.address), tmp_path)
    assert again.run(ignore) == 0
    assert (again.bytes_to_fetch, again.bytes_needed) == (0, 0)
    assert server.requests == []


def test_what_was_deleted_since_is_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at(server.address), tmp_path).run(ignore)
    (tmp_path / "photos/3.jpg").unlink()
    server.requests.clear()
    assert Download(source_at(server.address), tmp_path).run(ignore) == 1
    assert server.requests == [("photos.zip", None)]
    assert files(tmp_path) == {**PHOTOS, **TEXTS}


def test_kept_archives_are_used_again(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at(server.address), tmp_path, keep_archives=True).run(ignore)
    assert files(tmp_path) == {**PHOTOS, **TEXTS, **SERVED}
    (tmp_path / "captions.txt").unlink()
    server.requests.clear()
    Download(source_at(server.address), tmp_path, keep_archives=True).run(ignore)
    assert server.requests == []
    assert files(tmp_path) == {**PHOTOS, **TEXTS, **SERVED}


def test_annotations_alone(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at(server.address), tmp_path, only_annotations=True).run(ignore)
    assert files(tmp_path) == TEXTS


def test_a_mirror_is_asked_instead(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at("http://127.0.0.1:9"), tmp_path, mirror=server.address + "/").run(ignore)
    assert files(tmp_path) == {**PHOTOS, **TEXTS}


def test_an_archive_that_the_user_has(server: FaultyServer, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "photos.zip"
    mine.parent.mkdir()
    mine.write_bytes(SERVED["photos.zip"])
    Download(source_at(server.address), tmp_path / "root", given=[mine]).run(ignore)
    assert [path for path, _ in server.requests] == ["text.zip"]
    assert files(tmp_path / "root") == {**PHOTOS, **TEXTS}
    assert mine.exists()


def test_an_archive_that_the_user_has_and_that_is_another(server: FaultyServer, tmp_path: Path) -> None:
    mine = tmp_path / "photos.zip"
    mine.write_bytes(SERVED["text.zip"])
    with pytest.raises(DownloadError, match=r"photos\.zip is not the archive expected: its checksum is sha256:"):
        Download(source_at(server.address), tmp_path / "root", given=[mine]).run(ignore)
    assert mine.exists()


def test_an_archive_that_fits_nothing(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "other.zip").write_bytes(b"")
    with pytest.raises(DownloadError) as error:
        Download(source_at(server.address), tmp_path, given=[tmp_path / "other.zip"])
    assert error.value.problem == "other.zip is none of the archives: text.zip, photos.zip"


def on_request(source: Source) -> Source:
    """The same, but its pictures must be requested, and have no checksum."""
    text, photos = source.archives
    photos = replace(photos, urls=(), checksum="", exact=False, folder="images")
    return replace(source, archives=(text, photos), request="its authors send it")


def test_pictures_that_must_be_requested(server: FaultyServer, tmp_path: Path) -> None:
    source = on_request(source_at(server.address))
    with pytest.raises(DownloadError) as error:
        Download(source, tmp_path / "root").run(ignore)
    assert error.value.problem == "photos.zip of tiny cannot simply be downloaded: its authors send it"
    assert error.value.remedy == "then give it by --archive FILE, or take the captions alone by --only annotations"
    assert server.requests == []
    mine = tmp_path / "whatever they call it.zip"
    mine.write_bytes(SERVED["photos.zip"])
    Download(source, tmp_path / "root", given=[mine]).run(ignore)
    assert sorted(files(tmp_path / "root")) == sorted(["captions.txt", *(f"images/{n}.jpg" for n in range(12))])


def test_an_archive_with_too_few_pictures(server: FaultyServer, tmp_path: Path) -> None:
    mine = tmp_path / "photos.zip"
    mine.write_bytes(packed(dict(list(PHOTOS.items())[:5])))
    with pytest.raises(DownloadError, match=r"photos\.zip holds 5 pictures, not the 12 of tiny"):
        Download(on_request(source_at(server.address)), tmp_path / "root", given=[mine]).run(ignore)


def test_no_room(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Download(source_at(server.address), tmp_path / "root")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: type("", (), {"free": 12_345}))
    with pytest.raises(StorageError) as error:
        job.run(ignore)
    needed = 5 * len(SERVED["text.zip"]) + 2 * len(SERVED["photos.zip"])
    assert job.bytes_needed == needed
    assert (
        error.value.problem == f"tiny needs about {needed / 1000:.0f} kB in {tmp_path / 'root'}, where 12 kB are free"
    )
    assert server.requests == []


def test_a_damaged_archive_without_a_checksum_is_fetched_anew(server: FaultyServer, tmp_path: Path) -> None:
    source = source_at(server.address)
    source = replace(source, archives=tuple(replace(archive, checksum="") for archive in source.archives))
    server.script.extend([whole, corrupt])
    with pytest.raises(DownloadError, match=r"photos\.zip is damaged: "):
        Download(source, tmp_path).run(ignore)
    Download(source, tmp_path).run(ignore)
    assert files(tmp_path) == {**PHOTOS, **TEXTS}


def whole(handler: object, content: bytes) -> None:
    handler.serve(content)  # type: ignore[attr-defined]


def script(seed: int) -> list[Fault]:
    """One to nine faults, drawn by chance."""
    numbers = random.Random(seed)
    faults: list[Fault] = [slow, ignores_range, changed, corrupt, redirect, without_length, nothing, whole]
    faults += [status(code) for code in (403, 404, 429, 500)]
    faults += [cut(numbers.randrange(3000)) for _ in range(8)] + [lies(numbers.randrange(-900, 900)) for _ in range(2)]
    return [numbers.choice(faults) for _ in range(numbers.randint(1, 9))]


@pytest.mark.parametrize("seed", range(200))
def test_any_faults_end_in_the_files_or_in_one_line(server: FaultyServer, tmp_path: Path, seed: int) -> None:
    source = source_at(server.address)
    server.script.extend(script(seed))
    while server.script:
        failed = attempt(source, tmp_path)
        for name, content in files(tmp_path).items():
            assert ".part" in name or content == {**PHOTOS, **TEXTS, **SERVED}[name]
        if failed is None:
            break
        assert failed.remedy
        assert "\n" not in failed.problem + failed.remedy
    server.script.clear()
    attempt(source, tmp_path)
    assert files(tmp_path) == {**PHOTOS, **TEXTS}


def attempt(source: Source, root: Path) -> CaptionerError | None:
    try:
        Download(source, root).run(ignore)
    except CaptionerError as error:
        return error
    return None


def test_the_catalogue_is_complete() -> None:
    assert list(SOURCES) == ["coco", "coco2017", "flickr8k", "flickr30k"]
    for source in SOURCES.values():
        names = [archive.name for archive in source.archives]
        assert len(set(names)) == len(names)
        assert source.terms
        assert all(setting.startswith("dataset.") for setting in source.settings)
        for archive in source.archives:
            assert all(url.endswith(f"/{archive.name}") for url in archive.urls)
            algorithm, _, value = archive.checksum.partition(":")
            assert len(value) == {"sha256": 64, "md5": 32, "": 0}[algorithm]
            assert archive.checksum or not archive.urls
            assert (archive.kind == "pictures") == bool(archive.pictures)


def test_the_record_says_what_was_unpacked(server: FaultyServer, tmp_path: Path) -> None:
    Download(source_at(server.address), tmp_path).run(ignore)
    record = json.loads((tmp_path / ".downloaded/text.zip.json").read_text())
    assert record["checksum"] == f"sha256:{hashlib.sha256(SERVED['text.zip']).hexdigest()}"
    assert record["files"] == {"captions.txt": len(TEXTS["captions.txt"])}
