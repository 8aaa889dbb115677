"""Which settings may differ between a run and what goes on from it."""

from collections.abc import Collection, Sequence
from pathlib import Path

from captioner.config import Config
from captioner.errors import UsageError


def check_same(before: Config, now: Config, run: Path) -> None:
    """Resuming with other settings would end nowhere; only where things lie may have changed."""
    changed = changed_settings(
        before, now, tuple(name for name in Config.model_fields if name != "version"), _MAY_CHANGE
    )
    if changed:
        raise UsageError(
            f"{run} was begun with other settings: {'; '.join(changed)}",
            f"resume it with --config {run / 'config.yaml'} --run {run}, or begin a new run in another folder",
        )


def changed_settings(
    before: Config, now: Config, sections: Sequence[str], allowed: Collection[tuple[str, str]]
) -> list[str]:
    """Each setting of ``sections`` that differs and may not, as ``training.epochs was 3, is 4``."""
    return [
        f"{section}.{key} was {value!r}, is {getattr(getattr(now, section), key)!r}"
        for section in sections
        for key, value in getattr(before, section).model_dump().items()
        if value != getattr(getattr(now, section), key) and (section, key) not in allowed
    ]


_MAY_CHANGE = {
    ("dataset", "root"),
    ("dataset", "captions"),
    ("dataset", "images"),
    ("features", "path"),
    ("encoder", "weights"),
    ("decoder", "word_vectors"),
    ("training", "device"),
    ("training", "begin_with"),
    ("training", "checkpoint_minutes"),
}

MAY_BEGIN_OTHERWISE = {
    ("encoder", "weights"),
    ("encoder", "fine_tune"),
    ("encoder", "smallest_crop"),
    ("encoder", "image_size"),
    ("encoder", "keep"),
    ("decoder", "dropout"),
    ("decoder", "tie_embeddings"),  # Weights that do not fit are refused anyway, and None may mean either.
    ("decoder", "word_vectors"),
    ("decoder", "tune_word_vectors"),
}
