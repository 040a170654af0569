"""The catalogue of Kokoro's voices, and blends."""

from __future__ import annotations

import pytest

from voicewire.engines.kokoro_voices import PUBLISHED_IDS, catalogue, language_for, parse_blend
from voicewire.errors import BadRequest

ALL = "abefhijpz"


def test_all_54_voices_are_described_and_named_once() -> None:
    voices = catalogue("kokoro", PUBLISHED_IDS, ALL)
    assert len(voices) == len({voice.id for voice in voices}) == len({voice.name for voice in voices}) == 54
    assert {voice.language for voice in voices} == {
        "en-US", "en-GB", "es", "fr-FR", "hi", "it", "ja", "pt-BR", "zh",
    }  # fmt: skip
    by_id = {voice.id: voice for voice in voices}
    assert by_id["bm_george"].language == "en-GB"
    assert by_id["bm_george"].gender == "male"
    assert by_id["zf_xiaoni"].gender == "female"
    assert all(voice.description for voice in voices)


def test_only_what_is_there_and_can_be_read_is_listed() -> None:
    voices = catalogue("kokoro", ["jf_alpha", "af_sky", "af_mine", "notes", "af_heart"], "ab")
    assert [voice.id for voice in voices] == ["af_heart", "af_sky", "af_mine"]
    assert voices[2].name == "af_mine"


@pytest.mark.parametrize(
    ("tag", "voice", "letter"),
    [
        ("", "ef_dora", "e"),
        ("en", "bf_emma", "b"),
        ("en", "ef_dora", "a"),
        ("en-GB", "af_heart", "b"),
        ("en-AU", "bf_emma", "b"),
        ("es-MX", "af_heart", "e"),
        ("pt", "pf_dora", "p"),
        ("zh_CN", "af_heart", "z"),
        ("FR", "af_heart", "f"),
    ],
)
def test_the_language_asked_for_is_found(tag: str, voice: str, letter: str) -> None:
    assert language_for(tag, voice).letter == letter


def test_a_language_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(BadRequest, match="'de'"):
        language_for("de", "af_heart")


@pytest.mark.parametrize("text", ["a_b+c_d", "a_b,c_d", " a_b ( 1 ) + c_d(1.0)", "a_b(.5),c_d(0.5)"])
def test_equal_blends(text: str) -> None:
    assert parse_blend(text) == [("a_b", 0.5), ("c_d", 0.5)]


def test_a_blend_is_weighted() -> None:
    assert parse_blend("a_b(3)+c_d") == [("a_b", 0.75), ("c_d", 0.25)]
    assert parse_blend("a_b") == [("a_b", 1.0)]


@pytest.mark.parametrize(
    "text",
    ["a+", "+a", "a++b", "a(0)", "a(-1)+b", "a(nan)+b", "a(101)", "a(1e9)+b", "a(1)(2)+b", "+".join("abcdefghi")],
)
def test_what_is_no_blend_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_blend(text)


@pytest.mark.parametrize("text", ["no such voice", "../../etc/passwd", "a(b)"])
def test_what_is_no_name_is_an_unknown_voice(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_blend(text)
    assert caught.value.row_code == "unknown_voice"
