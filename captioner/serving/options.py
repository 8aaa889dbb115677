"""What a request may ask beside its pictures, from the query, checked and joined with the model's own sampling."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from captioner.config import SEARCHES, SamplingConfig
from captioner.errors import UsageError
from captioner.heeding import heeds
from captioner.sampling import check_number
from captioner.serving.problems import Problem

MOST_CAPTIONS = 10
_WIDEST = 20


class Options(BaseModel):
    """The query of ``POST /v1/captions``; what is not given stays as the model samples."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    captions: Annotated[int, Field(ge=1, le=MOST_CAPTIONS)] = 1
    """Captions of each picture, at most: the best one, and alternatives."""
    attention: bool = False
    """Also say where the model looked for each word."""
    method: Literal["greedy", "beam", "diverse_beam", "consensus", "sample"] | None = None
    """How words are chosen."""
    beam_size: Annotated[int, Field(ge=1, le=_WIDEST)] | None = None
    """Beginnings kept by `beam`, `diverse_beam` and `consensus`; by default wide enough for the captions asked for."""
    temperature: Annotated[float, Field(ge=0.001, le=100)] | None = None
    """`sample`: below 1 likely words become likelier, above 1 less so."""
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """`sample`: draw among this many likeliest words; 0: among all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """`sample`: draw among the fewest likeliest words that have this probability together."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    """`sample`: another seed gives other captions, the same one the same."""

    def sampling(self, own: SamplingConfig) -> SamplingConfig:
        """The model's ``own`` sampling with these changes. Raises ``Problem`` 422 where they do not go together."""
        changes = self.model_dump(exclude={"captions", "attention"}, exclude_none=True)
        merged = own.model_dump() | changes
        if idle := [name for name in changes if not heeds(merged["method"], name)]:
            raise Problem(
                422,
                f"{idle[0]} has no effect with method {merged['method']}",
                "leave it out, or ask for another method",
            )
        if merged["method"] in SEARCHES and self.beam_size is None:
            merged["beam_size"] = max(merged["beam_size"], self.captions)
        if merged["method"] == "diverse_beam" and merged["beam_size"] != own.beam_size:
            merged["beam_groups"] = None
        try:
            sampling = SamplingConfig.model_validate(merged)
            check_number(sampling, self.captions)
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise Problem(422, reason, "change the query's options") from None
        except UsageError as error:
            raise Problem(
                422, error.problem, "ask for fewer, or change method (such as method=beam) or beam_size"
            ) from None
        return sampling
