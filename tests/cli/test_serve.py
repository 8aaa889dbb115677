"""``captioner serve`` as a process: its words, its signals, several workers, and clients that misbehave."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import Served, counted, served


@pytest.fixture
def photo(shapes: Path) -> bytes:
    return next((shapes / "images").iterdir()).read_bytes()


def test_it_says_where_it_is_and_ends_when_told(tiny_run: Path, photo: bytes) -> None:
    with served("--model", tiny_run) as server:
        assert httpx.post(f"{server.address}/v1/captions", files={"p": photo}).json()["results"][0]["caption"]
        assert server.end(signal.SIGINT) == (
            0,
            [f"loading {tiny_run}", f"ready: {server.address}", "stopped"],
        )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_is_not_there(cli: Any, tmp_path: Path, workers: int) -> None:
    command = [
        sys.executable,
        "-m",
        "captioner",
        "serve",
        "--model",
        tmp_path,
        "--port",
        "0",
        "--workers",
        str(workers),
    ]
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    expected = cli("inspect", tmp_path)
    assert finished.returncode == expected.status == 1
    assert finished.stderr.split("\n", 1)[1].replace("  [CheckpointError]", "") == expected.err


def test_a_port_that_is_taken(cli: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finished = cli("serve", "--model", tmp_path, "--port", port)
    assert finished.status == 2
    assert finished.err == (
        f"error: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
        "       stop what listens there, or choose another --port (0 takes a free one)\n"
    )


def test_a_host_that_is_elsewhere(cli: Any, tmp_path: Path) -> None:
    finished = cli("serve", "--model", tmp_path, "--host", "192.0.2.1", "--port", 0)
    assert (finished.status, finished.err.splitlines()) == (
        2,
        [
            "error: cannot listen on 192.0.2.1, port 0: Cannot assign requested address",
            "       give as --host an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them",
        ],
    )


def test_a_port_for_which_rights_are_missing(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    finished = cli("serve", "--model", tmp_path, "--port", 80)
    assert (finished.status, finished.err.splitlines()) == (
        2,
        [
            "error: cannot listen on 127.0.0.1, port 80: Permission denied",
            "       low ports are the administrator's: choose a --port of 1024 or more",
        ],
    )


@pytest.mark.parametrize(
    "origin",
    ["*", "https://*.example", "b.example", "b.example:80", "//b.example", "https://b.example/page", "http://["],
)
def test_an_origin_that_is_no_site(cli: Any, tmp_path: Path, origin: str) -> None:
    finished = cli("serve", "--model", tmp_path, "--allow-origin", origin)
    assert (finished.status, finished.err.splitlines()) == (
        2,
        [
            f"error: --allow-origin '{origin}' is not a site",
            "       name each site: https://example.org",
        ],
    )


def test_what_serving_needs_is_named(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("captioner.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    finished = cli("serve", "--model", tmp_path)
    assert finished.status == 2
    assert finished.err == (
        "error: serving needs uvicorn, which is not installed\n"
        "       install it: pip install 'captioner[serve]'\n"
    )  # fmt: skip


@pytest.mark.slow
def test_a_token_from_the_environment_and_open_hosts(tiny_run: Path) -> None:
    with served("--model", tiny_run, "--host", "0.0.0.0", CAPTIONER_TOKEN="hidden") as server:
        assert not any("warning" in line for line in server.said)
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}/v1/model").status_code == 401
        assert httpx.get(f"{address}/v1/model", headers={"Authorization": "Bearer hidden"}).status_code == 200
    with served("--model", tiny_run, "--host", "0.0.0.0") as server:
        assert (
            "warning: whoever reaches this machine may ask for captions: set CAPTIONER_TOKEN to keep strangers out"
        ) in server.said


class Load:
    """Clients that ask one after the other, each on its own connection, until they are stopped or refused."""

    def __init__(self, address: str, photo: bytes, clients: int) -> None:
        self.answers: list[int] = []
        self.broken: list[str] = []
        self.unsent = 0
        self._stopped = threading.Event()
        self._address, self._photo = address, photo
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stopped.is_set():
            try:
                answer = httpx.post(f"{self._address}/v1/captions", files={"p": self._photo}, timeout=60)
            except httpx.ConnectError:
                self.unsent += 1
                return
            except httpx.HTTPError as error:
                self.broken.append(repr(error))
                return
            self.answers.append(answer.status_code)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_under_load_loses_nothing_that_was_accepted(tiny_run: Path, photo: bytes, workers: int) -> None:
    """A connection that the kernel took and the server never saw may break; one it has seen may not."""
    with served("--model", tiny_run, "--workers", workers) as server:
        load = Load(server.address, photo, 24)
        while len(load.answers) < 100:
            time.sleep(0.01)
        status, said = server.end()
        load.join()
    assert (status, said[-1]) == (0, "stopped")
    assert set(load.answers) == {200}
    assert len(load.answers) >= 100
    assert all("reset" in error.lower() or "RemoteProtocol" in error or "ReadError" in error for error in load.broken)


@pytest.mark.slow
def test_requests_in_the_works_are_answered_after_the_signal(tiny_run: Path, photo: bytes) -> None:
    """Every request whose first bytes the server has read gets its answer, even one that is still being sent."""
    with served("--model", tiny_run) as server:
        host, port = server.address.removeprefix("http://").split(":")
        connections = []
        head = f"POST /v1/captions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\n"
        for _ in range(16):
            connection = socket.create_connection((host, int(port)), 60)
            connection.sendall(f"{head}Content-Length: {len(photo)}\r\n\r\n".encode() + photo[:100])
            connections.append(connection)
        while counted(server.address, "captioner_requests_in_progress ") < 16:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for connection in connections:
            connection.sendall(photo[100:])
        answers = [
            b"".join(iter(lambda connection=connection: connection.recv(65536), b"")) for connection in connections
        ]
        assert server.process.wait(60) == 0
        for answer, connection in zip(answers, connections, strict=True):
            connection.close()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b'"caption":"' in answer


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_counts_go_on(tiny_run: Path, photo: bytes) -> None:
    with served("--model", tiny_run, "--workers", 2) as server:
        assert counted(server.address, "captioner_ready_workers ") == 2
        load = Load(server.address, photo, 4)
        while len(load.answers) < 20:
            time.sleep(0.01)
        load.stop()
        pictures = 'captioner_pictures_total{outcome="captioned"}'
        assert counted(server.address, pictures) == len(load.answers)
        children = children_of(server)
        names = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children}
        os.kill(next(int(child) for child, name in names.items() if "spawn_main" in name), signal.SIGKILL)
        os.kill(new_child(server, children), signal.SIGKILL)  # While it loads the model.
        end = time.monotonic() + 120
        ready = 0.0
        while ready != 2 and time.monotonic() < end:
            time.sleep(0.2)
            with contextlib.suppress(httpx.HTTPError):
                ready = counted(server.address, "captioner_ready_workers ")
        assert ready == 2
        assert counted(server.address, pictures) == len(load.answers)
        status, said = server.end()
        assert status == 0
        assert "warning: a worker ended with status -9; another is started" in said
        loading = "warning: a worker ended while it loaded the model, with status -9; another is started in 1 s"
        assert loading in said


def children_of(server: Served) -> list[str]:
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


def new_child(server: Served, known: list[str]) -> int:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if new := set(children_of(server)) - set(known):
            return int(new.pop())
        time.sleep(0.01)
    raise AssertionError("no worker was started again")
