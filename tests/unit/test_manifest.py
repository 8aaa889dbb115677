"""A manifest holds all of a group or none of it, belongs to one process at a time, and says what is wrong with it."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner.errors import StorageError, UsageError
from captioner.folder.manifest import Manifest, manifest_path


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_it_is_beside_the_output() -> None:
    assert manifest_path(Path("out/captions.csv")) == Path("out/captions.csv.manifest")


def test_what_is_added_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.manifest"
    with Manifest(path) as manifest:
        assert key(1) not in manifest
        assert manifest.get(key(1)) is None
        manifest.add([(key(1), ["a dog", -1.25, True]), (key(2), ["", -0.1, False])])
        manifest.add([])
        assert key(1) in manifest
    with Manifest(path) as manifest:
        assert manifest.get(key(1)) == ["a dog", -1.25, True]
        assert manifest.get(key(2)) == ["", -0.1, False]
    assert list(path.parent.iterdir()) == [path]


def test_numbers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    numbers = [-0.1 - 2**-50, -1e-300, -12345.678901234567]
    with Manifest(tmp_path / "m") as manifest:
        manifest.add([(key(1), numbers)])
        assert manifest.get(key(1)) == numbers


def test_a_temporary_one_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Manifest(None) as manifest:
        manifest.add([(key(1), 1)])
        assert manifest.get(key(1)) == 1
    assert list(tmp_path.iterdir()) == []


def test_many_threads_read_while_one_adds(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m") as manifest, ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(lambda: [manifest.get(key(number)) for number in range(300)]) for _ in range(4)]
        for start in range(0, 300, 10):
            manifest.add([(key(number), number) for number in range(start, start + 10)])
        for found in reading:
            assert all(value in (None, number) for number, value in enumerate(found.result()))


def test_a_group_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    """A process that is killed within a transaction leaves what was before."""
    path = tmp_path / "m"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom captioner.folder.manifest import Manifest\n"
        "manifest = Manifest(Path(sys.argv[1]))\n"
        "manifest.add([(bytes(16), 1)])\n"
        "manifest._database.execute('PRAGMA cache_size = 1')\n"  # So that much of the second one is on the disk.
        "manifest._database.execute('BEGIN')\n"
        "for n in range(1, 5000):\n"
        "    manifest._database.execute('INSERT INTO entries VALUES (?, ?)', (n.to_bytes(16, 'big'), '2'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.stat().st_size > 50_000
    with Manifest(path) as manifest:
        assert manifest.get(key(0)) == 1
        assert not any(key(number) in manifest for number in range(1, 5000))


def test_a_killed_process_leaves_no_journal_for_ever(tmp_path: Path) -> None:
    """Killed after its last entry, it leaves one that the next process, which has nothing to add, removes."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom captioner.folder.manifest import Manifest\n"
        "manifest = Manifest(Path(sys.argv[1]))\n"
        "manifest.add([(bytes(16), 1)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m")], check=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m", "m-journal"]
    with Manifest(tmp_path / "m") as manifest:
        assert manifest.get(key(0)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_two_at_once(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m"):
        with pytest.raises(UsageError) as caught:
            Manifest(tmp_path / "m")
        assert caught.value.problem == f"another captioner is at work with {tmp_path}/m"
        assert caught.value.remedy == "wait for it to end, or choose another --output"
    Manifest(tmp_path / "m").__exit__()


def test_something_else(tmp_path: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("no database, and long enough not to be taken for an empty one " * 40)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(StorageError) as caught:
            Manifest(path)
        assert caught.value.problem == f"{path} is damaged, or no manifest of this captioner's version"
        assert caught.value.remedy == "remove it, and the same command captions all pictures anew"
        assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}/file/m: "):
        Manifest(tmp_path / "file" / "m")


def test_a_full_disk(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m") as manifest:
        manifest._database.execute("PRAGMA max_page_count = 4")
        with pytest.raises(StorageError, match=f"no space left on the device while writing {tmp_path}/m"):
            manifest.add((key(number), "x" * 100) for number in range(1000))
    with Manifest(tmp_path / "m") as manifest:
        assert key(0) not in manifest
