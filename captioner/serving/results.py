"""What a caption is in an answer: the fields of every other output, and for the page the words and where they look."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from captioner.errors import ImageError
from captioner.folder.job import Row
from captioner.predictor import Caption
from captioner.serving.engine import Answer, Region


class Seen(BaseModel):
    """The part of the upright picture that the model sees, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float


class Attention(BaseModel):
    """Where the model looked for each word of a caption."""

    rows: int
    columns: int
    seen: Seen
    """The part of the picture that rows and columns divide."""
    weights: list[list[float]]
    """For each word, the share of its attention on each cell, row by row; they sum to 1."""


class Alternative(BaseModel):
    """A caption of a picture."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    caption: str
    """For people."""
    log_prob: float | None
    """Natural logarithm of its probability: the sum over its words and its end."""
    confidence: Annotated[float | None, Field(ge=0, le=1)]
    """0 to 1."""
    words: list[str]
    """Its words as the model has them."""
    attention: Attention | None = None
    """Where it looked for each of them, if that was asked for."""


class Result(Alternative):
    """A picture's best caption, or why it has none."""

    file: str
    """The picture's name, as it was sent."""
    error: str
    """Empty, or why this picture has no caption."""
    alternatives: list[Alternative] = []
    """Further captions, if they were asked for, best first."""

    def to_json(self) -> dict[str, object]:
        """The row's five fields first."""
        fields = self.model_dump(mode="json")
        first = Row("").to_json()
        return {**{name: fields[name] for name in first}, **fields}


class Results(BaseModel):
    """The answer to ``POST /v1/captions``."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    """Changes with all that a caption depends on beside the picture and the options."""
    results: list[Result]
    """One for each picture, in the order sent."""


def captioned(file: str, answer: Answer, seen: Region) -> Result:
    """The best caption of a picture, and the others below it."""
    several = [
        {
            **_row(file, caption),
            "words": list(caption.words),
            "attention": _attention(answer.attention[number], seen) if answer.attention else None,
        }
        for number, caption in enumerate(answer.captions)
    ]
    alternatives = [Alternative.model_validate(one) for one in several[1:]]
    return Result.model_validate({**several[0], "alternatives": alternatives})


def unreadable(file: str, error: ImageError) -> Result:
    """A picture that cannot be captioned."""
    return Result.model_validate({**Row(file, error=error.problem).to_json(), "words": []})


def _row(file: str, caption: Caption) -> dict[str, object]:
    return Row(file, caption.text, round(caption.log_prob, 4), round(caption.confidence, 4)).to_json()


def _attention(weights: Tensor, seen: Region) -> Attention:
    """(T, rows, columns) -> what stands in the answer, six digits of each."""
    _, rows, columns = weights.shape
    numbers = [[round(value, 6) for value in word] for word in weights.flatten(1).tolist()]
    return Attention(rows=rows, columns=columns, seen=Seen(**vars(seen)), weights=numbers)
