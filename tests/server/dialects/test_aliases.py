"""What foreign names mean: the operator's rows, the catalogue's own, and those that clients have built in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from voicewire.catalogue import Catalogue
from voicewire.config import ConfigError
from voicewire.errors import BadRequest
from voicewire.server.dialects.aliases import FILE, Aliases
from voicewire.types import Model, Voice

MODELS = [Model("one", "One", 24_000, default_voice="ann"), Model("two", "Two", 24_000, default_voice="eva")]


def voice(id: str, model: str, language: str, gender: str) -> Voice:
    return Voice(id, id.title(), model, language=language, gender=gender)


PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
CATALOGUE = Catalogue(
    [
        (MODELS[0], [voice("ann", "one", "en-GB", "female"), voice("bob", "one", "en-US", "male")]),
        (MODELS[1], [voice("eva", "two", "de", "female"), voice("nova", "two", "en-US", "female")]),
    ],
    "one",
)


@pytest.mark.parametrize(
    ("model", "name", "meant"),
    [
        ("tts-1", "alloy", ("one", "ann")),
        ("gpt-4o-mini-tts", "onyx", ("one", "bob")),
        ("", "", ("one", "ann")),
        ("two", "onyx", ("two", "eva")),  # it has no man: its default
        ("tts-1-hd", "nova", ("two", "nova")),  # the catalogue's own comes first
        ("one", "BOB", ("one", "bob")),
        ("sonic-2", "f786b574-daa5-4673-aa0c-cbe3e8534c02", ("one", "ann")),
        ("eleven_flash_v2_5", "21m00Tcm4TlvDq8ikWAM", ("one", "ann")),
        ("aura-2", "aura-2-thalia-en", ("one", "ann")),
    ],
)
def test_names_that_clients_have_built_in(model: str, name: str, meant: tuple[str, str]) -> None:
    choice = Aliases().resolve(CATALOGUE, model, name)
    assert (choice.model.id, choice.voice) == meant


@pytest.mark.parametrize(
    ("model", "name", "code"), [("", "nobody", "unknown_voice"), ("three", "alloy", "unknown_model")]
)
def test_a_name_that_nobody_has_is_refused(model: str, name: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Aliases().resolve(CATALOGUE, model, name)
    assert refused.value.row_code == code


def test_the_operators_rows_come_first(tmp_path: Path) -> None:
    rows = '[models]\n"tts-*" = "two"\n[voices]\nalloy = "bob"\nbob = "ann"\n"x-*" = "male"\n'
    (tmp_path / FILE).write_text(rows)
    aliases = Aliases.read(tmp_path)
    assert aliases.resolve(CATALOGUE, "", "alloy").voice == "bob"
    assert aliases.resolve(CATALOGUE, "", "bob").voice == "ann"
    assert aliases.resolve(CATALOGUE, "one", "x-9").voice == "bob"
    assert aliases.resolve(CATALOGUE, "tts-9", "").model.id == "two"


def test_the_language_in_a_name_counts() -> None:
    assert Aliases().resolve(CATALOGUE, "two", "aura-2-viktoria-de").voice == "eva"
    assert Aliases().resolve(CATALOGUE, "two", "aura-2-thalia-en").voice == "nova"


def test_a_language_that_nobody_speaks_is_no_reason_to_be_silent() -> None:
    assert Aliases().resolve(CATALOGUE, "one", "alloy", "sw").voice == "ann"
    assert Aliases().resolve(CATALOGUE, "", "", "sw").voice == "ann"


@pytest.mark.parametrize("wrong", ["[models", "[sounds]\na = 'b'", "[voices]\na = 1", "\xe9 = 1"])
def test_a_table_that_is_not_understood_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / FILE).write_text(wrong, encoding="latin-1")
    with pytest.raises(ConfigError, match=FILE):
        Aliases.read(tmp_path)


def test_the_models_that_a_list_names_are_those_that_are_taken() -> None:
    assert Aliases().models(CATALOGUE) == ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    own = Aliases({"fast": "two", "tts-1": "one", "gone": "three", "two": "one", "x-*": "one"})
    assert own.models(CATALOGUE) == ["fast", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert [own.model(CATALOGUE, name).default_voice for name in ("fast", "tts-1", "x-1")] == ["eva", "ann", "ann"]
    assert Aliases().models(Catalogue([], "one")) == []


def test_a_voice_is_told_by_the_name_that_was_asked_for() -> None:
    aliases = Aliases(voices={"alloy": "bob", "both": "ann+bob"})
    assert aliases.voice(CATALOGUE, "alloy") == Voice("alloy", "Bob", "one", "en-US", "male")
    assert [aliases.voice(CATALOGUE, name).id for name in ("BOB", "nova", "onyx")] == ["bob", "nova", "onyx"]
    with pytest.raises(BadRequest):
        aliases.voice(CATALOGUE, "both")  # nothing here blends
    blending = Catalogue(
        [(replace(MODELS[0], blends=True), [voice("ann", "one", "en", ""), voice("bob", "one", "en", "")])], "one"
    )
    assert aliases.voice(blending, "both") == Voice("both", "ann+bob", "one", "")


def test_the_table_of_the_documentation_means_what_is_said_there(tmp_path: Path) -> None:
    [table] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / FILE).write_text(table, encoding="utf-8")
    kokoro = Model("kokoro", "Kokoro", 24_000, default_voice="ann")
    spoken = [Voice(id, name, "kokoro", language, gender) for id, name, language, gender in (
        ("ann", "Ann", "en-GB", "female"), ("bob", "Bob", "en-US", "male"), ("af_heart", "Heart", "en-US", "female"),
        ("af_bella", "Bella", "en-US", "female"), ("eva", "Eva", "de", "female"),
    )]  # fmt: skip
    names = Catalogue([(MODELS[0], [voice("zoe", "one", "en", "")]), (kokoro, spoken)], "one")
    aliases = Aliases.read(tmp_path)
    assert [aliases.model(names, name).name for name in ("tts-1", "tts-1-1106", "tts-1-hd")] == ["One", "One", "Kokoro"]
    meant = {"alloy": "af_heart", "onyx": "bob", "21m00Tcm4TlvDq8ikWAM": "af_bella", "aura-2-viktoria-de": "eva"}
    assert {name: aliases.resolve(names, "tts-1-hd", name).voice for name in meant} == meant


def test_rows_that_mean_nothing_here_are_told() -> None:
    aliases = Aliases(
        {"tts-1": "two", "tts-2": "", "tts-3": "three"}, {"a": "bob", "b": "female", "c": "", "d": "Eva", "e": "nobody"}
    )
    assert aliases.vain(CATALOGUE) == ["tts-3 means the model three", "e means the voice nobody"]
    assert not aliases.vain(Catalogue([], "one")), "nobody is here yet"


def test_no_table_is_well(tmp_path: Path) -> None:
    assert Aliases.read(tmp_path).resolve(CATALOGUE, "", "bob").voice == "bob"
