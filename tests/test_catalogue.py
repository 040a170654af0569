"""What a client's names for models and voices mean."""

from __future__ import annotations

import pytest

from voicewire.catalogue import Catalogue, require_model
from voicewire.errors import BadRequest, Busy, Forbidden
from voicewire.types import Model, Voice

PLAIN = Model("plain", "Plain", 22_050, "en-us")
BLENDER = Model("blender", "Blender", 24_000, "af_bella", blends=True)
CATALOGUE = Catalogue(
    [
        (
            BLENDER,
            [Voice("af_bella", "Bella", "blender", "en-US", "female"), Voice("ff_siwis", "Siwis", "blender", "fr-FR")],
        ),
        (PLAIN, [Voice("en-us", "Sam", "plain", "en-US", "male"), Voice("de", "Max", "plain", "de-DE")]),
    ],
    "plain",
)

RESOLVED = [
    (("", "", ""), ("plain", "en-us", "")),
    (("", "", "de"), ("plain", "de", "de")),
    (("", "", "de-AT"), ("plain", "de", "de-AT")),
    (("", "SAM", ""), ("plain", "en-us", "en-US")),
    (("", "bella", ""), ("blender", "af_bella", "en-US")),
    (("blender", "", ""), ("blender", "af_bella", "")),
    (("blender", "", "fr"), ("blender", "ff_siwis", "fr")),
    (("", "af_bella(2)+ff_siwis(1)", ""), ("blender", "af_bella(2)+ff_siwis(1)", "")),
    (("blender", "af_bella,ff_siwis", "en"), ("blender", "af_bella,ff_siwis", "en")),
]


@pytest.mark.parametrize(("asked", "meant"), RESOLVED)
def test_names_find_their_model_and_voice(asked: tuple[str, str, str], meant: tuple[str, str, str]) -> None:
    choice = CATALOGUE.resolve(*asked)
    assert (choice.model.id, choice.voice, choice.language) == meant


REFUSED = [
    (("nothing", "", ""), "unknown_model"),
    (("", "nobody", ""), "unknown_voice"),
    (("plain", "bella", ""), "unknown_voice"),
    (("plain", "en-us+de", ""), "unknown_voice"),
    (("", "", "xx"), "unknown_voice"),
]


@pytest.mark.parametrize(("asked", "code"), REFUSED)
def test_what_is_not_there_is_refused(asked: tuple[str, str, str], code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        CATALOGUE.resolve(*asked)
    assert refused.value.row_code == code


def test_a_language_that_nobody_speaks_is_named() -> None:
    with pytest.raises(BadRequest, match=r"^no voice speaks xx-YY$"):
        CATALOGUE.resolve("", "", "xx-YY")


def test_the_default_comes_first_and_no_voice_twice() -> None:
    assert [model.id for model in CATALOGUE.models()] == ["plain", "blender"]
    assert [voice.id for voice in CATALOGUE.voices()] == ["en-us", "de", "af_bella", "ff_siwis"]
    assert CATALOGUE.voice("siwis").id == "ff_siwis"


def test_a_model_that_the_plan_lacks() -> None:
    require_model(None, "plain")
    require_model(frozenset({"plain"}), "plain")
    with pytest.raises(Forbidden, match="blender"):
        require_model(frozenset({"plain"}), "blender")


def test_without_any_model_it_is_busy_and_the_first_stands_in_for_a_default_that_is_not_there() -> None:
    empty = Catalogue([], "kokoro")
    assert (empty.models(), empty.voices()) == ([], [])
    with pytest.raises(Busy):
        empty.resolve("", "", "")
    assert Catalogue([(PLAIN, [Voice("en-us", "Sam", "plain", "en-US")])], "kokoro").resolve("", "", "").model is PLAIN
