"""A checkpoint's path -> the objects that commands work with; `--set` replaces what it was trained with."""

from collections.abc import Sequence
from pathlib import Path

from captioner.checkpoint import load_checkpoints
from captioner.compute import Compute
from captioner.config import Config
from captioner.configfile import dump_config, parse_config
from captioner.data.pictures import SeveralPictures
from captioner.errors import UsageError
from captioner.evaluation.evaluator import Evaluation
from captioner.events import Listener
from captioner.experiment import Experiment
from captioner.model.ensemble import together
from captioner.predictor import Captioner


def load_captioner(paths: Sequence[Path], overrides: Sequence[str] = ()) -> Captioner:
    """A model ready to caption, with other sampling or another precision where ``overrides`` say so.

    Of several models, which caption together, the first one's settings count.
    """
    checkpoints = load_checkpoints(paths)
    config = _replace(checkpoints[0].config, paths[0], overrides)
    compute = Compute.choose(config.training.device, config.training.precision)
    model = together([checkpoint.model for checkpoint in checkpoints])
    return Captioner(model, checkpoints[0].vocabulary, config.sampling, compute)


def evaluate_model(paths: Sequence[Path], split: str, overrides: Sequence[str], listener: Listener) -> Evaluation:
    """Score a model on a split of its data set, or of another one that ``overrides`` name.

    Of several models, which caption together, the first one's settings count; each reads its own features.
    """
    checkpoints = load_checkpoints(paths)
    experiments = []
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        experiment = Experiment(_replace(checkpoint.config, path, overrides), listener)
        experiment.encoder = checkpoint.model.encoder
        experiments.append(experiment)
    first = experiments[0]
    validation = first.validation(split)
    if len(paths) > 1:
        validation.pictures = _read_together(paths, experiments, split)
    model = together([checkpoint.model for checkpoint in checkpoints])
    sampling = first.config.sampling
    return validation.evaluate(model, checkpoints[0].vocabulary, sampling, first.compute, listener)


def _read_together(paths: Sequence[Path], experiments: Sequence[Experiment], split: str) -> SeveralPictures:
    several = [experiment.pictures(split) for experiment in experiments]
    known = [[record.image_id for record in records] for records, _ in several]
    for path, images in zip(paths, known, strict=True):
        if images != known[0]:
            raise UsageError(
                f"{paths[0]} and {path} were trained on different data sets: '{split}' has other pictures",
                "name models of the same data set, or one for all by --set dataset.root=... and dataset.format=...",
            )
    return SeveralPictures([pictures for _, pictures in several])


def _replace(config: Config, path: Path, overrides: Sequence[str]) -> Config:
    return parse_config(dump_config(config), f"the config in {path}", overrides) if overrides else config
