"""What a caption is worth in self-critical training: CIDEr-D against its picture's references, and BLEU-4 besides."""

from collections.abc import Sequence

from captioner.evaluation.metrics import bleu
from captioner.evaluation.metrics.cider import CiderScorer
from captioner.evaluation.metrics.ngrams import count_ngrams
from captioner.vocab import END, SPECIALS

_FINISHED = SPECIALS[END]


class Reward:
    """Scores captions against the references of a data set's pictures.

    The end counts as a word of candidates and references: otherwise a caption that breaks off ("a man on a") costs
    nothing, and models learn to break off.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[str]]], bleu_weight: float = 0.0) -> None:
        """``references[i]`` are the captions of picture i, in words; CIDEr's document frequencies come from them."""
        finished = [[[*words, _FINISHED] for words in several] for several in references]
        self._cider = CiderScorer(dict(enumerate(finished)))
        self._bleu_weight = bleu_weight

    def __call__(self, picture: int, captions: Sequence[tuple[Sequence[str], bool]]) -> list[float]:
        """Each of a picture's captions, in words, and whether it came to its end -> what it is worth.

        That is CIDEr-D, 0 to 10, as means of it are published, plus the weight of BLEU-4 times BLEU-4, 0 to 1.
        """
        references = self._cider.references_of(picture)
        worth = []
        for words, finished in captions:
            counts = count_ngrams([*words, _FINISHED] if finished else words)
            reward = self._cider.compare(counts, references)
            if self._bleu_weight:
                statistics = bleu.compare(counts, [reference.counts for reference in references])
                reward += self._bleu_weight * statistics.scores()[-1]
            worth.append(reward)
        return worth
