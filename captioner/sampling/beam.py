"""Beam search over all images and beams at once.

The search of A. Graves, arXiv 1211.3711, section 2.1, and of most captioning papers since: of all continuations
of the W beginnings, the W best go on, and those that end are kept aside.
"""

import torch
from torch import Tensor

from captioner.sampling.protocol import Hypothesis, S, Specials, StepDecoder, log_probs


@torch.inference_mode()
def beam_search(
    decoder: StepDecoder[S],
    features: Tensor,
    specials: Specials,
    *,
    beam_size: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """The best captions of every image of ``features`` (B, P, D): at least one, at most W = ``beam_size``, best first.

    Hypotheses are ranked by log-probability / length ** ``length_penalty``, where the end counts as a word. An image
    leaves the search once W captions have ended; so a beam of one is greedy decoding. Beginnings that reach
    ``max_length`` words become hypotheses as they are, so that there always is one.
    """
    found: list[list[tuple[float, Hypothesis]]] = [[] for _ in range(len(features))]
    device, width = features.device, beam_size
    alive = torch.arange(len(features), device=device)
    totals = torch.full((len(features), width), -torch.inf, device=device)
    totals[:, 0] = 0.0  # All beams begin alike: only one of them may have children.
    beginnings = torch.empty(len(features), width, 0, dtype=torch.int64, device=device)
    words = torch.full((len(features) * width,), specials.start, device=device)
    state = decoder.start(features, width)

    for length in range(max_length):
        scores, state = decoder.step(words, state)
        scores = log_probs(scores, specials).view(len(alive), width, -1)
        vocabulary = scores.shape[-1]
        candidates = (totals.unsqueeze(2) + scores).flatten(1)
        # Each beginning has one way to end: 2W candidates hold W that go on, whatever the others are.
        best, index = candidates.topk(min(2 * width, candidates.shape[1]), dim=1)
        parents, words = index // vocabulary, index % vocabulary
        ends = words == specials.end
        _collect(found, alive, best, parents, ends, beginnings, length_penalty)

        going = best.masked_fill(ends, -torch.inf).topk(width, dim=1)
        totals = going.values
        parents, words = parents.gather(1, going.indices), words.gather(1, going.indices)
        chosen = beginnings.gather(1, parents.unsqueeze(2).expand(-1, -1, length))
        beginnings = torch.cat([chosen, words.unsqueeze(2)], dim=2)

        searching = [row for row, image in enumerate(alive.tolist()) if len(found[image]) < width]
        if not searching:
            break
        kept = torch.tensor(searching, device=device)
        rows = (kept.unsqueeze(1) * width + parents[kept]).flatten()
        state = state.select(rows, kept if len(kept) < len(alive) else None)
        alive, totals, beginnings, words = alive[kept], totals[kept], beginnings[kept], words[kept].flatten()
    else:
        _collect_unfinished(found, alive, totals, beginnings, length_penalty)
    return [[hypothesis for _, hypothesis in sorted(several, key=_rank)[:width]] for several in found]


_Ranked = tuple[float, Hypothesis]


def _rank(ranked: _Ranked) -> tuple[float, tuple[int, ...]]:
    return -ranked[0], ranked[1].words


def _collect(
    found: list[list[_Ranked]],
    alive: Tensor,
    best: Tensor,
    parents: Tensor,
    ends: Tensor,
    beginnings: Tensor,
    length_penalty: float,
) -> None:
    """Keep the candidates among the first W that end; one ranked below W others would not have gone on either."""
    width, length = beginnings.shape[1:]
    rows, columns = ends[:, :width].nonzero(as_tuple=True)
    captions = beginnings[rows, parents[rows, columns]].tolist()
    for image, total, words in zip(alive[rows].tolist(), best[rows, columns].tolist(), captions, strict=True):
        if total > -torch.inf:
            found[image].append((total / (length + 1) ** length_penalty, Hypothesis(tuple(words), total, True)))


def _collect_unfinished(
    found: list[list[_Ranked]], alive: Tensor, totals: Tensor, beginnings: Tensor, length_penalty: float
) -> None:
    length = beginnings.shape[2]
    for image, several, captions in zip(alive.tolist(), totals.tolist(), beginnings.tolist(), strict=True):
        for total, words in zip(several, captions, strict=True):
            if total > -torch.inf:
                found[image].append((total / length**length_penalty, Hypothesis(tuple(words), total, False)))
