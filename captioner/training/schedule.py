"""How the learning rate moves: a pure function of the step, so that resuming needs no state of its own."""

import math


def learning_rate_factor(step: int, warmup_steps: int, total_steps: int | None) -> float:
    """The share of the peak learning rate at ``step``, counted from 0: rising linearly, then down a half cosine.

    With ``total_steps`` None it stays at the peak (the plateau schedule halves the peak itself). I. Loshchilov,
    F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5, without restarts.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if total_steps is None or total_steps <= warmup_steps:
        return 1.0
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
