"""A request's body -> pictures as bytes, in memory only: a form's files, JSON with base64, or one picture as it is."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from captioner.serving.limits import Limits
from captioner.serving.problems import Problem, busy

MULTIPART, JSON, BYTES = "multipart/form-data", "application/json", "application/octet-stream"
UNNAMED = "picture"
"""What a picture is called that was sent without a name."""
_NAME = 200
_HEAD = 10_000
_MARKS = b"{[,"
"""Of these, which divide JSON into its parts, a picture has three, and what its name holds."""
_CHARSETS = {"": "utf-8", "us-ascii": "utf-8", "utf-8": "utf-8", "iso-8859-1": "latin-1", "latin-1": "latin-1"}
"""Of names in headers: those of RFC 8187, and ASCII. Python knows many more, some of which fail or make no text."""
_CURL = "send it as browsers and curl -F do"


@dataclass(frozen=True)
class Upload:
    """One picture, not yet looked at."""

    file: str
    data: bytes


class JsonPicture(BaseModel):
    """A picture in a JSON body."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    data: str
    """The file's bytes, in base64."""
    file: Annotated[str, Field(max_length=_NAME)] = UNNAMED
    """Its name, which comes back with its caption."""


class JsonPictures(BaseModel):
    """A JSON body."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    pictures: Annotated[list[JsonPicture], Field(min_length=1)]
    """One or several."""


class Bodies:
    """Reads requests' bodies, each and all together no longer than the limits."""

    def __init__(self, limits: Limits, changed: Callable[[int], object]) -> None:
        """``changed`` hears how many bytes are in memory, of requests whose answer is not sent."""
        self._limits, self._changed = limits, changed
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The whole body; ``release`` it afterwards. Raises ``Problem`` 413 and 503, and ``ClientDisconnect``."""
        # A length that is said and too large is refused before a byte is read; a false one, when the bytes are there.
        said = request.headers.get("content-length", "0")
        if len(said) > 18 or int(said) > self._limits.body:
            raise self._too_long()
        parts: list[bytes] = []
        size = 0
        try:
            async for part in request.stream():
                size += len(part)
                self._hold(len(part))
                if size > self._limits.body:
                    raise self._too_long()
                if self._held > self._limits.bodies:
                    raise busy("the server holds as many pictures as it may")
                parts.append(part)
        except BaseException:
            self._hold(-size)
            raise
        return b"".join(parts)

    def release(self, body: bytes) -> None:
        """The request is answered."""
        self._hold(-len(body))

    def _hold(self, more: int) -> None:
        self._held += more
        self._changed(self._held)

    def _too_long(self) -> Problem:
        limit = f"{self._limits.body / 1e6:,g} MB"
        return Problem(413, f"the body has more than {limit}", "send smaller pictures, or fewer of them at a time")


def parse(body: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """The pictures of a body, one at least. Raises ``Problem`` 400, 413, 415 and 422."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == MULTIPART:
        uploads = _multipart(body, _parameter("content-type", content_type, "boundary"), limits.pictures)
    elif kind == JSON:
        uploads = _json(body, limits.pictures)
    elif kind.startswith("image/") or kind == BYTES:
        uploads = [Upload(UNNAMED, body)]
    else:
        said = f"a body of the type {kind[:_NAME]!r}" if kind else "a body without a type"
        raise Problem(415, f"{said} cannot be captioned", f"send {MULTIPART}, {JSON}, {BYTES} or image/..., and say so")
    if not uploads:
        raise Problem(422, "the form has no picture", "add one as a file: curl -F picture=@beach.jpg")
    return uploads


def _json(body: bytes, most: int) -> list[Upload]:
    # Each wrong part is an error that pydantic keeps: a million of them take gigabytes, and seconds in which all wait.
    if sum(map(body.count, _MARKS)) > 2 + most * (3 + _NAME):
        raise Problem(413, f"the JSON has more parts than {most} pictures have", "send them in several requests")
    try:
        pictures = JsonPictures.model_validate_json(body).pictures
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        remedy = 'send {"pictures": [{"file": "beach.jpg", "data": "<base64>"}]}'
        raise Problem(422, f"{place}: {first['msg'][:_NAME]}", remedy) from None
    _check_number(len(pictures), most)
    uploads = []
    for number, picture in enumerate(pictures):
        try:
            uploads.append(Upload(picture.file, base64.b64decode(picture.data, validate=True)))
        except (binascii.Error, ValueError):
            remedy = "encode the file's bytes, without line ends"
            raise Problem(422, f"pictures.{number}.data is not base64", remedy) from None
    return uploads


def _multipart(body: bytes, boundary: str | None, most: int) -> list[Upload]:
    """RFC 7578. Nothing is copied but the files, and nothing takes longer than looking for the boundary does."""
    if not boundary:
        raise Problem(400, "the form's type names no boundary", _CURL)
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, most + 2)
    files: list[Upload] = []
    for number, part in enumerate(parts):
        if part.startswith(b"--"):
            return files
        _check_number(number + 1, most)
        files.append(_file(part))
    raise Problem(400, "the form stops before its end", "send it whole, as browsers and curl -F do")


def _file(part: bytes) -> Upload:
    head, found, data = part.partition(b"\r\n\r\n")
    if not found:
        raise Problem(400, "a part of the form has no end to its headers", _CURL)
    for line in head[:_HEAD].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            said = "content-disposition", value.decode("utf-8", "replace")
            file = _parameter(*said, "filename")
            if file is not None:
                return Upload(file[:_NAME] or UNNAMED, data)
            field = (_parameter(*said, "name") or "")[:_NAME]
            raise Problem(422, f"the form's field {field!r} is not a file", "options belong in the query: ?captions=3")
    raise Problem(400, "a part of the form does not say what it is", _CURL)


def _parameter(header: str, value: str, name: str) -> str | None:
    """What a header says of ``name``, as RFC 2231 writes it. Raises ``Problem`` 400."""
    message = Message()
    message[header] = value.strip()
    try:
        # Not ``get_filename``, which takes the spaces off at both ends of a name.
        found = message.get_param(name, None, header)
        if not isinstance(found, tuple):
            return found
        charset, _, text = found
        return text.encode("latin-1").decode(_CHARSETS[(charset or "").lower()], "replace")
    except (LookupError, TypeError, ValueError):  # The reader raises almost anything on numbers that are odd.
        raise Problem(400, f"{name} in the form's {header} cannot be read", _CURL) from None


def _check_number(pictures: int, most: int) -> None:
    if pictures > most:
        raise Problem(413, f"more than {most} pictures in one request", "send them in several requests")
