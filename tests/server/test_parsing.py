"""What strangers send is one of our structs, or a bad request."""

from __future__ import annotations

import pytest
from msgspec import Struct

from voicewire.errors import BadRequest
from voicewire.server.parsing import parse


class Said(Struct):
    text: str = ""


@pytest.mark.parametrize("data", [b'{"text":"\xc3\xa9 {0}"}', '{"text":"é {0}"}', '{"text":"\\u00e9 {0}","more":7}'])
def test_what_is_understood(data: str | bytes) -> None:
    assert parse(data, Said).text == "é {0}"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"text":"a\\udfff"}', "surrogate"),  # half of a character cannot be sent on
        ('{"text":"\ud800"}', "not valid UTF-8"),
        (b'{"text":"\xff"}', "not valid UTF-8"),
        (b'{"a":' * 3_000, "nested too deeply"),
        (b'{"text":{}}', "Expected `str`, got `object`"),
        (b"", "truncated"),
    ],
)
def test_what_is_not(data: str | bytes, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        parse(data, Said)
