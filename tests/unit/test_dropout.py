"""Dropout keeps the expectation, follows the seed, and drops each number on its own."""

import pytest
import torch

from captioner.model.dropout import Dropout


def dropped(probability: float, size: tuple[int, ...] = (400, 500), seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    result: torch.Tensor = Dropout(probability).train()(torch.ones(size))
    return result


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
def test_expectation_and_share(probability: float) -> None:
    result = dropped(probability)
    share = float((result == 0).float().mean())
    deviation = (probability * (1 - probability) / result.numel()) ** 0.5
    assert abs(share - probability) < 4 * deviation + 1 / 512  # The probability is rounded to 1/256.
    assert float(result.mean()) == pytest.approx(1.0, abs=4 * deviation / (1 - probability))
    assert len(result.unique()) == 2


def test_neighbours_are_independent() -> None:
    kept = (dropped(0.5) > 0).float() - 0.5
    flat = kept.flatten()
    for distance in range(1, 17):  # Seven bytes come of one draw.
        assert abs(float((flat[distance:] * flat[:-distance]).mean())) < 0.25 * 5 / flat.numel() ** 0.5


def test_the_seed_decides() -> None:
    assert torch.equal(dropped(0.3, seed=5), dropped(0.3, seed=5))
    assert not torch.equal(dropped(0.3, seed=5), dropped(0.3, seed=6))


def test_nothing_is_dropped_in_evaluation_or_with_probability_nought() -> None:
    x = torch.randn(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("size", [(0,), (1,), (6,), (7,), (8,), (2, 3, 5)])
def test_any_shape(size: tuple[int, ...]) -> None:
    assert dropped(0.5, size).shape == size


def test_gradient_is_the_mask() -> None:
    x = torch.randn(50, requires_grad=True)
    torch.manual_seed(0)
    result = Dropout(0.5).train()(x)
    result.sum().backward()
    torch.testing.assert_close(x.grad, (result / x).detach())


def test_bfloat16_stays_bfloat16() -> None:
    assert Dropout(0.5).train()(torch.ones(9, dtype=torch.bfloat16)).dtype == torch.bfloat16
