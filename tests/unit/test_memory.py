"""What says that memory did not suffice, and what does not."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from captioner.errors import CaptionerError
from captioner.memory import Portions, out_of_memory


@pytest.mark.parametrize(
    "allocate",
    [lambda: torch.empty(1 << 50), lambda: np.empty(1 << 55, np.uint8), lambda: bytearray(1 << 55)],
    ids=["torch", "numpy", "python"],
)
def test_allocations_that_fail(allocate) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    assert out_of_memory(caught.value)


def test_what_gpus_say() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert out_of_memory(RuntimeError("CUDA error: out of memory"))


def test_what_the_library_of_a_cpu_says() -> None:
    for what in ("create a primitive", "execute a primitive", "create a memory object"):
        assert out_of_memory(RuntimeError(f"could not {what}"))
    without = "could not create a primitive descriptor for the matmul primitive. Run workload with environment variable"
    assert not out_of_memory(RuntimeError(without))


def test_what_an_attempt_leaves_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would lack where the C library takes more from the system."""
    returned: list[int] = []
    monkeypatch.setattr("captioner.memory.return_freed_memory", lambda: returned.append(1))

    def work(items: Sequence[int]) -> Sequence[int]:
        if len(items) > 2:
            raise RuntimeError("could not create a primitive")
        return items

    assert Portions(8).work(work, range(8)) == [*range(8)]
    assert len(returned) == 2


def test_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not out_of_memory(caught.value)
    assert not out_of_memory(ValueError("can't allocate memory"))


def test_less_at_once_where_memory_does_not_suffice() -> None:
    tried: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        tried.append(len(items))
        if len(items) > 5:
            torch.empty(1 << 50)
        return [item * item for item in items]

    portions = Portions(32)
    assert portions.work(work, range(20)) == [item * item for item in range(20)]
    assert tried == [20, 10, 5, 5, 5, 5]
    assert portions.work(work, range(7)) == [item * item for item in range(7)]
    assert tried[6:] == [5, 2]  # What did not fit once is not tried again.
    assert portions.work(work, []) == []


def test_one_that_does_not_fit_and_other_errors() -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise MemoryError

    with pytest.raises(CaptionerError) as caught:
        Portions(4).work(work, range(3))
    assert str(caught.value) == (
        "memory does not suffice for one picture\nclose other programs, or use a smaller model"
    )
    with pytest.raises(ZeroDivisionError):
        Portions(4).work(lambda items: [item // 0 for item in items], range(3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Portions(4).work(lambda items: [torch.ones(2, 3) @ torch.ones(2, 3)], range(3))
