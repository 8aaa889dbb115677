"""Captions become the tokens that COCO scores, and tokens become sentences."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.text import detokenize, tokenize


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("", ""),
        ("   \t\n ", ""),
        ("?", ""),
        (' . , ; : - -- ... " ` ', ""),
        ("A man rides a horse .", "a man rides a horse"),
        ("A man rides a horse.", "a man rides a horse"),
        ("A dog,a cat;a bird", "a dog a cat a bird"),
        ("A man's dogs' leash isn't red", "a man 's dogs leash is n't red"),
        ("They can't, won't and cannot", "they ca n't wo n't and can not"),
        ("A t-shirt - not two-tone -- red", "a t-shirt not two-tone red"),
        ("3,000 people at 3:30 p.m. in the U.S.", "3,000 people at 3:30 p.m. in the u.s."),
        ("$5.00, 50% off", "$ 5.00 50 % off"),
        ("a sign (red) [old]", "a sign -lrb- red -rrb- -lsb- old -rsb-"),
        ("wow! WOW!! really?!", "wow wow !! really ?!"),
        ("first line\nsecond line", "first line second line"),
        ("“It’s a café…”", "it 's a café"),
        ("two dogs 🐕🐕 play", "two dogs play"),
        ("कुत्ता दौड़ता है", "कुत्ता दौड़ता है"),
    ],
)
def test_caption_is_split_as_coco_splits_it(caption: str, tokens: str) -> None:
    assert tokenize(caption) == tokens.split()


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_tokens_that_survive_joining_with_spaces(text: str) -> None:
    tokens = tokenize(text)
    assert " ".join(tokens).split() == tokens
    assert not {".", ",", "'", "-", "!"} & set(tokens)


@settings(deadline=None)
@given(st.text(), st.text())
def test_tokens_do_not_depend_on_what_stands_beside_them(left: str, right: str) -> None:
    assert tokenize(f"{left} {right}") == tokenize(left) + tokenize(right)


def test_unpaired_surrogates_and_control_characters_are_dropped() -> None:
    assert tokenize("a\ud800b \x00dog\x07 \ufffe") == ["a", "b", "dog"]


def test_result_may_be_changed_without_changing_the_next() -> None:
    tokenize("a dog").append("cat")
    assert tokenize("a dog") == ["a", "dog"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", ""),
        ("a dog runs", "A dog runs"),
        ("a man 's dog is n't here", "A man's dog isn't here"),
        ("they 'll say i 'm late and we 've won", "They'll say i'm late and we've won"),
        ("he can not swim", "He cannot swim"),
        ("'t is a dog", "'Tis a dog"),
        ("y' all", "Y'all"),
        ("rock 'n' roll & blues", "Rock 'n' roll & blues"),
        ("# 1 costs $ 5 or 50 %", "#1 costs $5 or 50%"),
        ("a sign -lrb- old -rrb- says stop !!", "A sign (old) says stop!!"),
        ("éclairs on a plate", "Éclairs on a plate"),
    ],
)
def test_tokens_become_a_sentence(words: str, sentence: str) -> None:
    assert detokenize(words.split()) == sentence


def test_full_stop_is_added_once_and_never_alone() -> None:
    assert detokenize(["a", "dog"], full_stop=True) == "A dog."
    assert detokenize(["the", "u.s."], full_stop=True) == "The u.s."
    assert detokenize(["wow", "!!"], full_stop=True) == "Wow!!"
    assert detokenize([], full_stop=True) == ""


def test_sentence_is_split_into_the_tokens_it_was_made_of() -> None:
    tokens = "the man 's two-tone bike ca n't be -lrb- # 2 -rrb- worth $ 5"
    assert tokenize(detokenize(tokens.split(), full_stop=True)) == tokens.split()


def test_importing_the_tokeniser_does_not_import_nltk() -> None:
    program = "import sys, captioner.text; print('nltk' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
