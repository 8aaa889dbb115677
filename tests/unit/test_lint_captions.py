"""What lint says of captions: lengths, duplicates, scripts, unknown words."""

from pathlib import Path
from typing import Any

import pytest
from lint_data import Data, jpeg, painted

from captioner.data.lint.scripts import has_mixed_word, is_damaged, script_of, scripts


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def found(data: Data, captions: list[str], **changes: dict[str, Any]) -> tuple[str, str, int, str, str]:
    """The one finding in the data set with one more picture, which has these captions."""
    data.add("new.jpg", jpeg(painted(60)), captions)
    finding = data.only(**changes)
    return finding.kind, finding.severity, finding.count, finding.message, finding.remedy


def test_empty_captions(data: Data) -> None:
    assert found(data, ["a red dog", " ", ""]) == (
        "empty-captions", "error", 2,
        f"{data.root}/captions.jsonl:11: new.jpg has an empty caption (1 of 2)",
        "write it or delete it, and try again",
    )  # fmt: skip


def test_pictures_without_captions(data: Data) -> None:
    assert found(data, []) == (
        "pictures-without-captions", "error", 1,
        f"{data.root}/captions.jsonl: 1 picture without captions: new.jpg",
        "write captions for them, in a folder as a .txt beside each, or remove them",
    )  # fmt: skip


def test_wordless_captions(data: Data) -> None:
    assert found(data, ["a red dog", " ... ! "]) == (
        "wordless-captions", "error", 1,
        "1 caption without a word: new.jpg: ... !",
        "write or delete them: the model would learn to say nothing",
    )  # fmt: skip


def test_long_captions(data: Data) -> None:
    assert found(data, ["a red dog", "a dog " * 25, "a dog " * 25 + "runs"], sampling={"max_length": 60}) == (
        "long-captions", "warning", 1,
        "1 caption of more than 50 words: new.jpg: " + ("a dog " * 25)[:57] + "...",
        "shorten them to a sentence: one long caption pads its whole batch",
    )  # fmt: skip


def test_captions_that_the_sampler_cannot_reach(data: Data) -> None:
    kind, severity, count, message, remedy = found(data, ["a red dog"] * 1, sampling={"max_length": 5})
    assert (kind, severity, count) == ("unreachable-lengths", "warning", 6)
    assert message == "35.3% of the training captions are longer than sampling.max_length=5"
    assert remedy == "raise sampling.max_length, or shorten them: the model cannot say what it learns"


def test_duplicate_captions(data: Data) -> None:
    assert found(data, ["a red dog", "A red dog."]) == (
        "duplicate-captions", "warning", 1,
        "1 caption (4.55%) said twice of one picture: new.jpg: A red dog.",
        "write another or delete it: twice the same counts double, and tells nothing new",
    )  # fmt: skip


def test_a_few_duplicates_among_many_captions_are_worth_a_note(data: Data) -> None:
    colours = ["red", "blue", "old", "tall"]
    many = [f"{'a ' * length}{colour} dog" for length in range(1, 40) for colour in colours]
    assert found(data, [*many, many[0]], sampling={"max_length": 50})[:2] == ("duplicate-captions", "note")


def test_mixed_scripts(data: Data) -> None:
    data.add("new.jpg", jpeg(painted(60)), ["a red dоg runs"])  # The o is Cyrillic.
    mixed, other = data.lint().findings
    assert (mixed.kind, mixed.severity) == ("mixed-scripts", "warning")
    assert mixed.message == "1 caption with a word that mixes scripts which look alike: new.jpg: a red dоg runs"
    assert mixed.remedy == "spell it in one script: to the vocabulary it is another word"
    assert other.kind == "other-scripts"


def test_other_scripts(data: Data) -> None:
    assert found(data, ["красная собака", "σκύλος", "a café"]) == (
        "other-scripts", "warning", 2,
        "2 captions with letters that are not Latin (Cyrillic 1, Greek 1): new.jpg: красная собака, new.jpg: σκύλος",
        "translate or remove them, if they are not meant",
    )  # fmt: skip


def test_a_data_set_in_another_script_is_all_right(data: Data) -> None:
    for row in data.rows:
        row["caption"] = ["красная собака бежит", "собака бежит"]
    assert data.lint().findings == ()


def test_scripts_without_blanks(data: Data) -> None:
    for row in data.rows:
        row["caption"] = ["一只狗在草地上跑", "一只狗"]
    finding = data.only()
    assert (finding.kind, finding.severity, finding.count) == ("unspaced-scripts", "warning", 20)
    assert finding.message == (
        "20 captions in a script without blanks between words: 0.jpg: 一只狗在草地上跑, 0.jpg: 一只狗, "
        "1.jpg: 一只狗在草地上跑 and 17 more"
    )
    assert finding.remedy == (
        "put a blank between words: the tokeniser splits at blanks, and takes a phrase for one word"
    )


def test_damaged_captions(data: Data) -> None:
    assert found(data, ["a cafÃ© by the sea", "a red\x00dog", "a caf\ufffd", "a café"]) == (
        "damaged-captions", "warning", 3,
        "3 captions with control characters or wrongly decoded text: "
        "new.jpg: a cafÃ© by the sea, new.jpg: a red\ufffddog, new.jpg: a caf\ufffd",
        "save the captions file as UTF-8 from its original",
    )  # fmt: skip


def test_unknown_words(data: Data) -> None:
    data.add("new.jpg", jpeg(painted(60)), ["purple monkeys juggle seven lemons"], "val")
    finding = data.only()
    assert (finding.kind, finding.severity, finding.examples) == ("unknown-words", "warning", ("val",))
    assert finding.message == "many words are not in the vocabulary at vocab.min_count=1: 20.0% of val"
    assert finding.remedy == "bring more training pictures, or draw the splits anew"


def test_an_empty_vocabulary(data: Data) -> None:
    finding = data.only(vocab={"min_count": 100})
    assert (finding.kind, finding.severity) == ("empty-vocabulary", "error")
    assert finding.message == "no word occurs 100 times in the training captions, so the vocabulary would be empty"
    assert finding.remedy == "lower vocab.min_count: --set vocab.min_count=1"


def test_the_unknown_rate_is_that_of_the_vocabulary(data: Data) -> None:
    from captioner.data.annotations import load_dataset
    from captioner.text import tokenize
    from captioner.vocab import Vocabulary

    config = data.config(vocab={"min_count": 4})
    words = {
        split: [tokenize(text) for record in load_dataset(config.dataset).split(split) for text in record.captions]
        for split in ("train", "val")
    }
    vocabulary = Vocabulary.build(words["train"], 4)
    splits = data.lint(vocab={"min_count": 4}).statistics["splits"]
    for split, captions in words.items():
        assert splits[split]["unknown_rate"] == vocabulary.coverage(captions).unknown_rate > 0


@pytest.mark.parametrize(
    ("characters", "script"),
    [
        ("aÉß", "Latin"),
        ("я", "Cyrillic"),
        ("ω", "Greek"),
        ("ש", "Hebrew"),
        ("犬のイ", "Han"),
        ("ไ", "Thai"),
        ("한", "Hangul"),
        ("µ5!½🐕\u0301", None),
    ],
)
def test_scripts_of_characters(characters: str, script: str | None) -> None:
    assert {script_of(character) for character in characters} == {script}


def test_scripts_of_captions() -> None:
    assert scripts("a dog") == {"Latin"}
    assert scripts("собака and dog") == {"Cyrillic", "Latin"}
    assert not has_mixed_word("собака and dog")
    assert has_mixed_word("a сat")
    assert not has_mixed_word("Tシャツ")


@pytest.mark.parametrize("text", ["naïve café", "Ünïcödé — “quoted” …", "犬が走る", "a dog 🐕", "50 €", "Ã"])
def test_what_is_not_damaged(text: str) -> None:
    assert not is_damaged(text)
