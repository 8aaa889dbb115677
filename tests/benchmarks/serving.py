"""Serving under load against the encoder alone. ``python tests/benchmarks/serving.py RUN [SECONDS] [BEAM] [WORKERS]``.

RUN is a trained run; a random decoder would not end its captions as a trained one does. They are searched with a BEAM
of 3, or greedily with 1. The server has processes of its own, one or as many as WORKERS, asked over loopback by this
one, with photographs as they are on disk, one a request. One client at a time is never batched; 32 are.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import Alone, pictures, sampling

from captioner.checkpoint.reading import load_checkpoint
from captioner.loading import load_captioner

CLIENTS = 32
HEAD = b"POST /v1/captions HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def main() -> None:
    """Print three rounds: one client, 32 clients, and the encoder alone before and after."""
    run, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    beam = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    workers = sys.argv[4] if len(sys.argv) > 4 else "1"
    files, kind = pictures(512)
    bodies = [file.read_bytes() for file in files]
    captioner = load_captioner([run], sampling(beam))
    alone = Alone(load_checkpoint(run).model.encoder, files, captioner.compute)
    print(
        f"{len(files):,} {kind}; {captioner.encoder.backbone}, beam {beam}, {captioner.compute.precision}, "
        f"--workers {workers}",
        flush=True,
    )
    command = [sys.executable, "-m", "captioner", "serve", "--model", str(run), "--port", "0", "--workers", workers]
    for value in sampling(beam):
        command += ["--set", value]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        port = next(int(line.rpartition(":")[2]) for line in server.stderr if "ready: " in line)
        asyncio.run(load(port, bodies, CLIENTS, 3))
        for _ in range(3):
            one = asyncio.run(load(port, bodies, 1, seconds / 2))
            before = alone.rates()
            start = processor_seconds(server.pid)
            many = asyncio.run(load(port, bodies, CLIENTS, seconds))
            each = (processor_seconds(server.pid) - start) / len(many)
            start = time.process_time()
            after = alone.rates()
            ideal = (time.process_time() - start) / (2 * (400 // len(alone.pixels) + 1) * len(alone.pixels))
            rate = len(many) / seconds
            print(
                f"{CLIENTS} clients: {before.mean(after).compare(rate)}; {rate / (len(one) / (seconds / 2)):.1f} times "
                f"one client ({len(one) / (seconds / 2):.0f}); median {median(many) * 1e3:.0f} ms, "
                f"p99 {sorted(many)[len(many) * 99 // 100] * 1e3:.0f} ms; one client {median(one) * 1e3:.0f} ms; "
                f"processor time {each * 1e3:.1f} ms, of the encoder alone (mean of both) {ideal * 1e3:.1f} ms",
                flush=True,
            )
    finally:
        server.terminate()
        server.wait()


def processor_seconds(process: int) -> float:
    """What it and its workers have used of all cores: tells of the work done even where others share the machine."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    workers = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(int(worker)) for worker in workers)


async def load(port: int, bodies: list[bytes], clients: int, seconds: float) -> list[float]:
    """How long each request took, in seconds, of those that were answered in time; an error ends the benchmark."""
    end = time.perf_counter() + seconds
    taken: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            body = bodies[number % len(bodies)]
            number += clients
            writer.write(HEAD % len(body) + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            if time.perf_counter() < end:
                taken.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    return taken


if __name__ == "__main__":
    main()
