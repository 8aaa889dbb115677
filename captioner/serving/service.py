"""One request for captions, from its first byte to its answer, within its limits of time and room."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from starlette.requests import ClientDisconnect, Request

from captioner.errors import ImageError
from captioner.serving.batching import Batcher
from captioner.serving.engine import Answer, Engine, Picture, Task
from captioner.serving.limits import Limits
from captioner.serving.metrics import Metrics
from captioner.serving.options import Options
from captioner.serving.problems import Problem, busy
from captioner.serving.results import Result, captioned, unreadable
from captioner.serving.uploads import Bodies, Upload, parse

T = TypeVar("T")

_LARGEST_BATCH = {"cpu": 32, "cuda": 128}


@dataclass(frozen=True)
class ModelFiles:
    """What is loaded."""

    paths: tuple[Path, ...]
    overrides: tuple[str, ...] = ()


class Service:
    """Holds the model and its queue; lives in one event loop, between ``start`` and ``stop``."""

    def __init__(self, files: ModelFiles, limits: Limits, metrics: Metrics, share: int = 1) -> None:
        """Of the machine's threads, it takes one of ``share`` parts."""
        self.files, self.limits, self.metrics, self._share = files, limits, metrics, share
        self.engine: Engine | None = None
        self._bodies = Bodies(limits, partial(metrics.set, "captioner_body_bytes"))

    async def load(self) -> None:
        """Load the model, while requests are told to come back. Raises as ``Engine.load`` does."""
        engine = await asyncio.to_thread(Engine.load, self.files.paths, self.files.overrides, self._share)
        compute = engine.captioner.compute
        share = partial(torch.set_num_threads, max(1, torch.get_num_threads() // compute.workers))
        self._readers = ThreadPoolExecutor(compute.workers, "read", share)
        self._batcher = Batcher[Task, Answer](
            engine.answer,
            workers=compute.workers if compute.device.type == "cpu" else 1,
            largest=_LARGEST_BATCH.get(compute.device.type, 32),
            bound=self.limits.waiting,
            initializer=share,
            changed=partial(self.metrics.set, "captioner_queue_pictures"),
            taken=self._count_batch,
        )
        self.engine = engine
        self.metrics.set("captioner_ready_workers", 1)

    def stop(self) -> None:
        """End the threads, after what waits."""
        if self.engine is not None:
            self._batcher.close()
            self._readers.shutdown(cancel_futures=True)

    def ready(self) -> Engine:
        """The model. Raises ``Problem`` 503 before it is loaded."""
        if self.engine is None:
            raise busy("the model is being loaded")
        return self.engine

    async def captions(self, request: Request, options: Options) -> list[Result]:
        """The answer to a request. Raises ``Problem``, and ``ClientDisconnect`` where nobody waits for it any more."""
        start = time.monotonic()
        end = start + self.limits.seconds
        engine = self.ready()
        task = partial(
            Task,
            sampling=options.sampling(engine.captioner.sampling),
            captions=options.captions,
            attention=options.attention,
        )
        if options.attention and not engine.attends:
            raise Problem(422, "this model's decoder does not look at parts of a picture", "leave attention out")
        self._batcher.check()
        try:
            body = await asyncio.wait_for(self._bodies.read(request), self.limits.seconds)
        except asyncio.TimeoutError:
            raise Problem(408, f"the body took longer than {self.limits.seconds:g} s", "send it faster") from None
        try:
            answer = self._answer(engine, body, request.headers.get("content-type", ""), task, end)
            results = await self._while_wanted(request, answer, end)
        finally:
            self._bodies.release(body)
        self.metrics.observe("captioner_request_seconds", time.monotonic() - start)
        return results

    async def _answer(
        self, engine: Engine, body: bytes, content_type: str, task: "partial[Task]", end: float
    ) -> list[Result]:
        loop = asyncio.get_running_loop()
        uploads, pictures = await loop.run_in_executor(self._readers, self._read, engine, body, content_type, end)
        answers = iter(await self._batcher.submit([task(one) for one in pictures if not isinstance(one, ImageError)]))
        results = []
        for upload, picture in zip(uploads, pictures, strict=True):
            failed = isinstance(picture, ImageError)
            self.metrics.count(f'captioner_pictures_total{{outcome="{"unreadable" if failed else "captioned"}"}}')
            if isinstance(picture, ImageError):
                results.append(unreadable(upload.file, picture))
            else:
                results.append(captioned(upload.file, next(answers), picture.seen))
        if all(result.error for result in results):
            detail = "; ".join(f"{result.file}: {result.error}" for result in results)
            remedy = "send pictures as JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"
            raise Problem(422, detail, remedy, results=[result.to_json() for result in results])
        return results

    def _read(
        self, engine: Engine, body: bytes, content_type: str, end: float
    ) -> tuple[Sequence[Upload], Sequence[Picture | ImageError]]:
        """In a thread of its own, since it takes milliseconds; it stops where nobody waits any more."""
        uploads = parse(body, content_type, self.limits)
        pictures = []
        for upload in uploads:
            if time.monotonic() > end:
                raise _late(self.limits)
            pictures.append(engine.read(upload.data, self.limits.pixels))
        return uploads, pictures

    async def _while_wanted(self, request: Request, work: Coroutine[Any, Any, T], end: float) -> T:
        """``work``'s result, unless the time is over or the client has gone: then it is cancelled."""
        working = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(request.receive())
        try:
            done, _ = await asyncio.wait(
                {working, gone}, timeout=max(0.0, end - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            if working in done:
                return working.result()
            raise ClientDisconnect if gone in done else _late(self.limits)
        finally:
            for future in (working, gone):
                future.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    def _count_batch(self, size: int, waited: Sequence[float]) -> None:
        self.metrics.observe("captioner_batch_pictures", size)
        for seconds in waited:
            self.metrics.observe("captioner_queue_seconds", seconds)


def _late(limits: Limits) -> Problem:
    return busy(f"not captioned within {limits.seconds:g} s")
