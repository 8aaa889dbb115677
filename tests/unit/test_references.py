"""References are known by their content: the same fingerprint wherever they come from, another for any change."""

import hashlib

from captioner.evaluation.references import References


def test_the_fingerprint_is_that_of_the_json_that_is_documented() -> None:
    references = References("r.json", {"b": ["Ein Hund läuft."], 2: ["two", " one\n"], "a": []})
    text = r'[["a",[]],["b",["Ein Hund l\u00e4uft."]],[2,["one","two"]]]'
    assert references.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_order_name_and_blanks_around_do_not_matter() -> None:
    first = References("first", {1: ["a dog", "a cat"], 2: ["a bus"]})
    second = References("second", {2: ("a bus ",), 1: ("a cat", "a dog")})
    assert first.sha256 == second.sha256


def test_every_caption_and_image_matters() -> None:
    known = {1: ["a dog", "a cat"], 2: ["a bus"]}
    others = [
        {1: ["a dog", "a cat"]},
        {1: ["a dog", "a cat", "a cat"], 2: ["a bus"]},
        {1: ["A dog", "a cat"], 2: ["a bus"]},
        {"1": ["a dog", "a cat"], 2: ["a bus"]},
        {1: ["a dog"], 2: ["a cat", "a bus"]},
    ]
    assert len({References("", texts).sha256 for texts in [known, *others]}) == 6


def test_what_is_stored_with_scores() -> None:
    references = References("r.json", {1: ["a dog", "a cat"], 2: ["a bus"]})
    assert references.to_json() == {"name": "r.json", "images": 2, "captions": 3, "sha256": references.sha256}
    assert references.words == {1: [["a", "dog"], ["a", "cat"]], 2: [["a", "bus"]]}
