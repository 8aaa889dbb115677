"""Settings that speak of words -> the rules that samplers follow, in a vocabulary's indices."""

from captioner.config import SamplingConfig
from captioner.errors import ConfigError, nearest
from captioner.sampling import Rules
from captioner.vocab import END, PAD, START, UNKNOWN, Vocabulary

BAD_ENDINGS = (
    *("a", "an", "the", "this", "that", "these", "those", "his", "its", "their", "my", "your", "our"),
    *("and", "or", "but", "while", "as", "with", "of", "at", "to", "for", "from", "into", "onto", "between"),
    *("is", "are", "was", "were"),
)
"""Words that `sampling.bad_endings` forbids at the end: each ends at most 4 of Flickr8k's 35,000 captions."""


def rules_of(vocabulary: Vocabulary, sampling: SamplingConfig) -> Rules:
    """What captions may be, in the vocabulary's indices. Raises ``ConfigError`` for banned words it does not have."""
    unknown = [word for word in sampling.banned_words if word not in vocabulary]
    if unknown:
        words = list(vocabulary.counts)
        raise ConfigError(
            "\n".join(
                f"sampling.banned_words: '{word}' is not in the model's vocabulary{nearest(word, words)}"
                for word in unknown
            ),
            "a word that is not in the vocabulary is never produced: leave it out, or name the one you mean",
        )
    return Rules(
        start=START,
        end=END,
        max_length=sampling.max_length,
        never=(PAD, START, UNKNOWN, *vocabulary.encode(sampling.banned_words)),
        never_last=tuple(vocabulary.encode(word for word in BAD_ENDINGS if word in vocabulary))
        if sampling.bad_endings == "forbid"
        else (),
        min_length=sampling.min_length,
        no_repeat_ngram=sampling.no_repeat_ngram,
    )
