"""When the C library keeps freed memory, which makes large tensors on a CPU much cheaper, and when not."""

import ctypes
import sys

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


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None  # musl has neither.


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory did not suffice, on a CPU or a GPU, so that less at once may do."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # The latter is torch's.
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


_SIGNS = (
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
)
"""In torch's other errors: Linux, Windows, the C++ library, CUDA and its libraries."""
