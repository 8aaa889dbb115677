"""Archives unpack to exactly their files, or, when hostile or damaged, to nothing at all."""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from captioner.data.download.unpack import unpack
from captioner.errors import DownloadError, StorageError

FILES = {"photos/a.jpg": b"a" * 100, "photos/deep/b.jpg": b"b" * 3_000_000, "captions.txt": b"a dog\n"}


def zipped(path: Path, files: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def tarred(path: Path, members: Iterable[tuple[str, bytes, bytes, str]], mode: str = "w") -> Path:
    """Members are name, content, type and link name."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            archive.addfile(info, io.BytesIO(content))
    return path


def plain(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes, str]:
    return name, content, tarfile.REGTYPE, ""


def found(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def good_zip(folder: Path) -> Path:
    return zipped(folder / "good.zip", FILES.items())


def good_tar(folder: Path) -> Path:
    return tarred(folder / "good.tar.gz", [plain(*item) for item in FILES.items()], "w:gz")


@pytest.mark.parametrize("make", [good_zip, good_tar])
def test_all_files(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    told: list[tuple[int, int]] = []
    sizes = unpack(make(tmp_path), tmp_path / "root", tell=lambda done, total: told.append((done, total)))
    assert found(tmp_path / "root") == FILES
    assert sizes == {name: len(content) for name, content in FILES.items()}
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("make", [good_zip, good_tar])
def test_only_what_is_wanted(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert unpack(make(tmp_path), tmp_path / "root", only=["captions.txt"]) == {"captions.txt": 6}
    assert found(tmp_path / "root") == {"captions.txt": b"a dog\n"}


@pytest.mark.parametrize("make", [good_zip, good_tar])
def test_what_is_wanted_and_not_there(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    archive = make(tmp_path)
    with pytest.raises(DownloadError, match=f"^{re.escape(str(archive))} does not hold other.json\n"):
        unpack(archive, tmp_path / "root", only=["captions.txt", "other.json"])
    assert not (tmp_path / "root").exists()


def test_all_into_one_folder(tmp_path: Path) -> None:
    unpack(good_zip(tmp_path), tmp_path / "root", folder="images")
    assert sorted(found(tmp_path / "root")) == ["images/a.jpg", "images/b.jpg", "images/captions.txt"]


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", [("a.txt", b"a"), ("__MACOSX/._a.txt", b"?"), ("x/.DS_Store", b"?")])
    assert unpack(archive, tmp_path / "root") == {"a.txt": 1}


def test_an_unpacking_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    archive, root = good_zip(tmp_path), tmp_path / "root"
    unpack(archive, root)
    kept = (root / "photos/a.jpg").stat().st_mtime_ns
    (root / "photos/deep/b.jpg").write_bytes(b"b" * 2_999_999 + b"x")
    (root / "captions.txt").unlink()
    unpack(archive, root)
    assert found(root) == FILES
    assert (root / "photos/a.jpg").stat().st_mtime_ns == kept


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "photos").write_bytes(b"a file where a folder must go")
    with pytest.raises(StorageError, match=r"^cannot write .*a\.jpg: .*photos is a file"):
        unpack(good_zip(tmp_path), root)
    assert list(found(root)) == ["photos"]


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def claiming(offset: int, value: int) -> Callable[[Path], Path]:
    """A zip whose headers have another byte at ``offset``, of the local one; the directory's has it two bytes later."""

    def make(folder: Path) -> Path:
        path = zipped(folder / "c.zip", [("a.jpg", b"a")])
        data = bytearray(path.read_bytes())
        for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            data[data.index(signature) + offset + shift] = value
        path.write_bytes(data)
        return path

    return make


def lying(folder: Path) -> Path:
    """A bomb whose directory says that it is small."""
    path = zipped(folder / "l.zip", [("a.jpg", bytes(90_000_000))])
    path.write_bytes(path.read_bytes().replace((90_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    return path


def shortened(make: Callable[[Path], Path], share: float) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        path = make(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return cut


def text(folder: Path) -> Path:
    (folder / "t.zip").write_text("<html>404</html>")
    return folder / "t.zip"


def plain_tar(folder: Path) -> Path:
    return tarred(folder / "p.tar", [plain(*item) for item in FILES.items()])


OUT = "leads out of the data set's folder, or could"
LINK = "is a link, a device or another special file"
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip that climbs": (lambda f: zipped(f / "a.zip", [("ok.jpg", b""), ("../x", b"x")]), f"the name '../x' {OUT}"),
    "zip that climbs inside": (lambda f: zipped(f / "a.zip", [("a/../../x", b"x")]), f"the name 'a/../../x' {OUT}"),
    "zip with an absolute name": (lambda f: zipped(f / "a.zip", [("/etc/x", b"x")]), f"the name '/etc/x' {OUT}"),
    "zip with backslashes": (lambda f: zipped(f / "a.zip", [("..\\x", b"x")]), f"the name '..\\\\x' {OUT}"),
    "zip with a drive": (lambda f: zipped(f / "a.zip", [("C:x", b"x")]), f"the name 'C:x' {OUT}"),
    "zip with a line end": (lambda f: zipped(f / "a.zip", [("a\nb", b"x")]), f"the name 'a\\nb' {OUT}"),
    "zip with a link": (lambda f: zipped(f / "a.zip", [(with_mode("l", 0o120777), b"/etc")]), f"'l' {LINK}"),
    "zip with a device": (lambda f: zipped(f / "a.zip", [(with_mode("d", 0o020666), b"")]), f"'d' {LINK}"),
    "zip, encrypted": (claiming(6, 1), "'a.jpg' is encrypted"),
    "zip, of an unknown compression": (claiming(8, 77), "is damaged: That compression method is not supported"),
    "zip bomb": (
        lambda f: zipped(f / "a.zip", [("a", bytes(80_000_000))]),
        "it would unpack to more than 67,108,864 bytes",
    ),
    "zip bomb of many": (
        lambda f: zipped(f / "a.zip", [(f"{i}", bytes(1_000_000)) for i in range(80)]),
        "it would unpack to more than 67,108,864 bytes",
    ),
    "zip bomb that lies": (lying, "is damaged: "),
    "zip with one name twice": (
        lambda f: zipped(f / "a.zip", [("a.jpg", b"1"), ("./a.jpg", b"2")]),
        "'a.jpg' and './a.jpg' would be the same file",
    ),
    "zip with names that differ in case": (
        lambda f: zipped(f / "a.zip", [("a.jpg", b"1"), ("A.JPG", b"2")]),
        "'a.jpg' and 'A.JPG' would be the same file",
    ),
    "zip with a file that is a folder": (
        lambda f: zipped(f / "a.zip", [("a", b"1"), ("a/b", b"2")]),
        "'a' would be a file and a folder",
    ),
    "zip, truncated": (shortened(good_zip, 0.6), "is damaged: it is neither a zip nor a tar archive"),
    "tar that climbs": (lambda f: tarred(f / "a.tar", [plain("../x")]), f"the name '../x' {OUT}"),
    "tar with an absolute name": (lambda f: tarred(f / "a.tar", [plain("/etc/x")]), f"the name '/etc/x' {OUT}"),
    "tar with a link": (lambda f: tarred(f / "a.tar", [("l", b"", tarfile.SYMTYPE, "/etc")]), f"'l' {LINK}"),
    "tar with a hard link": (
        lambda f: tarred(f / "a.tar", [("l", b"", tarfile.LNKTYPE, "/etc/passwd")]),
        f"'l' {LINK}",
    ),
    "tar with a device": (lambda f: tarred(f / "a.tar", [("d", b"", tarfile.CHRTYPE, "")]), f"'d' {LINK}"),
    "tar with a pipe": (lambda f: tarred(f / "a.tar", [("p", b"", tarfile.FIFOTYPE, "")]), f"'p' {LINK}"),
    "tar bomb": (
        lambda f: tarred(f / "a.tar.gz", [plain("a", bytes(80_000_000))], "w:gz"),
        "it would unpack to more than 67,108,864 bytes",
    ),
    "tar with one name twice": (
        lambda f: tarred(f / "a.tar", [plain("a"), plain("a", b"other")]),
        "'a' and 'a' would be the same file",
    ),
    "tar, truncated": (shortened(plain_tar, 0.6), "is damaged: "),
    "tar, compressed, truncated": (shortened(good_tar, 0.6), "is damaged: "),
    "not an archive": (text, "is damaged: it is neither a zip nor a tar archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path: Path, name: str) -> None:
    make, said = HOSTILE[name]
    (tmp_path / "in").mkdir()
    archive, root = make(tmp_path / "in"), tmp_path / "out" / "root"
    with pytest.raises(DownloadError) as error:
        unpack(archive, root)
    assert said in error.value.problem
    assert error.value.problem.startswith(str(archive))
    assert "\n" not in error.value.problem + error.value.remedy
    assert [path for path in (tmp_path / "out").rglob("*") if not path.is_dir()] == []
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out"}
