"""What a server counts, for Prometheus: one table of numbers, a row for each worker, so that any of them can tell all.

The rows lie in memory that the workers share. Each writes its own only, and reading adds them up.
"""

import array
import multiprocessing
from bisect import bisect_left
from collections.abc import Iterator, MutableSequence, Sequence
from typing import cast

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PATHS = ("/", "/static", "/healthz", "/readyz", "/metrics", "/v1/model", "/v1/captions", "/openapi.json", "other")
STATUSES = (200, 204, 304, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 499, 500, 503)
"""499: the client went away."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

_COUNTERS = {
    "captioner_requests_total": (
        "Requests answered.",
        [f'{{path="{path}",status="{status}"}}' for path in PATHS for status in STATUSES],
    ),
    "captioner_pictures_total": ("Pictures of requests.", ['{outcome="captioned"}', '{outcome="unreadable"}']),
}
_GAUGES = {
    "captioner_requests_in_progress": "Requests for captions that are being answered.",
    "captioner_queue_pictures": "Pictures that wait for their turn.",
    "captioner_body_bytes": "Bytes of requests in memory.",
    "captioner_ready_workers": "Workers whose model is loaded.",
    "captioner_connections": "Connections that are open.",
}
_HISTOGRAMS: dict[str, tuple[str, Sequence[float]]] = {
    "captioner_request_seconds": ("From a request for captions to its answer, where it got one.", _SECONDS),
    "captioner_queue_seconds": ("What a picture waited for its turn.", _SECONDS),
    "captioner_batch_pictures": ("Pictures computed together.", _SIZES),
}


def _places() -> dict[str, int]:
    """Where each series stands in a row; a histogram's buckets, with the one without a limit, then its sum."""
    names = [name + labels for name, (_, series) in _COUNTERS.items() for labels in series]
    names += _GAUGES
    for name, (_, limits) in _HISTOGRAMS.items():
        names += [f"{name} {number}" for number in range(len(limits) + 2)]
    return {name: place for place, name in enumerate(names)}


_PLACES = _places()


class Metrics:
    """One worker's row of the table, and all rows' sums."""

    def __init__(self, table: MutableSequence[float], worker: int = 0) -> None:
        self._table = table
        self._start = worker * len(_PLACES)
        for name in _GAUGES:
            self.set(name, 0)  # What a worker that died has left.

    @classmethod
    def alone(cls) -> "Metrics":
        """Of a server with one worker."""
        return cls(array.array("d", bytes(8 * len(_PLACES))))

    def count(self, name: str, more: float = 1) -> None:
        """A counter or gauge, with its labels, goes up by ``more``."""
        self._table[self._start + _PLACES[name]] += more

    def set(self, name: str, value: float) -> None:
        """A gauge is ``value`` now."""
        self._table[self._start + _PLACES[name]] = value

    def others_turn(self) -> bool:
        """Whether another worker had better take the next connection: one that is ready, with fewer if this one is."""
        rows = range(0, len(self._table), len(_PLACES))
        ready, connections = _PLACES["captioner_ready_workers"], _PLACES["captioner_connections"]
        mine = self._table[self._start + connections] if self._table[self._start + ready] else float("inf")
        return any(self._table[row + ready] and self._table[row + connections] < mine for row in rows)

    def observe(self, name: str, value: float) -> None:
        """A histogram has one more value."""
        limits = _HISTOGRAMS[name][1]
        self.count(f"{name} {bisect_left(limits, value)}")
        self.count(f"{name} {len(limits) + 1}", value)

    def answered(self, path: str, status: int) -> None:
        """A request got its answer."""
        known = path if path in PATHS else "/static" if path.startswith("/static/") else "other"
        self.count(f'captioner_requests_total{{path="{known}",status="{status}"}}')

    def text(self) -> str:
        """All workers' sums, as Prometheus reads them; counters that are still 0 are left out."""
        width = len(_PLACES)
        sums = [sum(self._table[place::width]) for place in range(width)]
        return "\n".join(_lines({name: sums[place] for name, place in _PLACES.items()})) + "\n"


def shared_table(workers: int) -> MutableSequence[float]:
    """A table for as many processes, to be handed to each when it is started."""
    table = multiprocessing.get_context("spawn").RawArray("d", workers * len(_PLACES))
    return cast(MutableSequence[float], table)


def _lines(values: dict[str, float]) -> Iterator[str]:
    for name, (purpose, series) in _COUNTERS.items():
        yield from (f"# HELP {name} {purpose}", f"# TYPE {name} counter")
        yield from (f"{name}{labels} {values[name + labels]:.0f}" for labels in series if values[name + labels])
    for name, purpose in _GAUGES.items():
        yield from (f"# HELP {name} {purpose}", f"# TYPE {name} gauge", f"{name} {values[name]:.0f}")
    for name, (purpose, limits) in _HISTOGRAMS.items():
        yield from (f"# HELP {name} {purpose}", f"# TYPE {name} histogram")
        total = 0.0
        for number, limit in enumerate([*limits, "+Inf"]):
            total += values[f"{name} {number}"]
            yield f'{name}_bucket{{le="{limit}"}} {total:.0f}'
        yield f"{name}_sum {values[f'{name} {len(limits) + 1}']:.6f}"
        yield f"{name}_count {total:.0f}"
