"""Which settings of a sampling its method heeds: the others are refused where given, and not shown."""

from typing import Any

from captioner.config import SEARCHES, SamplingConfig

_METHODS = {
    **{"beam_size": SEARCHES, "length_penalty": (*SEARCHES, "sample")},
    **dict.fromkeys(("beam_groups", "diversity_strength"), ("diverse_beam",)),
    **dict.fromkeys(("temperature", "top_k", "top_p", "seed"), ("sample",)),
}
"""The methods that heed a setting of the sampling; all heed the others."""
_OFF = {name: SamplingConfig().model_dump()[name] for name in ("min_length", "no_repeat_ngram", "bad_endings")}
_OFF |= {"banned_words": [], "beam_groups": None}
"""Values that change nothing."""


def heeds(method: str, name: str) -> bool:
    """Whether a method of sampling heeds the setting ``sampling.NAME``."""
    return method in _METHODS.get(name, (method,))


def counting(sampling: dict[str, Any]) -> dict[str, Any]:
    """Of the settings of a sampling those that count: that its method heeds, and that change something."""
    method = sampling.get("method")
    return {
        name: value
        for name, value in sampling.items()
        if heeds(str(method), name) and not (name in _OFF and value == _OFF[name])
    }
