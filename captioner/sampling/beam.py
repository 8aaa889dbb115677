"""Beam search over all images and beams at once, and its diverse form.

The search of A. Graves, arXiv 1211.3711, section 2.1, and of most captioning papers since: of all continuations
of the W beginnings, the W best go on, and those that end are kept aside. A. Vijayakumar et al., "Diverse Beam Search",
arXiv 1610.02424, algorithm 1: the beams are shared among groups, and at each step a group avoids the words that the
groups before it have just taken. One group is plain beam search.
"""

import torch
from torch import Tensor

from captioner.sampling.protocol import Hypothesis, S, StepDecoder, best_first
from captioner.sampling.rules import Rules

_Found = list[list[list[Hypothesis]]]
"""Of each image and group, what has ended."""


@torch.inference_mode()
def beam_search(
    decoder: StepDecoder[S],
    features: Tensor,
    rules: Rules,
    *,
    beam_size: int,
    groups: int = 1,
    diversity: float = 0.0,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """The best captions of every image of ``features`` (B, P, D): at least one, at most W = ``beam_size``, best first.

    ``groups`` must divide W. A word's score falls by ``diversity`` for each beam of an earlier group that has taken it
    at this step (the paper's Hamming diversity); that decides which beginnings go on, and changes no log-probability.
    Two groups may still find the same caption, which is then given once.

    Hypotheses are ranked as ``best_first`` does. A group is done once all its W / ``groups`` captions have ended; so a
    beam of one is greedy decoding. Beginnings that reach the longest length become hypotheses as they are.
    """
    found: _Found = [[[] for _ in range(groups)] for _ in range(len(features))]
    device, size = features.device, beam_size // groups
    first_beam = torch.arange(groups, device=device).view(-1, 1) * size
    alive = torch.arange(len(features), device=device)
    totals = torch.full((len(features), groups, size), -torch.inf, device=device)
    totals[:, :, 0] = 0.0  # All beams begin alike: only one of a group may have children.
    beginnings = torch.empty(len(features), beam_size, 0, dtype=torch.int64, device=device)
    words = torch.full_like(alive, rules.start)
    state = decoder.start(features)

    for length in range(rules.max_length):
        scores, state = decoder.step(words, state)
        if not length:  # Until now all beams of an image are one.
            each = alive.repeat_interleave(beam_size)
            scores, state = scores[each], state.select(each)
        log_probs = rules.log_probs(scores, beginnings.flatten(0, 1)).view(len(alive), groups, size, -1)
        taken = torch.zeros_like(log_probs[:, 0, 0])
        chosen = []
        for group in range(groups):
            several = [found[image][group] for image in alive.tolist()]
            penalty = diversity * taken if group else None
            so_far = beginnings[:, group * size : (group + 1) * size]
            chosen.append(_extend(totals[:, group], log_probs[:, group], penalty, so_far, rules.end, several))
            going, _, next_words = chosen[-1]
            taken.scatter_add_(1, next_words, (going > -torch.inf).float())
        totals, parents, words = (torch.stack(parts, dim=1) for parts in zip(*chosen, strict=True))
        parents, words = (parents + first_beam).flatten(1), words.flatten(1)
        beginnings = torch.cat([beginnings.gather(1, _over_words(parents, beginnings)), words.unsqueeze(2)], dim=2)

        searching = torch.tensor(
            [[len(several) < size for several in found[image]] for image in alive.tolist()], device=device
        )
        totals = totals.masked_fill(~searching.unsqueeze(2), -torch.inf)
        kept = searching.any(dim=1).nonzero().squeeze(1)
        if not len(kept):
            break
        rows = (kept.unsqueeze(1) * beam_size + parents[kept]).flatten()
        state = state.select(rows, kept if len(kept) < len(alive) else None)
        alive, totals, beginnings, words = alive[kept], totals[kept], beginnings[kept], words[kept].flatten()
    else:
        _collect_unfinished(found, alive, totals, beginnings)
    return [_merge(several, size, length_penalty) for several in found]


def _over_words(beams: Tensor, beginnings: Tensor) -> Tensor:
    """Indices of beams (B, W), as ``gather`` wants them for ``beginnings`` (B, W, T)."""
    return beams.unsqueeze(2).expand(-1, -1, beginnings.shape[2])


def _extend(
    totals: Tensor,
    log_probs: Tensor,
    penalty: Tensor | None,
    beginnings: Tensor,
    end: int,
    found: list[list[Hypothesis]],
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of one group: totals (B, W), log-probabilities (B, W, V), penalty (B, V), beginnings (B, W, T).

    Returns the totals, parents and words, each (B, W), of the beginnings that go on; those that end go to ``found``.
    """
    width, vocabulary = log_probs.shape[1:]
    candidates = totals.unsqueeze(2) + log_probs
    ranked = candidates if penalty is None else candidates - penalty.unsqueeze(1)
    candidates, ranked = candidates.flatten(1), ranked.flatten(1)
    # Each beginning has one way to end: 2W candidates hold W that go on, whatever the others are.
    best, index = ranked.topk(min(2 * width, ranked.shape[1]), dim=1)
    totals = best if penalty is None else candidates.gather(1, index)
    parents, words = index // vocabulary, index % vocabulary
    ends = words == end
    _collect(found, totals[:, :width], parents, ends[:, :width], beginnings)
    going = best.masked_fill(ends, -torch.inf).topk(width, dim=1).indices
    totals = totals.masked_fill(ends, -torch.inf)
    return totals.gather(1, going), parents.gather(1, going), words.gather(1, going)


def _collect(found: list[list[Hypothesis]], totals: Tensor, parents: Tensor, ends: Tensor, beginnings: Tensor) -> None:
    """Keep the candidates among the first W that end; one ranked below W others would not have gone on either."""
    rows, columns = (ends & (totals > -torch.inf)).nonzero(as_tuple=True)
    captions = beginnings[rows, parents[rows, columns]].tolist()
    for row, total, words in zip(rows.tolist(), totals[rows, columns].tolist(), captions, strict=True):
        found[row].append(Hypothesis(tuple(words), total, True))


def _collect_unfinished(found: _Found, alive: Tensor, totals: Tensor, beginnings: Tensor) -> None:
    captions = beginnings.view(*totals.shape, -1)
    images, groups, beams = (totals > -torch.inf).nonzero(as_tuple=True)
    kept = (images, groups, beams)
    for image, group, total, words in zip(
        alive[images].tolist(), groups.tolist(), totals[kept].tolist(), captions[kept].tolist(), strict=True
    ):
        found[image][group].append(Hypothesis(tuple(words), total, False))


def _merge(groups: list[list[Hypothesis]], size: int, length_penalty: float) -> list[Hypothesis]:
    """Each group's ``size`` best, without those that an earlier group has."""
    best = (one for several in groups for one in best_first(several, length_penalty)[:size])
    unique: dict[tuple[int, ...], Hypothesis] = {}
    for one in best:
        unique.setdefault(one.words, one)
    return best_first(unique.values(), length_penalty)
