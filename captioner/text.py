"""The only caption tokeniser and its inverse: what vocabulary, training, metrics and captions agree on.

COCO scores captions after Stanford's PTBTokenizer has split and lower-cased them and their punctuation has
been removed (Chen et al. 2015, https://arxiv.org/abs/1504.00325, section 3.1). This module does the same
without Java: a scanner finds the units that Stanford keeps whole, and NLTK's Treebank tokeniser splits the
contractions. ``docs/metrics.md`` says how often the two still differ, and where.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

TOKENIZER = "captioner-ptb-1"
"""Names the rules below. Stored with scores: figures from different tokenisers must not be compared."""

# The COCO list without its brackets: it spells them in capitals, and they arrive here in lower case, so the
# official tokeniser keeps them, and so does this one. Stanford turns curly quotes and dashes into plain ones.
_PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", *'"“”‘’‹›«»‒–—―…'])

_RESPELLED = str.maketrans(
    {
        **{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"},
        **{"£": "#", "€": "$", "¢": "cents", "¼": "1/4", "½": "1/2", "¾": "3/4"},
    }
)

_ABBREVIATIONS = (
    r"mr|mrs|ms|drs?|profs?|sens?|reps?|lt|col|gen|messrs|govs?|adm|rev|maj|sgt|cpl|pvt|capt|ste?|ave|"
    r"pres|hon|brig|pfc|mt|ft|inc|cos?|corp|ltd|plc|bhd|assn|univ|intl|sys|invt|elec|natl|mfg|dept|blvd|"
    r"rd|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri|jr|sr|bros|ph|esq|"
    r"tel|est|ext|sq|etc|al|seq|vs|ph\.d"
)

# Python's letters leave out the marks that combine with one, on which Indic, Arabic and Thai words depend, and
# include numbers such as ² and ½. (The gap in the numbers holds the sign for kelvin, which is also a letter k.)
_MARK = r"[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e30-\u0e4e]"
_LETTER = rf"(?:[^\W\d_\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u218b\u2460-\u24ff]|{_MARK})"
_LETTER_OR_DIGIT = rf"(?:{_LETTER}|\d)"
_WORD = rf"{_LETTER}{_LETTER_OR_DIGIT}*"
_CLITIC = rf"'(?:s|m|d|re|ve|ll|t)(?!{_LETTER})"

# The order stands in for Stanford's "longest match wins": a unit comes before the shorter ones it begins with.
_SCANNER = re.compile(
    rf"""
    (?:https?|ftp)://[^<>|]+[^<>|.!?,;:&"')-]                               # address of a page
    | [a-z0-9][\w.+-]{{0,63}}@[a-z0-9][\w.-]*[a-z0-9]                         # address of a person
    | </?[a-z][^<>]*> | -[lr][rcs]b-                                        # markup
    | (?:{_ABBREVIATIONS}|{_LETTER}(?:\.{_LETTER})*)\.(?!\w)                # mr.  u.s.a.  j. r. r. tolkien
    | nos?\.(?=\d)                                                          # no.1
    | [<>]?[:;=][-o*']?[dpo()@|\[\]{{\\](?!\w) | c\+\+ | [cf]\#             # :-)  c++
    | '(?:em|till?|cause|n'?|[2-9]0s|\d\d)(?![\w"])                         # get 'em, rock 'n' roll, the '80s
    | ol'(?!\w) | y'(?!s\b)(?={_LETTER})                                    # y' all
    | [dol](?!{_CLITIC})'{_WORD} | (?-i:[A-HJ-XZ])'{_LETTER}{{2,}}          # hors d'oeuvre, O'Brien
    | {_LETTER}+[aeiouy]'(?-i:[aeiouA-Z]){_LETTER}*                         # ma'am
    | (?:s'more|nor'easter|c'mon|e'er|ne'er|cap'n){_LETTER}*
    | {_LETTER_OR_DIGIT}+(?:[.,]+{_LETTER_OR_DIGIT}+)*(?:[-_\u2010\u2011]{_LETTER_OR_DIGIT}+(?:\.\d+)?)+  # t-shirt
    | \d{{1,4}}[-/]\d{{1,4}}[-/]\d{{2,4}}                                   # 10/12/2011
    | {_LETTER_OR_DIGIT}+(?:/{_LETTER_OR_DIGIT}+){{1,2}}(?!\w)              # his/her, 1/2
    | {_WORD}(?:[.!?]{_WORD})+                                              # example.com
    | (?-i:[A-Z]+(?:[&+][A-Z]+)+)                                           # AT&T, but not black&white
    | [-+]?(?:\d+(?:[.,:]\d+)+|(?:[.,]\d+)+)                                # 3:30  1,000  .5
    | [-+]?\d+(?!\w) | \d{_LETTER_OR_DIGIT}*                                # -5  4x4  2nd
    | [?!]{{2,}} | \*+ | \#+ | @+ | _+
    | (?P<contraction>'t(?:is|was)(?!\w) | {_WORD}(?:{_CLITIC})?)           # plain words too: cannot, gonna
    | {_CLITIC} | n't(?!{_LETTER})                                          # standing alone
    | .
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A curly apostrophe between letters: elsewhere it is a quotation mark.
_CURLY_APOSTROPHE = re.compile("(?<=\\w)[\u2019\u0092](?=\\w)")


@cache
def _split_contraction() -> Callable[[str], list[str]]:
    """NLTK's Treebank tokeniser, imported late: the import takes longer than ``captioner --help`` may."""
    from nltk.tokenize.treebank import TreebankWordTokenizer

    split: Callable[[str], list[str]] = TreebankWordTokenizer().tokenize
    return split


def _is_known(unit: str) -> bool:
    """Whether Stanford's tables hold a unit: single signs end where emoji begin, beyond 16 bits."""
    return len(unit) > 1 or (unit <= "\uffff" and unicodedata.category(unit)[0] in "LNPS")


@lru_cache(maxsize=1 << 17)
def _tokenize_chunk(chunk: str) -> tuple[str, ...]:
    """Tokens of a piece of text without white space, cached: nearly every piece is a word seen before."""
    chunk = _CURLY_APOSTROPHE.sub("'", chunk.replace("\u00ad", ""))  # \u00ad marks where a word may be broken
    tokens: list[str] = []
    for match in _SCANNER.finditer(chunk):
        unit = match.group().lower()
        if match.lastgroup == "contraction":
            tokens += _split_contraction()(unit)
        elif _is_known(unit):
            tokens.append(unit.translate(_RESPELLED))
    return tuple(token for token in tokens if token not in _PUNCTUATION)


def tokenize(caption: str) -> list[str]:
    """Split a caption into lower-case tokens without punctuation. Any text is accepted; none raises.

    No token is empty or contains white space, so ``" ".join`` and ``split`` lose nothing.
    """
    tokens: list[str] = []
    for chunk in caption.split():
        tokens += _tokenize_chunk(chunk)
    return tokens


_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}"}
_JOINED_TO_THE_LEFT = frozenset(["'s", "'m", "'d", "'re", "'ve", "'ll", "n't", "%", ")", "]", "}"])
_JOINED_TO_THE_RIGHT = frozenset(["y'", "$", "#", "(", "[", "{"])
_SPLIT_WORDS = frozenset(["can not", "gim me", "gon na", "got ta", "lem me", "wan na", "'t is", "'t was"])
_FIRST_LETTER = re.compile(r"^\W*\w")


def detokenize(words: Sequence[str], *, full_stop: bool = False) -> str:
    """Write tokens as a sentence: ``["a", "man", "'s", "dog"]`` becomes ``"A man's dog"``.

    Capitals within the sentence and removed punctuation are gone for good. ``full_stop`` adds the one at the
    end, unless the sentence already ends in a mark. No words make an empty sentence.
    """
    text = previous = ""
    for token in words:
        word = _BRACKETS.get(token, token)
        joined = (
            word in _JOINED_TO_THE_LEFT
            or previous in _JOINED_TO_THE_RIGHT
            or f"{previous} {word}" in _SPLIT_WORDS
            or word.strip("?!") == ""
        )
        text += word if joined or not text else f" {word}"
        previous = word
    text = _FIRST_LETTER.sub(lambda match: match.group().upper(), text)
    return f"{text}." if full_stop and text and text[-1] not in ".?!" else text
