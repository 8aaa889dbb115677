"""A download ends in the right file or in an error, whatever the server does, and goes on where it stopped."""

import hashlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import (
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

from captioner.data.download import transfer
from captioner.data.download.perseverance import ATTEMPTS
from captioner.data.download.transfer import fetch
from captioner.errors import DownloadError

CONTENT = random.Random(1).randbytes(5000)
SHA = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
ANEW = "run the same command again: it begins this file anew (or name another server by --mirror)"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between attempts, without waiting them."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def server(waits: list[float]) -> Iterator[FaultyServer]:
    with FaultyServer({"file.zip": CONTENT}) as running:
        yield running


def get(server: FaultyServer, folder: Path, **options: object) -> str:
    options = {"checksum": SHA, **options}
    return fetch([f"{server.address}/file.zip"], folder / "file.zip", **options)  # type: ignore[arg-type]


def assert_whole(folder: Path) -> None:
    assert (folder / "file.zip").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["file.zip"]


def test_a_file_arrives_and_its_bytes_are_told(server: FaultyServer, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    assert get(server, tmp_path, tell=lambda done, total: told.append((done, total))) == SHA
    assert_whole(tmp_path)
    assert told[-1] == (5000, 5000)
    assert told == sorted(told)


def test_what_was_cut_off_goes_on_in_the_same_call(server: FaultyServer, tmp_path: Path, waits: list[float]) -> None:
    server.script.extend([cut(1000), nothing, cut(500)])
    get(server, tmp_path)
    assert_whole(tmp_path)
    assert [asked for _, asked in server.requests] == [None, "bytes=1000-", "bytes=1000-", "bytes=1500-"]
    assert waits == [2, 4, 8]


def test_what_was_cut_off_goes_on_in_the_next_call(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([cut(1000), *[nothing] * ATTEMPTS])
    with pytest.raises(DownloadError) as error:
        get(server, tmp_path)
    assert error.value.problem == f"{server.address}/file.zip: the connection broke; tried 6 times"
    assert error.value.remedy == "run the same command again: it goes on where this one stopped"
    assert (tmp_path / "file.zip.part").stat().st_size == 1000
    server.script.clear()
    server.requests.clear()
    get(server, tmp_path)
    assert server.requests == [("file.zip", "bytes=1000-")]
    assert_whole(tmp_path)


def test_a_busy_server_is_asked_again_when_it_says(server: FaultyServer, tmp_path: Path, waits: list[float]) -> None:
    server.script.extend([status(429, Retry_After="30"), status(503), redirect])
    get(server, tmp_path)
    assert_whole(tmp_path)
    assert waits == [30, 4]


def test_a_server_that_never_recovers(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([status(500)] * ATTEMPTS)
    with pytest.raises(DownloadError, match="the server answers 500 Internal Server Error; tried 6 times\n"):
        get(server, tmp_path)


@pytest.mark.parametrize(("code", "said"), [(403, "403 Forbidden"), (404, "404 Not Found"), (401, "401 Unauthorized")])
def test_a_refusal_is_final(server: FaultyServer, tmp_path: Path, code: int, said: str) -> None:
    server.script.append(status(code))
    with pytest.raises(DownloadError) as error:
        get(server, tmp_path)
    assert error.value.problem == f"{server.address}/file.zip: the server answers {said}"
    assert error.value.remedy == "name another server that has the file by --mirror"
    assert len(server.requests) == 1


def test_the_next_address_is_tried(server: FaultyServer, tmp_path: Path) -> None:
    fetch([f"{server.address}/none.zip", f"{server.address}/file.zip"], tmp_path / "file.zip", checksum=SHA)
    assert_whole(tmp_path)


def test_a_second_server_goes_on_where_the_first_stopped(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(cut(2000))
    server.script.extend([nothing] * ATTEMPTS)
    urls = [f"{server.address}/file.zip?first", f"{server.address}/file.zip?second"]
    fetch(urls, tmp_path / "file.zip", checksum=SHA)
    assert_whole(tmp_path)
    assert server.requests[-1] == ("file.zip", "bytes=2000-")


def test_without_a_checksum_nothing_of_another_server_is_used(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(cut(2000))
    server.script.extend([nothing] * ATTEMPTS)
    urls = [f"{server.address}/file.zip?first", f"{server.address}/file.zip?second"]
    assert fetch(urls, tmp_path / "file.zip") == SHA
    assert server.requests[-1] == ("file.zip", None)
    assert_whole(tmp_path)


def refusal(server: FaultyServer, folder: Path, **options: object) -> str:
    with pytest.raises(DownloadError) as error:
        get(server, folder, **options)
    assert error.value.remedy == ANEW
    assert list(folder.iterdir()) == []
    server.script.clear()
    get(server, folder)
    assert_whole(folder)
    return error.value.problem.removeprefix(f"{server.address}/file.zip: ")


def test_a_server_that_ignores_ranges_is_refused(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([cut(1000), ignores_range])
    said = refusal(server, tmp_path)
    assert said == "the server sends the whole file instead of the rest; 1,000 bytes are discarded"


def test_a_file_that_changes_meanwhile_is_refused(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([cut(1000), changed])
    said = refusal(server, tmp_path)
    assert said == "the file on the server changed since this download began; 1,000 bytes are discarded"


def test_a_corrupt_file_is_refused(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(corrupt)
    assert refusal(server, tmp_path).startswith("this is not the file expected: its checksum is sha256:")


def test_a_length_that_is_too_short_is_noticed(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(lies(-10))
    assert refusal(server, tmp_path).startswith("this is not the file expected")


def test_a_length_that_is_too_long_is_noticed(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(lies(10))
    assert refusal(server, tmp_path).startswith("the file on the server changed since")


def test_a_length_other_than_the_catalogue_s(server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the file there has 5,000 bytes, the one expected 5,001\n"):
        get(server, tmp_path, size=5001)


def test_a_file_of_unknown_length(server: FaultyServer, tmp_path: Path) -> None:
    server.script.append(without_length)
    get(server, tmp_path)
    assert_whole(tmp_path)


def test_a_server_that_stalls(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", (1.0, 0.2))
    server.script.extend([lambda handler, content: handler.serve(content, pause=0.5)] * ATTEMPTS)
    with pytest.raises(DownloadError, match="the server does not answer in time; tried 6 times"):
        get(server, tmp_path)


def test_slow_is_not_broken(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", (1.0, 0.5))
    server.script.append(slow)
    get(server, tmp_path)
    assert len(server.requests) == 1


def test_redirects_without_end(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([redirect] * 40)
    with pytest.raises(DownloadError, match=r"file.zip: the server redirects without end\n"):
        get(server, tmp_path)


def test_nobody_there(waits: list[float], tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        fetch(["http://127.0.0.1:9/file.zip"], tmp_path / "file.zip")
    assert error.value.problem == "http://127.0.0.1:9/file.zip: no connection; tried 6 times"


def test_each_wait_is_said_before_it(server: FaultyServer, tmp_path: Path, waits: list[float]) -> None:
    server.script.extend([status(503), nothing, cut(500)])
    said: list[tuple[str, int]] = []
    get(server, tmp_path, say=lambda text: said.append((text, len(waits))))
    assert said == [
        ("the server answers 503 Service Unavailable; trying again in 2 s (try 2 of 6)", 0),
        ("the connection broke; trying again in 4 s (try 3 of 6)", 1),
        ("the connection broke; trying again in 8 s (try 4 of 6)", 2),
    ]


def unresolved(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_without_a_network_nothing_is_waited_for(
    waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(DownloadError) as error:
        fetch(["http://example.org/file.zip"], tmp_path / "new" / "file.zip")
    assert error.value.problem == "http://example.org/file.zip: the name example.org leads to no server from here"
    assert error.value.remedy == (
        "connect to the network (where a proxy leads there, set HTTPS_PROXY), and run the command again"
    )
    assert waits == []
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_is_waited_for(waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    with pytest.raises(DownloadError, match="the proxy cannot be reached, or refuses; tried 6 times\n"):
        fetch(["http://example.org/file.zip"], tmp_path / "file.zip")
    assert len(waits) == ATTEMPTS - 1


def test_a_network_that_goes_while_bytes_come_may_return(
    server: FaultyServer, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = iter([socket.getaddrinfo, unresolved])
    usual = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: next(lookups, usual)(*asked, **more))
    server.script.append(cut(1000))
    get(server, tmp_path)
    assert_whole(tmp_path)
    assert waits == [2, 4]


def test_not_an_address(waits: list[float], tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not an address that can be fetched"):
        fetch(["ftp://127.0.0.1/file.zip"], tmp_path / "file.zip")


def test_a_damaged_part_costs_only_itself(server: FaultyServer, tmp_path: Path) -> None:
    server.script.extend([cut(1000), *[nothing] * ATTEMPTS])
    with pytest.raises(DownloadError):
        get(server, tmp_path)
    (tmp_path / "file.zip.part").write_bytes(bytes(1000))
    server.script.clear()
    assert refusal(server, tmp_path).startswith("this is not the file expected")
