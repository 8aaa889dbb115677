"""What OpenAPI shows of requests and answers: bodies, examples and errors."""

from typing import Any

from captioner.serving.problems import MEDIA_TYPE
from captioner.serving.uploads import BYTES, JSON, MULTIPART, JsonPictures

# One grey pixel.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

_BINARY = {"type": "string", "format": "binary"}
_RESULT = {
    "file": "beach.jpg",
    "caption": "Two dogs run along the beach",
    "log_prob": -7.4213,
    "confidence": 0.3466,
    "error": "",
    "words": ["two", "dogs", "run", "along", "the", "beach"],
    "attention": {
        "rows": 1,
        "columns": 2,
        "seen": {"left": 0.125, "top": 0.0, "width": 0.75, "height": 1.0},
        "weights": [[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7], [0.2, 0.8]],
    },
    "alternatives": [
        {
            "caption": "Two dogs are running on the beach",
            "log_prob": -8.9031,
            "confidence": 0.3285,
            "words": ["two", "dogs", "are", "running", "on", "the", "beach"],
            "attention": None,
        }
    ],
}
_ERRORS = {
    400: "the form is broken",
    401: "the token is missing or wrong",
    403: "a page of another site asks",
    408: "the body takes too long to arrive",
    413: "the body, or the number of pictures, is above the limit",
    415: "the body is of another type",
    422: "options that do not exist or go together, or no picture that can be read",
    429: "too many requests of this client at a time",
    503: "the model is being loaded, too much is waiting, or the time is over",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong."},
        "remedy": {"type": "string", "description": "What to do."},
        "results": {"type": "array", "items": {"type": "object"}, "description": "Of 422: each picture's reason."},
    },
}


def responses() -> dict[int | str, dict[str, Any]]:
    """Of ``POST /v1/captions``, by status."""
    shown = {"model": "0f3a9c1e5b7d2468", "results": [_RESULT]}
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "A result for each picture, in order", "content": {JSON: {"example": shown}}}
    }
    return found | errors(*_ERRORS)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals with these statuses, of any path."""
    return {
        status: {
            "description": _ERRORS[status][0].upper() + _ERRORS[status][1:],
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
        }
        for status in statuses
    }


def request() -> dict[str, Any]:
    """The body of ``POST /v1/captions`` in each of its forms."""
    schema = JsonPictures.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs")
    schema["properties"]["pictures"]["items"] = definitions["JsonPicture"]
    form = {
        "type": "object",
        "required": ["pictures"],
        "properties": {"pictures": {"type": "array", "items": _BINARY, "minItems": 1}},
    }
    example = {"pictures": [{"file": "pixel.png", "data": _PIXEL}]}
    content: dict[str, Any] = {
        MULTIPART: {"schema": form},
        JSON: {"schema": schema, "example": example},
        "image/*": {"schema": _BINARY},
        BYTES: {"schema": _BINARY},
    }
    return {"requestBody": {"required": True, "content": content}}
