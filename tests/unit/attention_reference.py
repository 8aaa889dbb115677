"""Show, Attend and Tell written plainly: one caption at a time, ordinary operations, autograd does the rest."""

import torch
from torch import Tensor

from captioner.batch import PAD, Batch

Weights = dict[str, Tensor]


def teacher_forced(weights: Weights, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Features (B, P, D) -> the output layer's inputs, packed (M, E), and each row's summed attention (N, P)."""
    rows, steps = batch.rows.tolist(), batch.steps.tolist()
    inputs: dict[int, list[int]] = {}
    for row, word, target in zip(rows, batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        if target != PAD:
            inputs.setdefault(row, []).append(word)
    outputs, looked = {}, []
    for row, image in enumerate(batch.image_of.tolist()):
        hidden, attention = caption(weights, features[image], inputs[row])
        outputs |= {(row, step): vector for step, vector in enumerate(hidden)}
        looked.append(attention)
    ended = torch.zeros_like(next(iter(outputs.values())))
    return torch.stack([outputs.get(place, ended) for place in zip(rows, steps, strict=True)]), torch.stack(looked)


def caption(weights: Weights, features: Tensor, words: list[int]) -> tuple[list[Tensor], Tensor]:
    """One caption over one picture's features (P, D): an output (E,) for each word, and the summed attention (P,)."""

    def linear(name: str, x: Tensor) -> Tensor:
        bias = weights.get(f"{name}.bias")
        product = weights[f"{name}.weight"] @ x
        return product if bias is None else product + bias

    values = torch.stack([torch.relu(linear("value.0", position)) for position in features])
    keys = torch.stack([linear("key", value) for value in values])
    hidden, cell = torch.tanh(linear("initial", values.mean(0))).chunk(2)
    size, attention_size = len(hidden), keys.shape[1]
    outputs, attention = [], torch.zeros(len(values), dtype=features.dtype)
    for word in words:
        vector = weights["embedding.weight"][word]
        recurrent, query, gate = linear("from_state", hidden).split([4 * size, attention_size, size])
        looks = torch.softmax(torch.stack([weights["score"] @ torch.tanh(key + query) for key in keys]), dim=0)
        attention = attention + looks
        context = torch.sigmoid(gate) * (looks @ values)
        entering, forget, new, output = (
            linear("from_word", vector) + recurrent + linear("from_context", context)
        ).chunk(4)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(entering) * torch.tanh(new)
        hidden = torch.sigmoid(output) * torch.tanh(cell)
        outputs.append(linear("state_to_output", hidden) + linear("context_to_output", context) + vector)
    return outputs, attention
