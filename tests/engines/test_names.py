"""The catalogue of espeak's voices, on the real library's list."""

from __future__ import annotations

import pytest

from voicewire.engines.espeak_library import open_lanes
from voicewire.engines.names import Directory, bcp47


@pytest.fixture(scope="module")
def directory() -> Directory:
    (lane,) = open_lanes(1)
    directory = Directory(lane.natives(), lane.variants(), "espeak")
    lane.close()
    return directory


def test_the_best_voices_come_first_and_every_language_has_one(directory: Directory) -> None:
    voices = directory.voices
    assert [voice.name for voice in voices[:3]] == ["Sam", "Ava", "Jack"]
    assert {voice.gender for voice in voices} == {"female", "male"}
    assert {"en-us", "de", "yue", "yue-latn-jyutping", "cmn-latn-pinyin", "af", "cy"} <= {voice.id for voice in voices}
    assert all(voice.description.endswith(".") and voice.description.count(".") == 1 for voice in voices)


def test_a_voice_without_a_dictionary_is_not_listed(directory: Directory) -> None:
    assert not {"fo", "kaa", "xex"} & {voice.id for voice in directory.voices}


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("en-us", "en-US"),
        ("en-us-nyc", "en-US-x-nyc"),
        ("en-gb-x-rp", "en-GB-x-rp"),
        ("es-419", "es-419"),
        ("cmn-latn-pinyin", "cmn-Latn-pinyin"),
        ("vi-vn-x-central", "vi-VN-x-central"),
        ("chr-us-qaaa-x-west", "chr-US-Qaaa-x-west"),
        ("piqd", "tlh-Piqd"),
    ],
)
def test_languages_are_written_as_bcp47(code: str, tag: str) -> None:
    assert bcp47(code) == tag


@pytest.mark.parametrize(
    ("voice", "language", "found"),
    [
        ("", "", "gmw/en-US"),
        ("en-us", "", "gmw/en-US"),
        ("EN-US+F3", "", "gmw/en-US+f3"),
        ("gmw/en-US+andy", "", "gmw/en-US+Andy"),
        ("", "en", "gmw/en-US"),
        ("", "en-AU", "gmw/en"),
        ("", "en_GB", "gmw/en"),
        ("", "pt", "roa/pt-BR"),
        ("", "pt-PT", "roa/pt"),
        ("", "es-MX", "roa/es-419"),
        ("", "de-AT", "gmw/de"),
        ("", "zh-Hans-CN", "sit/cmn"),
        ("", "zh-HK", "sit/yue"),
        ("", "no", "gmq/nb"),
        ("", "iw", "sem/he"),
        ("en-us+f3", "de", "gmw/de+f3"),
        ("en-us", "en-GB", "gmw/en-US"),
        ("yue", "zh", "sit/yue"),
        ("en-us", "xx", "gmw/en-US"),
        ("", "xx", None),
        ("nobody", "", None),
        ("en-us+nobody", "", None),
        ("nobody", "de", None),
        ("../x", "", None),
    ],
)
def test_voices_are_found_by_what_people_say(
    directory: Directory, voice: str, language: str, found: str | None
) -> None:
    assert directory.find(voice, language) == found
