"""What says that memory did not suffice, and what does not."""

import numpy as np
import pytest
import torch

from captioner.memory import out_of_memory


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


def test_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not out_of_memory(caught.value)
    assert not out_of_memory(ValueError("can't allocate memory"))
