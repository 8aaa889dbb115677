"""Which words are said without reason and which are left out, counted by hand on a few pictures."""

from captioner.evaluation.word_use import CLASSES, WordUse, word_use

words = str.split

REFERENCES = {
    1: [words("a brown dog runs on the grass"), words("the dog is running in a field"), words("a dog on grass")],
    2: [words("two men ride a bike"), words("two men riding a red bike"), words("a man and a bike")],
    3: [words("dogs run in the snow"), words("two dogs play in snow"), words("the dogs are playing")],
}
CAPTIONS = {
    1: words("a black dog running on the beach"),
    2: words("a man rides a bike"),
    3: words("two dogs are playing with a ball"),
}


def found() -> dict[str, dict[str, WordUse]]:
    return {each.name: {word.word: word for word in each.words} for each in word_use(CAPTIONS, REFERENCES)}


def test_every_class_is_there_in_order() -> None:
    assert tuple(each.name for each in word_use(CAPTIONS, REFERENCES)) == CLASSES


def test_words_in_no_reference_of_the_picture_are_counted() -> None:
    assert found()["colours"] == {"black": WordUse("black", 1, 1, 0, 0)}
    assert found()["things"]["dog"] == WordUse("dog", said=1, unsupported=0, wanted=1, missed=0)
    assert found()["people"]["man"] == WordUse("man", said=1, unsupported=0, wanted=0, missed=0)


def test_words_of_most_references_that_the_caption_lacks_are_counted() -> None:
    """Two of three references have two men, of which the caption has neither; of picture 3, one of three has two."""
    assert found()["numbers"] == {"two": WordUse("two", said=1, unsupported=0, wanted=1, missed=1)}
    assert found()["people"]["men"] == WordUse("men", said=0, unsupported=0, wanted=1, missed=1)
    assert found()["things"]["snow"] == WordUse("snow", said=0, unsupported=0, wanted=1, missed=1)


def test_forms_of_an_action_are_one_word_and_a_noun_is_no_action() -> None:
    actions = found()["actions"]
    assert actions["running"] == WordUse("running", said=1, unsupported=0, wanted=1, missed=0)
    assert actions["riding"] == WordUse("riding", said=1, unsupported=0, wanted=1, missed=0)
    assert actions["playing"] == WordUse("playing", said=1, unsupported=0, wanted=1, missed=0)
    assert set(actions) == {"running", "riding", "playing"}
    bikes = {1: [words("a man is biking"), words("a bike on a road"), words("the bike"), words("bikes")]}
    assert [use.name for use in word_use({1: words("bike")}, bikes) for word in use.words if word.said] == ["things"]


def test_words_of_no_class_or_in_no_reference_at_all_are_not_counted() -> None:
    counted = {word for several in found().values() for word in several}
    assert not counted & {"a", "the", "and", "is", "with", "beach", "ball"}


def test_shares_and_the_worst_words() -> None:
    use = {each.name: each for each in word_use(CAPTIONS, REFERENCES)}
    assert use["colours"].share("unsupported", "said") == 1
    assert use["colours"].share("missed", "wanted") is None
    assert use["numbers"].share("missed", "wanted") == 1
    assert [word.word for word in use["things"].worst("missed", 5)] == ["grass", "snow"]
    assert use["things"].worst("missed", 1)[0].word == "grass"
