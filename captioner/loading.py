"""A checkpoint's path -> the objects that commands work with; `--set` replaces what it was trained with."""

from collections.abc import Sequence
from pathlib import Path

from captioner.checkpoint import load_checkpoint
from captioner.compute import Compute
from captioner.config import Config
from captioner.configfile import dump_config, parse_config
from captioner.evaluation.evaluator import Evaluation
from captioner.events import Listener
from captioner.experiment import Experiment
from captioner.predictor import Captioner


def load_captioner(path: Path, overrides: Sequence[str] = ()) -> Captioner:
    """A model ready to caption, with other sampling or another precision where ``overrides`` say so."""
    checkpoint = load_checkpoint(path)
    config = _replace(checkpoint.config, path, overrides)
    compute = Compute.choose(config.training.device, config.training.precision)
    return Captioner(checkpoint.model, checkpoint.vocabulary, config.sampling, compute)


def evaluate_model(path: Path, split: str, overrides: Sequence[str], listener: Listener) -> Evaluation:
    """Score a model on a split of its data set, or of another one that ``overrides`` name."""
    checkpoint = load_checkpoint(path)
    experiment = Experiment(_replace(checkpoint.config, path, overrides), listener)
    experiment.encoder = checkpoint.model.encoder
    validation = experiment.validation(split)
    sampling = experiment.config.sampling
    return validation.evaluate(checkpoint.model, checkpoint.vocabulary, sampling, experiment.compute, listener)


def _replace(config: Config, path: Path, overrides: Sequence[str]) -> Config:
    return parse_config(dump_config(config), f"the config in {path}", overrides) if overrides else config
