"""Which of a search's captions agrees most with all of them, by the words and short phrases that they share.

The likeliest caption need not be the best one: where a model wavers, what many of its likely captions say in other
words is surer than any one of them. S. Kumar and W. Byrne, "Minimum Bayes-Risk Decoding for Statistical Machine
Translation", HLT-NAACL 2004, section 2, with the model's own probabilities as Y. Jinnai et al., arXiv 2311.05263, have
them; for captions of pictures J. Devlin et al., arXiv 1505.04467, call it consensus.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from captioner.sampling.protocol import Hypothesis

_LONGEST_PHRASE = 4
_FLATTENED = 0.3
"""A caption counts as its probability to the power of this: a search holds the likeliest captions alone, and of these
the first few would outvote all others."""

_Phrases = dict[tuple[int, ...], float]


def most_agreed_first(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The same captions of one picture, at least one, by how much each agrees with all of them.

    Two captions agree as much as the cosines of their counts of n-grams, the mean over n = 1 to 4; the sum of all
    agreements with a caption is then its agreement with their weighted sum. Ties go by the words.
    """
    phrases = [_phrases(one.words) for one in hypotheses]
    likeliest = max(one.log_prob for one in hypotheses)
    common: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for one, own in zip(hypotheses, phrases, strict=True):
        weight = math.exp(_FLATTENED * (one.log_prob - likeliest))
        for phrase, value in own.items():
            common[phrase] += weight * value
    agreements = [sum(value * common[phrase] for phrase, value in own.items()) for own in phrases]
    ranked = sorted(zip(agreements, hypotheses, strict=True), key=lambda pair: (-pair[0], pair[1].words))
    return [one for _, one in ranked]


def _phrases(words: tuple[int, ...]) -> _Phrases:
    """Counts of n-grams, for each n divided by their length as a vector."""
    found: _Phrases = {}
    for size in range(1, _LONGEST_PHRASE + 1):
        counts = Counter(words[start : start + size] for start in range(len(words) - size + 1))
        length = math.hypot(*counts.values())
        found |= {phrase: count / length for phrase, count in counts.items()}
    return found
