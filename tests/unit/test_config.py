"""A config is read strictly: every mistake is named, with its line and the nearest known key."""

from pathlib import Path
from typing import Any

import pytest

from captioner.config import Config, SamplingConfig
from captioner.configfile import dump_config, load_config, parse_config
from captioner.errors import ConfigError
from captioner.heeding import counting

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").rglob("*.yaml"))
DATASET = "dataset:\n  format: flickr\n  root: Flickr8k\n"


def parsed(text: str, *overrides: str) -> Config:
    return parse_config(text, "my.yaml", overrides)


def refusal(text: str, *overrides: str) -> tuple[list[str], str]:
    """The lines of the problem, and the remedy."""
    with pytest.raises(ConfigError) as caught:
        parsed(text, *overrides)
    assert caught.value.exit_status == 2
    return caught.value.problem.splitlines(), caught.value.remedy


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(example: Path) -> None:
    assert load_config(example).version == 1


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["dataset.root=~/data", "encoder.weights=~/w.pth", "features.path=~/f", "training.begin_with=~/run"]
    config = parsed(DATASET, *words)
    found = (config.dataset.root, config.encoder.weights, config.features.path, config.training.begin_with)
    assert found == ("/home/me/data", "/home/me/w.pth", "/home/me/f", "/home/me/run")


@pytest.mark.parametrize("name", ["fl #2", "fl: x", "2024-01-01", "a, b", "- a"])
def test_text_of_set_is_taken_as_it_is_typed(name: str) -> None:
    assert parsed(DATASET, f"dataset.root={name}").dataset.root == name


def test_a_name_that_is_a_number_is_put_in_quotes() -> None:
    problem, _ = refusal(DATASET, "dataset.root=2017")
    assert problem == ["--set dataset.root=2017: dataset.root: expected a string, found 2017 (in quotes it is text)"]
    assert parsed(DATASET, 'dataset.root="2017"').dataset.root == "2017"


def test_the_version_in_quotes() -> None:
    problem, _ = refusal('version: "1"\n' + DATASET)
    assert problem == ["my.yaml:1: version: expected 1, found '1'"]


def test_an_alias_of_itself() -> None:
    with pytest.raises(ConfigError, match=r"my\.yaml: an alias stands for something that it is in"):
        parsed("dataset: &a\n  format: flickr\n  root: *a\n")


def test_an_override_below_a_value_is_blamed() -> None:
    problem, _ = refusal(DATASET + "training:\n  epochs: 5\n", "training.epochs.x=3")
    assert problem[0].startswith("--set training.epochs.x=3: training.epochs: ")


@pytest.mark.parametrize("setting", ["sampling.temperature=1e-40", "sampling.length_penalty=400", "training.seed=1e30"])
def test_numbers_beyond_all_use(setting: str) -> None:
    assert refusal(DATASET, setting)[0][0].startswith(f"--set {setting}: ")


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_only_the_data_set_has_to_be_given() -> None:
    config = parsed(DATASET)
    assert (config.dataset.format, config.dataset.root) == ("flickr", "Flickr8k")
    assert config.decoder.type == "attention"
    assert config.encoder.fine_tune is False


@pytest.mark.parametrize("text", [DATASET, *(path.read_text("utf-8") for path in EXAMPLES)])
def test_dump_reads_back_as_the_same_config(text: str) -> None:
    config = parsed(text, "encoder.fine_tune=layer4", "dataset.split_lists.val=é list.txt")
    assert parsed(dump_config(config)) == config
    assert config.dataset.split_lists == {"val": "é list.txt"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("decoder:\n  hiden_size: 5\n", "my.yaml:5: unknown key 'decoder.hiden_size', did you mean 'hidden_size'?"),
        ("trainning:\n  epochs: 5\n", "my.yaml:4: unknown key 'trainning', did you mean 'training'?"),
        ("device: cuda\n", "my.yaml:4: unknown key 'device', did you mean 'training.device'?"),
        ("beam_size: 5\n", "my.yaml:4: unknown key 'beam_size', did you mean 'sampling.beam_size'?"),
        ("vocab:\n  q: 5\n", "my.yaml:5: unknown key 'vocab.q' (known: min_count)"),
        (
            "training:\n\n  # comment\n  epochs: many\n",
            "my.yaml:7: training.epochs: expected an integer, found 'many'",
        ),
        ("training:\n  epochs: 0\n", "my.yaml:5: training.epochs: expected greater than 0, found 0"),
        ("decoder:\n  dropout: 1.0\n", "my.yaml:5: decoder.dropout: expected less than 1, found 1.0"),
        (
            "decoder:\n  type: atention\n",
            "my.yaml:5: decoder.type: expected 'lstm', 'attention' or 'transformer', found 'atention', "
            "did you mean 'attention'?",
        ),
        (
            "training:\n  learning_rate: 1e-4\n",
            "my.yaml:5: training.learning_rate: expected a number, found '1e-4' "
            "(YAML reads 1e-4 as text: write 1.0e-04)",
        ),
        (
            "decoder:\n  type: transformer\n  hidden_size: 500\n  heads: 8\n",
            "my.yaml:7: decoder.heads: expected a divisor of decoder.hidden_size, which is 500 (such as 5), found 8",
        ),
        (
            "decoder:\n  hidden_size: 300\n  refiner_layers: 1\n",
            "my.yaml:4: decoder.heads: expected a divisor of decoder.hidden_size, which is 300 (such as 6), found 8",
        ),
        (
            "decoder:\n  tune_word_vectors: false\n",
            "my.yaml:5: decoder.tune_word_vectors: expected true, since no decoder.word_vectors are given that could "
            "stay as they are, found False",
        ),
        (
            "encoder:\n  smallest_crop: 0.5\n",
            "my.yaml:5: encoder.smallest_crop: expected 1 unless encoder.fine_tune is set: features are stored of "
            "whole pictures, found 0.5",
        ),
        ("decoder:\n  tie_embeddings: 1\n", "my.yaml:5: decoder.tie_embeddings: expected true or false, found 1"),
        (
            "decoder:\n  layers: 1\n  layers: 2\n",
            "my.yaml:6: 'decoder.layers' is given twice (first on line 5)",
        ),
        ("dataset:\n  root: x\n", "my.yaml:4: 'dataset' is given twice (first on line 1)"),
    ],
)
def test_mistake_is_named_with_its_line(lines: str, problem: str) -> None:
    assert refusal(DATASET + lines) == ([problem], "mend my.yaml or the --set values, and try again")


def test_heads_only_matter_where_there_are_some() -> None:
    assert parsed(DATASET + "decoder:\n  hidden_size: 500\n").decoder.heads == 8
    problems, _ = refusal(DATASET + "decoder:\n  type: transformer\n  hidden_size: wide\n")
    assert problems == ["my.yaml:6: decoder.hidden_size: expected an integer, found 'wide'"]


def test_only_the_transformer_ties_its_embeddings_by_default() -> None:
    for kind, tied in (("lstm", False), ("attention", False), ("transformer", True)):
        assert parsed(DATASET, f"decoder.type={kind}").decoder.tied is tied
        assert parsed(DATASET, f"decoder.type={kind}", f"decoder.tie_embeddings={not tied}").decoder.tied is not tied


def test_missing_keys_are_named_by_their_section() -> None:
    assert refusal("decoder:\n  layers: 1\n")[0] == ["my.yaml: 'dataset' is missing"]
    assert refusal("dataset:\n  format: coco\n")[0] == ["my.yaml:1: 'dataset.root' is missing"]
    assert refusal("")[0] == ["my.yaml: 'dataset' is missing"]


def test_all_mistakes_come_at_once() -> None:
    text = "dataset:\n  format: flicker\nencoder:\n  bakbone: resnet50\ntraining:\n  epochs: -1\n  epochs: 2\n"
    problems, remedy = refusal(text, "decoder.layers=two", "sampling.beam=3")
    assert problems == [
        "my.yaml:7: 'training.epochs' is given twice (first on line 6)",
        "my.yaml:2: dataset.format: expected 'coco', 'csv', 'flickr', 'folder', 'jsonl', 'karpathy' or 'shapes', "
        "found 'flicker', did you mean 'flickr'?",
        "my.yaml:1: 'dataset.root' is missing",
        "my.yaml:4: unknown key 'encoder.bakbone', did you mean 'backbone'?",
        "--set decoder.layers=two: decoder.layers: expected an integer, found 'two'",
        "my.yaml:6: training.epochs: expected greater than 0, found -1",
        "--set sampling.beam=3: unknown key 'sampling.beam', did you mean 'beam_size'?",
    ]
    assert remedy == "mend my.yaml or the --set values, and try again"


def test_values_that_do_not_go_together() -> None:
    text = DATASET + "sampling:\n  method: diverse_beam\n  beam_size: 6\n  beam_groups: 4\n"
    assert refusal(text)[0] == ["my.yaml:4: sampling: beam_size 6 cannot be shared evenly among beam_groups 4"]
    assert refusal(DATASET, "sampling.min_length=21")[0] == [
        "--set sampling.min_length=21: sampling: min_length 21 is above max_length 20"
    ]


def test_each_beam_is_a_group_unless_said_otherwise() -> None:
    assert parsed(DATASET, "sampling.method=diverse_beam").sampling.groups == 5
    assert parsed(DATASET, "sampling.method=diverse_beam", "sampling.beam_groups=1").sampling.groups == 1
    assert parsed(DATASET, "sampling.method=beam", "sampling.beam_groups=2").sampling.groups == 1


def test_overrides_replace_and_add_values() -> None:
    config = parsed(
        DATASET + "training:\n  epochs: 5\n",
        "training.epochs=7",
        "encoder.weights=none",
        "encoder.fine_tune=layer3",
        "features.flip=true",
        "dataset.root=/data/my set",
    )
    assert config.training.epochs == 7
    assert config.encoder.weights == "none"
    assert config.encoder.fine_tune == "layer3"
    assert config.features.flip is True
    assert config.dataset.root == "/data/my set"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.e-4", "0.0001", "1.0e-04"])
def test_a_number_with_an_exponent_may_be_typed_in_any_form(text: str) -> None:
    assert parsed(DATASET, f"training.learning_rate={text}").training.learning_rate == 1e-4


@pytest.mark.parametrize("override", ["training.epochs", "=5", "training.=5", ".epochs=5"])
def test_an_override_without_a_key_or_value_is_refused(override: str) -> None:
    assert refusal(DATASET, override) == (
        [f"--set {override}: expected section.key=value"],
        "for example --set training.epochs=5",
    )


def test_a_mended_override_still_names_the_file_for_the_rest() -> None:
    problems, _ = refusal(DATASET + "vocab:\n  min_count: 0\n", "vocab.min_count=-1")
    assert problems == ["--set vocab.min_count=-1: vocab.min_count: expected greater than 0, found -1"]


def test_a_config_of_another_version_is_refused_before_all_else() -> None:
    problems, remedy = refusal("version: 2\nnew_section:\n  key: 1\n")
    assert problems == ["my.yaml:1: this config has version 2, and this captioner reads version 1"]
    assert remedy == ("write it anew for version 1 (examples/ shows how), or install the captioner it was made for")


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        (
            "dataset:\n  root: [a\n",
            "my.yaml:3: not valid YAML: expected ',' or ']', but got '<stream end>'",
            "mend that line",
        ),
        ("- a\n", "my.yaml: expected sections such as 'dataset:', found something else", "see examples/"),
        ("just words\n", "my.yaml: expected sections such as 'dataset:', found something else", "see examples/"),
    ],
)
def test_what_is_no_config_is_refused(text: str, problem: str, remedy: str) -> None:
    assert refusal(text) == ([problem], remedy)


def test_a_section_that_holds_a_value_is_refused() -> None:
    (problem,), _ = refusal(DATASET + "training: 5\n")
    assert problem.startswith("my.yaml:4: training: expected ")
    assert problem.endswith(", found 5")
    assert "TrainingConfig" not in problem  # A name inside the program says nothing to its user.


def test_a_config_that_is_not_there_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "flickr8k.yaml").write_text(DATASET)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "flicker8k.yaml")
    assert caught.value.problem == f"cannot read the config {tmp_path}/flicker8k.yaml: No such file or directory"
    assert caught.value.remedy == f"give the path of a YAML file, did you mean '{tmp_path}/flickr8k.yaml'?"


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "picture.yaml")
    assert caught.value.problem == f"cannot read the config {tmp_path}/picture.yaml: not a text file"
    assert caught.value.remedy == "give the path of a YAML file, as examples/ has them"


def test_yaml_tags_run_no_code(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    problems, _ = refusal(DATASET + f"vocab:\n  min_count: !!python/object/apply:os.mkdir ['{bomb}']\n")
    assert not bomb.exists()
    assert "my.yaml:5" in problems[0]


def test_a_value_that_yaml_cannot_make_is_named_with_its_line() -> None:
    problems, _ = refusal("dataset:\n  format: coco\n  root: 2024-02-30\n")
    assert "my.yaml:3" in problems[0]


def test_an_override_that_yaml_cannot_make_is_text() -> None:
    assert parsed(DATASET, "dataset.root=2024-02-30").dataset.root == "2024-02-30"


def test_a_read_config_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parsed(DATASET).training.epochs = 3


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"method": "greedy"}, ["method", "max_length"]),
        ({"method": "beam", "min_length": 3}, ["method", "beam_size", "max_length", "length_penalty", "min_length"]),
        (
            {"method": "diverse_beam", "beam_size": 4, "beam_groups": 2},
            ["method", "beam_size", "max_length", "length_penalty", "beam_groups", "diversity_strength"],
        ),
        (
            {"method": "sample", "bad_endings": "forbid"},
            ["method", "max_length", "length_penalty", "temperature", "top_k", "top_p", "seed", "bad_endings"],
        ),
    ],
    ids=lambda value: value.get("method") if isinstance(value, dict) else "",
)
def test_settings_of_the_sampling_that_count(settings: dict[str, Any], names: list[str]) -> None:
    assert list(counting(SamplingConfig(**settings).model_dump())) == names
