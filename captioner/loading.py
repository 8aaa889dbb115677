"""A checkpoint's path -> a captioner; ``--set`` replaces what it was trained with."""

from collections.abc import Sequence
from pathlib import Path

from captioner.checkpoint.reading import load_checkpoints
from captioner.compute import Compute
from captioner.config import Config, SamplingConfig
from captioner.configfile import dump_config, parse_config
from captioner.errors import UsageError
from captioner.heeding import heeds
from captioner.model.ensemble import together
from captioner.predictor import Captioner

CAPTIONING = ("sampling", "training.device", "training.precision")
"""Sections and keys that captioning reads of a config; all else is in the model."""
SCORING = (*CAPTIONING, "dataset", "features")


def load_captioner(paths: Sequence[Path], overrides: Sequence[str] = (), read: Sequence[str] = CAPTIONING) -> Captioner:
    """A model ready to caption, with other sampling or another precision where ``overrides`` say so.

    Of several models, which caption together, the first one's settings count. Raises as ``replaced`` does.
    """
    checkpoints = load_checkpoints(paths)
    config = replaced(checkpoints[0].config, paths[0], overrides, read)
    refuse_unheeded(overrides, [config.sampling])
    compute = Compute.choose(config.training.device, config.training.precision)
    model = together([checkpoint.model for checkpoint in checkpoints])
    return Captioner(model, checkpoints[0].vocabulary, config.sampling, compute, checkpoints[0].calibration)


def replaced(config: Config, path: Path, overrides: Sequence[str], read: Sequence[str]) -> Config:
    """The config of the model at ``path`` with ``overrides``.

    Raises ``UsageError`` for keys that are not ``read``: a model that is trained cannot be given others.
    """
    if not overrides:
        return config
    result = parse_config(dump_config(config), f"the config in {path}", overrides)
    idle = [each for each in overrides if not _names(read, each)]
    if idle:
        known = ", ".join(name if "." in name else f"{name}.*" for name in read)
        place = "evaluate and compare" if all(_names(SCORING, each) for each in idle) else "train"
        raise UsageError(
            f"no effect here: {', '.join(f'--set {each}' for each in idle)}",
            f"a trained model takes {known}; the rest is for captioner {place}",
        )
    return result


def refuse_unheeded(overrides: Sequence[str], samplings: Sequence[SamplingConfig]) -> None:
    """Raise ``UsageError`` for settings of the sampling that the methods of none of ``samplings`` heed."""
    methods = list(dict.fromkeys(each.method for each in samplings))
    for override in overrides:
        section, _, name = override.partition("=")[0].partition(".")
        if section == "sampling" and name and not any(heeds(method, name) for method in methods):
            raise UsageError(
                f"captions are chosen by method {' and '.join(methods)}, where --set {override} has no effect",
                "leave it out, or choose the method that you mean by --set sampling.method=...",
            )


def _names(keys: Sequence[str], override: str) -> bool:
    """Whether ``override`` is of one of these sections and keys."""
    key = override.partition("=")[0]
    return key in keys or key.partition(".")[0] in keys
