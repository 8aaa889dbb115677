"""The recurrence of Show, Attend and Tell over whole captions, with its backward pass written out.

At each step, with h and c from the step before (K. Xu et al., arXiv 1502.03044, equations 1 to 3 and section 4.2.1):

    recurrent, query, gate = from_state h          one matrix product
    weights = softmax(score . tanh(keys + query))
    context = sigmoid(gate) * (weights . values)
    h, c    = LSTM(word + recurrent + from_context context, c)

Left to autograd, each step would add its share to the gradients of the matrices, keys and values, in bfloat16 under
autocast, and copy every part of every gate's gradient twice. Here the gradients of all steps' gates stand in one
tensor, from which one large product at the end gives each matrix's gradient: faster, and rounded once.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.model.packing import product
from captioner.model.soft_attention import CompareGradients, Rows, compare, factors


@dataclass(frozen=True)
class Glance:
    """The pictures and the matrices that every step uses."""

    keys: Tensor
    """(B, P, A): their ``factors``."""
    values: Tensor
    """(B, P, H), in the computing precision, as are the next two."""
    from_state: Tensor
    """(4H + A + H, H); it and the next perhaps packed."""
    from_context: Tensor
    """(4H, H)."""
    score: Tensor
    """(A,), float32."""
    rows: Rows


@dataclass(frozen=True)
class Step:
    """What one step computes for its n rows, and u states: as many, unless rows share them."""

    hidden: Tensor
    """(n, H), in the computing precision."""
    cell: Tensor
    """(n, H), float32."""
    gates: Tensor
    """(n, 4H), float32: input, forget, new and output, after their non-linearities."""
    query: Tensor
    """(u, A): its ``factors``."""
    weights: Tensor
    """(u, P), float32."""
    seen: Tensor
    """(u, H): the weighted sum of the values."""
    gate: Tensor
    """(u, H): how much of it passes."""

    @property
    def context(self) -> Tensor:
        """(u, H): what the LSTM is told of the picture."""
        return self.gate * self.seen


def advance(glance: Glance, word: Tensor, hidden: Tensor, cell: Tensor, places: Tensor | None = None) -> Step:
    """One step for the first n rows: the word's share of the gates (n, 4H), h and c (n, H) -> the next.

    Where rows share states, these are (u, H) each, and ``places`` (n,) say which is whose: only the word's share of the
    gates differs between them.
    """
    size, attention_size = hidden.shape[1], len(glance.score)
    recurrent, query, gate = torch.split(product(hidden, glance.from_state), [4 * size, attention_size, size], dim=1)
    query, gate = factors(query), torch.sigmoid(gate)
    scores = compare(glance.keys, query, glance.score, glance.rows)
    weights = torch.softmax(scores, dim=1)
    laid_out = glance.rows.lay_out(weights.to(glance.values.dtype))
    seen = glance.rows.pick_up(torch.bmm(laid_out, glance.values), hidden.shape[0])
    # In float32 from here: on a CPU, non-linearities in bfloat16 are four times slower, and mixed types slower still.
    gates = product(gate * seen, glance.from_context).add_(recurrent)
    if places is not None:
        gates, cell = gates.index_select(0, places), cell.index_select(0, places)
    gates = gates.add_(word).float()
    entering, forget, new, output = gates.chunk(4, dim=1)
    new.mul_(2)
    gates.sigmoid_()
    new.mul_(2).sub_(1)
    cell = torch.addcmul(forget * cell, entering, new)
    return Step((output * _tanh(cell)).to(word.dtype), cell, gates, query, weights, seen, gate)


def unroll(
    glance: Glance, keys: Tensor, words: Tensor, hidden: Tensor, cell: Tensor, counted: Tensor, active: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """All steps of all rows: packed words' shares of the gates (M, 4H), and the initial h and c (N, H).

    ``keys`` (B, P, A), which the gradient is by, are those of whose factors ``glance`` is made; ``counted`` (M, 1) is
    1, or 0 after a row's end.

    Returns h and the context of each word, packed, (M, H) each, and each row's attention, (N, P), summed over its
    words.
    """
    result: tuple[Tensor, Tensor, Tensor] = _Unroll.apply(
        words, hidden, cell, keys, glance.values, glance.from_state, glance.from_context, glance.score,
        counted, glance.keys, glance.rows, active,
    )  # fmt: skip
    return result


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        words: Tensor,
        hidden: Tensor,
        cell: Tensor,
        keys: Tensor,
        values: Tensor,
        from_state: Tensor,
        from_context: Tensor,
        score: Tensor,
        counted: Tensor,
        key_factors: Tensor,
        rows: Rows,
        active: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        dtype = words.dtype
        glance = Glance(key_factors, values, from_state.to(dtype), from_context.to(dtype), score, rows)
        hidden = hidden.to(dtype)
        ctx.glance, ctx.active, ctx.before, ctx.steps = glance, active, (hidden, cell), []
        ctx.counted = torch.split(counted, list(active))
        attention = key_factors.new_zeros(len(hidden), keys.shape[1])
        with torch.autocast(words.device.type, enabled=False):
            for count, word, mask in zip(active, torch.split(words, list(active)), ctx.counted, strict=True):
                step = advance(glance, word, hidden[:count], cell[:count])
                ctx.steps.append(step)
                hidden, cell = step.hidden, step.cell
                attention[:count].addcmul_(step.weights, mask)
        return (
            torch.cat([step.hidden for step in ctx.steps]),
            torch.cat([step.context for step in ctx.steps]),
            attention,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Back through time. A name without ``of`` is a value; ``of_x`` is the loss's gradient by x."""
        of_hiddens, of_contexts, of_attention = gradients
        glance: Glance = ctx.glance
        steps: list[Step] = ctx.steps
        active: tuple[int, ...] = ctx.active
        rows, values, size = glance.rows, glance.values, glance.values.shape[2]
        comparison = CompareGradients(glance.keys, glance.score, rows)
        # By all that a step's products with from_state and the words give, for all steps; filled from the end.
        of_projections = values.new_empty(sum(active), len(glance.from_state))
        of_seen = values.new_empty(sum(active), size)
        of_hidden, of_cell = (glance.keys.new_zeros(0, size) for _ in range(2))
        start = sum(active)
        for number in reversed(range(len(active))):
            step, count = steps[number], active[number]
            start -= count
            packed = slice(start, start + count)
            of_gates, of_query, of_gate = torch.split(
                of_projections[packed], [4 * size, len(glance.score), size], dim=1
            )
            cell_before = steps[number - 1].cell[:count] if number else ctx.before[1]
            of_hidden = _add_first(of_hiddens[packed].to(torch.float32, copy=True), of_hidden)
            in_float, of_cell = _lstm_backward(step, cell_before, of_hidden, of_cell)
            of_gates.copy_(in_float)
            of_context = (of_gates @ glance.from_context).add_(of_contexts[packed])
            torch.mul(of_context * step.seen, step.gate * (1 - step.gate), out=of_gate)
            torch.mul(of_context, step.gate, out=of_seen[packed])
            of_weights = torch.bmm(rows.lay_out(of_seen[packed]), values.transpose(1, 2))
            of_weights = rows.pick_up(of_weights, count).float().addcmul_(of_attention[:count], ctx.counted[number])
            weighted = of_weights * step.weights
            of_scores = weighted - step.weights * weighted.sum(dim=1, keepdim=True)
            of_query.copy_(comparison.step(step.query, of_scores))
            of_hidden = (of_projections[packed] @ glance.from_state).float()
        hidden_before = [ctx.before[0], *(step.hidden for step in steps[:-1])]
        states = torch.cat([hidden[:count] for hidden, count in zip(hidden_before, active, strict=True)])
        of_words = of_projections[:, : 4 * size]
        weights = torch.cat([rows.lay_out(step.weights.to(values.dtype)) for step in steps], dim=1)
        looks = torch.cat([rows.lay_out(part) for part in torch.split(of_seen, list(active))], dim=1)
        return (
            of_words,
            of_hidden,
            of_cell,
            comparison.of_keys(),
            torch.bmm(weights.transpose(1, 2), looks),
            of_projections.t() @ states,
            of_words.t() @ torch.cat([step.context for step in steps]),
            comparison.of_score,
            None,
            None,
            None,
            None,
        )


def _tanh(x: Tensor) -> Tensor:
    """By a sigmoid: torch's own tanh takes a CPU eight times as long."""
    return torch.mul(x, 2).sigmoid_().mul_(2).sub_(1)


def _add_first(all_rows: Tensor, first: Tensor) -> Tensor:
    """Add ``first`` (m, H), of the rows that go on, to the first m of ``all_rows`` (n, H), in place."""
    all_rows[: len(first)] += first
    return all_rows


def _lstm_backward(step: Step, cell_before: Tensor, of_hidden: Tensor, of_cell: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients by the gates before their non-linearities, (n, 4H), and by the cell before, (n, H); float32."""
    of_gates = torch.empty_like(step.gates)
    entering, forget, new, output = step.gates.chunk(4, dim=1)
    of_entering, of_forget, of_new, of_output = of_gates.chunk(4, dim=1)
    shown = _tanh(step.cell)
    torch.mul(of_hidden * shown, output * (1 - output), out=of_output)
    of_cell = _add_first(of_hidden * output * (1 - shown * shown), of_cell)
    torch.mul(of_cell * new, entering * (1 - entering), out=of_entering)
    torch.mul(of_cell * cell_before, forget * (1 - forget), out=of_forget)
    torch.mul(of_cell * entering, 1 - new * new, out=of_new)
    return of_gates, of_cell * forget
