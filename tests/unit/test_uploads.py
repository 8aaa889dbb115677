"""Bodies -> pictures: forms as an independent encoder writes them, JSON, bytes; and what is wrong with others."""

import base64
import json
import time
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from captioner.serving.limits import Limits
from captioner.serving.problems import Problem
from captioner.serving.uploads import Upload, parse

LIMITS = Limits(pictures=3)


def refused(body: bytes, content_type: str) -> tuple[int, str, str]:
    with pytest.raises(Problem) as caught:
        parse(body, content_type, LIMITS)
    return caught.value.status, caught.value.body["detail"], caught.value.body["remedy"]


@given(
    st.lists(
        st.tuples(st.from_regex(r"[\w .()-]{1,20}", fullmatch=True), st.binary(max_size=200)), min_size=1, max_size=3
    )
)
@example([("a.jpg", b"\r\n--"), ("b.jpg", b"")])
@example([(" ", b""), (" a ", b"")])
@settings(max_examples=100)
def test_a_form_comes_back_as_it_was_written(files: list[tuple[str, bytes]]) -> None:
    body, content_type = encode_multipart_formdata([("picture", file) for file in files], boundary="4d3f0c")
    if all(b"4d3f0c" not in data for _, data in files):
        assert parse(body, content_type, LIMITS) == [Upload(name, data) for name, data in files]


def test_a_form_of_another_writer() -> None:
    form = MIMEMultipart("form-data", boundary="a b=c")
    part = MIMEApplication(b"\xff\xd8picture", "octet-stream", lambda message: message.set_payload(b"\xff\xd8picture"))
    part.add_header("Content-Disposition", "form-data", name="x", filename='so "called".jpg')
    form.attach(part)
    head, _, body = form.as_bytes(policy=form.policy.clone(linesep="\r\n")).partition(b"\r\n\r\n")
    assert parse(body, form["Content-Type"], LIMITS)[0].file == 'so "called".jpg'
    assert b"boundary" in head


def test_names_in_utf_8_and_without_end() -> None:
    body, content_type = encode_multipart_formdata([("picture", ("Jäger-鳥.jpg", b"1")), ("p", ("a" * 999, b"2"))])
    assert [upload.file for upload in parse(body, content_type, LIMITS)] == ["Jäger-鳥.jpg", "a" * 200]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("utf-8''J%C3%A4ger%20%e9%b3%a5.jpg", "Jäger 鳥.jpg"),
        ("ISO-8859-1''J%E4ger.jpg", "Jäger.jpg"),
        ("utf-8''%ff", "\ufffd"),
        ("undefined''x", None),
        ("idna''xn--%ff", None),
        ("a\0''x", None),
        ("utf-7''+2AA-", None),
        ("raw-unicode-escape''%5Cud800", None),
        ("utf-8''a; filename*0*=utf-8''b", None),
        ("utf-8''鳥", None),
    ],
)
def test_names_that_say_in_which_letters(said: str, name: str | None) -> None:
    body = f"--x\r\nContent-Disposition: form-data; filename*={said}\r\n\r\n1\r\n--x--".encode()
    if name is None:
        assert refused(body, FORM) == (400, "filename in the form's content-disposition cannot be read", CURL)
    else:
        assert parse(body, FORM, LIMITS) == [Upload(name, b"1")]


def test_parameters_with_numbers_without_end() -> None:
    body = f"--x\r\nContent-Disposition: form-data; filename*{'1' * 5000}=a\r\n\r\n1\r\n--x--".encode()
    assert refused(body, FORM) == (400, "filename in the form's content-disposition cannot be read", CURL)
    for boundary in ("*=undefined''B", f"*{'1' * 5000}=B"):
        kind = f"multipart/form-data; boundary{boundary}"
        assert refused(b"", kind) == (400, "boundary in the form's content-type cannot be read", CURL)


def test_json() -> None:
    pictures = [{"file": "a.jpg", "data": base64.b64encode(b"one").decode()}, {"data": ""}]
    body = json.dumps({"pictures": pictures}).encode()
    expected = [Upload("a.jpg", b"one"), Upload("picture", b"")]
    assert parse(body, "application/json; charset=utf-8", LIMITS) == expected


@pytest.mark.parametrize("kind", ["image/jpeg", "IMAGE/whatever", "application/octet-stream"])
def test_bytes(kind: str) -> None:
    assert parse(b"\xff\xd8", kind, LIMITS) == [Upload("picture", b"\xff\xd8")]


CURL = "send it as browsers and curl -F do"
SHAPE = 'send {"pictures": [{"file": "beach.jpg", "data": "<base64>"}]}'
JSON = "application/json"
FORM = "multipart/form-data; boundary=x"
KINDS = "send multipart/form-data, application/json, application/octet-stream or image/..., and say so"


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"a", "text/plain", (415, "a body of the type 'text/plain' cannot be captioned", KINDS)),
        (b"a", "", (415, "a body without a type cannot be captioned", KINDS)),
        (b"", "multipart/form-data", (400, "the form's type names no boundary", CURL)),
        (b"", FORM, (400, "the form stops before its end", "send it whole, as browsers and curl -F do")),
        (b"--x--\r\n", FORM, (422, "the form has no picture", "add one as a file: curl -F picture=@beach.jpg")),
        (b"--x\r\nA: b\r\n--x--", FORM, (400, "a part of the form has no end to its headers", CURL)),
        (b"--x\r\nA: b\r\n\r\n\r\n--x--", FORM, (400, "a part of the form does not say what it is", CURL)),
        (
            b'--x\r\nContent-Disposition: form-data; name="captions"\r\n\r\n3\r\n--x--',
            FORM,
            (422, "the form's field 'captions' is not a file", "options belong in the query: ?captions=3"),
        ),
        (b'{"pictures": 1}', JSON, (422, "pictures: Input should be a valid array", SHAPE)),
        (b'{"pictures": [{"data": 1}]}', JSON, (422, "pictures.0.data: Input should be a valid string", SHAPE)),
        (
            b'{"pictures": [{"data": "*"}]}',
            JSON,
            (422, "pictures.0.data is not base64", "encode the file's bytes, without line ends"),
        ),
    ],
)  # fmt: skip
def test_what_is_refused(body: bytes, content_type: str, expected: tuple[int, str, str]) -> None:
    assert refused(body, content_type) == expected


def test_too_many_pictures() -> None:
    expected = (413, "more than 3 pictures in one request", "send them in several requests")
    body, content_type = encode_multipart_formdata([("p", ("a", b"1"))] * 4)
    assert refused(body, content_type) == expected
    assert refused(json.dumps({"pictures": [{"data": ""}] * 4}).encode(), "application/json") == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"pictures":[' + b"0," * 1_000_000 + b"0]}",
        b'{"pictures":[' + b"[]," * 300_000 + b"0]}",
        b'{"pictures":[{' + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}]}",
        b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
    ],
    ids=["numbers", "lists", "fields of a picture", "fields of the body"],
)
def test_json_of_many_wrong_parts_takes_no_time(body: bytes) -> None:
    """An error for each of them would take seconds and gigabytes."""
    start = time.monotonic()
    expected = (413, "the JSON has more parts than 3 pictures have", "send them in several requests")
    assert refused(body, JSON) == expected
    assert time.monotonic() - start < 0.2


def test_names_of_commas_are_no_parts() -> None:
    body = json.dumps({"pictures": [{"file": "," * 200, "data": ""}] * 3}).encode()
    assert len(parse(body, JSON, LIMITS)) == 3


@given(
    st.binary(max_size=300),
    st.sampled_from([FORM, "application/json", "image/png", 'multipart/form-data; boundary=""']),
)
@settings(max_examples=300)
def test_any_body_is_parsed_or_refused(body: bytes, content_type: str) -> None:
    try:
        found: list[Upload] | int = parse(body, content_type, LIMITS)
    except Problem as problem:
        found = problem.status
    assert found in (400, 413, 415, 422) or (isinstance(found, list) and found)


def test_a_hostile_form_takes_no_time() -> None:
    """Quadratic work on so many near-boundaries would take hours."""
    body = b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\n" + b"\r\n--" * 4_000_000 + b"\r\n--x--"
    assert len(parse(body, FORM, LIMITS)[0].data) == 16_000_000
