"""Memory: when the C library keeps what is freed, which makes large tensors cheaper, and work that fits into it."""

import ctypes
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from captioner.errors import CaptionerError

T = TypeVar("T")
R = TypeVar("R")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> None:
    """Reuse freed blocks instead of returning them to the system; does nothing without glibc.

    glibc maps and unmaps each block above 32 MiB anew, so that every activation of a batch is page-faulted and
    zeroed on each use. Once, on two cores, MobileNetV2 in bfloat16 ran 1.6 times as fast with this.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        # Or each thread that reads ahead would keep memory of its own, which no other reuses.
        library.mallopt(_M_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Give the system back what is kept, after a kind of work that will not come again soon."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


class Portions:
    """How many items are worked on at once: as many as asked for, and fewer once memory did not suffice for those."""

    def __init__(self, size: int) -> None:
        self.size = size

    def work(self, work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """``work`` on all ``items``, a portion at a time, and a result for each; from any number of threads.

        Raises ``CaptionerError`` when memory does not suffice for one item.
        """
        results: list[R] = []
        while len(results) < len(items):
            portion = items[len(results) : len(results) + self.size]
            try:
                results += work(portion)
                continue
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if len(portion) == 1:
                    raise CaptionerError(
                        "memory does not suffice for one picture", "close other programs, or use a smaller model"
                    ) from error
                self.size = min(self.size, len(portion) // 2)  # Another thread may have halved it by now.
            return_freed_memory()  # Only here has the error gone, with all that its frames held.
        return results


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None  # musl has neither.


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory did not suffice, on a CPU or a GPU, so that less at once may do."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # The latter is torch's.
        return True
    return isinstance(error, RuntimeError) and _SIGNS.search(str(error)) is not None


_SIGNS = re.compile(
    "can't allocate memory|DefaultCPUAllocator: not enough memory|std::bad_alloc|out of memory|ALLOC_FAILED"
    "|could not (create|execute) a (primitive|memory)(?! descriptor)"
)
"""In torch's other errors: Linux, Windows, the C++ library, CUDA and its libraries; and oneDNN, which says no more.
Descriptors it cannot create where it lacks an implementation."""
