"""A server on a free port of loopback: in a thread of this process, or by ``captioner serve`` in its own."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch

from captioner.serving.limits import Access, Limits
from captioner.serving.metrics import Metrics
from captioner.serving.server import Serving, build_server, listen
from captioner.serving.service import ModelFiles

LIMITS = Limits(body=200_000, pictures=3, pixels=10_000, per_client=2, seconds=20)
NOBODY = Access()


@contextlib.contextmanager
def unready(
    run: Path, access: Access, limits: Limits, outcome: list[object], metrics: Metrics | None = None
) -> Iterator[httpx.Client]:
    """A server that may still be loading; ``outcome`` gets "ready", or the error. The threads of torch stay."""
    threads = torch.get_num_threads()
    files = ModelFiles((run,), ("training.precision=float32",))
    metrics = metrics or Metrics.alone()
    server = build_server(Serving(files, limits, access), metrics, lambda: outcome.append("ready"), outcome.append)
    listener = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not server.started:
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join()
        torch.set_num_threads(threads)


@contextlib.contextmanager
def live(
    run: Path, access: Access = NOBODY, limits: Limits = LIMITS, metrics: Metrics | None = None
) -> Iterator[httpx.Client]:
    """A server whose model is loaded."""
    outcome: list[object] = []
    with unready(run, access, limits, outcome, metrics) as client:
        while not outcome:
            time.sleep(0.01)
        assert outcome == ["ready"]
        yield client


@dataclass
class Served:
    process: "subprocess.Popen[str]"
    address: str
    said: list[str]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[str]]:
        """Its exit status and all that it said, without the times."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.said += [line.rstrip()[9:] for line in self.process.stderr]
        return self.process.wait(60), self.said


@contextlib.contextmanager
def served(*arguments: object, **environment: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "captioner", "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    try:
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip()[9:])
            if said[-1].startswith("ready: "):
                break
        assert said, process.wait(60)
        yield Served(process, said[-1].removeprefix("ready: "), said)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def counted(address: str, name: str) -> float:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
