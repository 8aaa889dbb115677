"""A matrix used at every step of a recurrence, whose gradient is formed once, after the last step.

Left to autograd, each step's backward pass multiplies a few hundred rows into a full matrix of gradients and adds it
to the sum so far, in bfloat16 under autocast. Kept back until all steps are known, the same sum is one large matrix
product: faster, and rounded once.
"""

from typing import Any

import torch
from torch import Tensor

_Tape = list[tuple[Tensor, Tensor]]


class StepMatrix:
    """``weight`` (out, in) in the computing precision, to be applied to rows at each step of one recurrence."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        self._tape: _Tape = []
        self._weight: Tensor
        if not torch.is_grad_enabled():
            self._weight = weight.to(dtype)
            return
        self._weight = _Gather.apply(weight, dtype, self._tape)

    def __call__(self, rows: Tensor) -> Tensor:
        """(n, in) -> (n, out)."""
        result: Tensor = _Step.apply(rows, self._weight, self._tape)
        return result


class _Gather(torch.autograd.Function):
    """Runs last in the backward pass: one product of all steps' inputs and gradients."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype, tape: _Tape) -> Tensor:
        ctx.tape, ctx.dtype = tape, weight.dtype
        return weight.to(dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, None, None]:
        if not ctx.tape:
            return None, None, None
        inputs, gradients = (torch.cat(parts) for parts in zip(*ctx.tape, strict=True))
        ctx.tape.clear()
        return (gradients.t() @ inputs).to(ctx.dtype), None, None


class _Step(torch.autograd.Function):
    """One application; its backward pass notes what the weight's gradient needs."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        rows = rows.to(weight.dtype)
        ctx.save_for_backward(rows, weight)
        return rows @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        rows, weight = ctx.saved_tensors
        ctx.tape.append((rows.detach(), gradient))  # With its history, it would keep the whole graph alive.
        return gradient @ weight, None, None
