"""How fast captions are split and scored on one core: ``python tests/benchmarks/metrics.py``."""

import random
import time
from collections.abc import Callable

from captioner.evaluation.metrics import CiderScorer, score
from captioner.text import tokenize

IMAGES = 5_000
REFERENCES = 5


def measure(work: Callable[[], object]) -> float:
    """Processor seconds that ``work`` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Generate captions of 8 to 14 words, the commoner ones as in English, and print what is measured."""
    dice = random.Random(0)
    vocabulary = [f"word{number}" for number in range(5_000)]
    commonness = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    captions = [
        " ".join(dice.choices(vocabulary, commonness, k=dice.randint(8, 14))) + " ."
        for _ in range(IMAGES * (REFERENCES + 1))
    ]
    tokenize("the first call imports nltk")

    seconds = measure(lambda: [tokenize(caption) for caption in captions])
    print(f"tokenize: {len(captions) / seconds:,.0f} captions/s")

    tokens = [tokenize(caption) for caption in captions]
    candidates = dict(enumerate(tokens[:IMAGES]))
    references = {key: tokens[IMAGES + key :: IMAGES] for key in candidates}
    seconds = measure(lambda: score(candidates, references))
    print(f"score: {IMAGES:,} images with {REFERENCES} references in {seconds:.2f} s")

    scorer = CiderScorer(references)
    seconds = measure(lambda: scorer.score(candidates.items()))
    print(f"CIDEr as a reward: {IMAGES / seconds:,.0f} captions/s")


if __name__ == "__main__":
    main()
