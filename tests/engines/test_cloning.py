"""Chatterbox and Dia over stand-ins for their packages: loading, voices by consent, seeds, speeds, estimated words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.engine_contract import EngineContract, speak
from tests.engines.stand_ins import Log, install
from tests.engines.upstream_server import said
from voicewire.engines import chatterbox, dia
from voicewire.engines.base import Engine
from voicewire.engines.cloning import CloningEngine
from voicewire.engines.consent import record
from voicewire.errors import BadRequest, EngineFailed
from voicewire.types import Utterance, WordTimes

READ = "I agree that my voice is used."


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Log:
    return install(monkeypatch)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder with two samples: Ada agreed, nobody asked Bob."""
    for name in ("ada", "bob"):
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF" + name.encode() * 100)
    record(tmp_path / "ada.wav", who="Ada Example", when="2026-01-31T12:00:00+01:00", text=READ)
    return tmp_path


class TestChatterbox(EngineContract):
    @pytest.fixture
    def engine(self, packages: Log, samples: Path) -> Engine:
        assert not packages.opened
        return chatterbox.open_engine(samples=str(samples))


class TestDia(EngineContract):
    @pytest.fixture
    def engine(self, packages: Log) -> Engine:
        assert not packages.opened
        return dia.open_engine()


def opened(kind: str, samples: Path) -> CloningEngine:
    module = {"chatterbox": chatterbox, "dia": dia}[kind]
    return module.open_engine(samples=str(samples))  # type: ignore[no-any-return]  # both have it


def test_each_is_loaded_as_its_package_says(packages: Log, tmp_path: Path) -> None:
    chatterbox.open_engine()
    chatterbox.open_engine(str(tmp_path), "cuda:0", multilingual=True)
    dia.open_engine()
    dia.open_engine("/models/dia", "cuda:1", "bfloat16")
    assert packages.opened == [
        ("ChatterboxTTS", "hub", "cpu"),
        ("ChatterboxMultilingualTTS", str(tmp_path), "cuda:0"),
        ("Dia", "nari-labs/Dia-1.6B", "float32", "device cpu"),
        ("Dia", "/models/dia", "bfloat16", "device cuda:1"),
    ]


@pytest.mark.parametrize("kind", ["chatterbox", "dia"])
def test_only_who_agreed_can_be_heard(
    packages: Log, samples: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = opened(kind, samples)
    assert [voice.id for voice in engine.voices()] == ["default", "ada"]
    assert "bob.wav: it has no consent" in caplog.text
    speak(engine, "Hello.", "ada")
    speak(engine, "Hello.")
    with pytest.raises(BadRequest):
        speak(engine, "Hello.", "bob")
    hers, own = packages.calls
    assert len(hers.voice) == 64
    assert own.voice == "own"


@pytest.mark.parametrize("kind", ["chatterbox", "dia"])
@pytest.mark.parametrize("change", ["sample", "consent", "withdrawn"])
def test_a_voice_ends_with_its_consent(packages: Log, samples: Path, kind: str, change: str) -> None:
    engine = opened(kind, samples)
    speak(engine, "Hello.", "ada")
    if change == "sample":
        (samples / "ada.wav").write_bytes(b"RIFF of somebody else")
    elif change == "consent":
        record(samples / "ada.wav", who="Eve", when="2026-02-01", text=READ)
    else:
        (samples / "ada.consent.json").unlink()
    with pytest.raises(BadRequest) as caught:
        speak(engine, "Hello.", "ada")
    assert caught.value.row_code == "unknown_voice"
    assert len(packages.calls) == 1


def test_chatterbox_makes_a_voice_of_a_sample_once(packages: Log, samples: Path) -> None:
    engine = opened("chatterbox", samples)
    for voice in ("ada", "default", "ada"):
        speak(engine, "Hello.", voice)
    assert len(packages.prepared) == 1
    assert [call.voice for call in packages.calls] == [packages.prepared[0], "own", packages.prepared[0]]


def test_chatterbox_without_a_voice_of_its_own_needs_a_sample(monkeypatch: pytest.MonkeyPatch, samples: Path) -> None:
    install(monkeypatch, has_voice=False)
    assert [voice.id for voice in opened("chatterbox", samples).voices()] == ["ada"]
    with pytest.raises(FileNotFoundError):
        chatterbox.open_engine()


def test_multilingual_chatterbox_is_told_the_language(packages: Log) -> None:
    engine = chatterbox.open_engine(multilingual=True)
    assert engine.model.languages == ("de", "en", "zh", "no")
    for language in ("", "de-AT", "cmn", "nb"):
        speak(engine, "Hallo.", language=language)
    assert [call.options["language_id"] for call in packages.calls] == ["en", "de", "zh", "no"]


def test_dia_reads_on_from_the_sample_and_turns_to_nobody_else(packages: Log, samples: Path) -> None:
    engine = opened("dia", samples)
    speak(engine, "[S2] Hello  there.", "ada")
    assert packages.calls[0].options["script"] == f"[S1] {READ} Hello there."
    with pytest.raises(EngineFailed):
        speak(engine, "nothing")


def test_seeds_repeat_and_failures_are_said(packages: Log) -> None:
    engine = chatterbox.open_engine()
    for seed in (7, None):
        list(engine.synthesize(Utterance("Hello.", "default", seed=seed)))
    assert [call.seed for call in packages.calls] == [7, 0]
    packages.failing = True
    with pytest.raises(EngineFailed) as caught:
        speak(engine, "Hello.")
    assert caught.value.fields["problem"] == "the model failed: RuntimeError"


@pytest.mark.usefixtures("packages")
def test_words_are_marked_as_estimated_and_are_near() -> None:
    engine = chatterbox.open_engine()
    assert engine.model.words is WordTimes.ESTIMATED
    text = "Several words of several lengths."
    true = [word for chunk in said(text) for word in chunk.words]
    estimated = speak(engine, text).words
    assert [word[:2] for word in estimated] == [word[:2] for word in true]
    assert max(abs(a.begins - b.begins) for a, b in zip(estimated, true, strict=True)) < 24_000 // 5


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("kind", ["chatterbox", "dia"])
def test_voices_follow_the_folder(samples: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = opened(kind, samples)
    said: list[list[str]] = []

    def looked() -> bool:
        changed = engine.look()
        said.append([voice.id for voice in engine.voices()])
        return changed

    assert not looked()
    record(samples / "bob.wav", who="Bob Example", when="2026-02-01", text=READ)
    assert looked()
    assert not looked()
    (samples / "ada.consent.json").unlink()
    assert looked()
    speak(engine, "Hello.", "bob")
    (samples / "notes.txt").write_text("nothing")
    assert not looked()
    shutil.rmtree(samples)
    assert looked()
    assert said == [["default", "ada"], *2 * [["default", "ada", "bob"]], *2 * [["default", "bob"]], ["default"]]
    assert [line.count("ada.wav") for line in caplog.messages if "not offered" in line] == [0, 1], "each said once"


@pytest.mark.usefixtures("packages")
def test_a_voice_rests_on_one_consent_and_changes_no_other(samples: Path) -> None:
    engine = opened("chatterbox", samples)
    version, [own, before] = engine.model.version, engine.voices()
    assert (own.consent, opened("chatterbox", samples).voices()[1]) == ("", before)
    assert opened("dia", samples).voices()[1].consent != before.consent
    (samples / "ada.wav").write_bytes(b"RIFF anew")
    record(samples / "ada.wav", who="Ada Example", when="2026-03-01", text=READ)
    assert engine.look()
    assert engine.voices()[0] == own
    assert engine.voices()[1].consent not in {"", before.consent}
    assert engine.model.version == version


def test_what_is_no_number_is_silent(packages: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "heard", lambda *_, **__: np.array([np.nan, 2.0, -2.0] * 8_000, np.float32))
    spoken = speak(chatterbox.open_engine(), "Hello.")
    assert set(spoken.pcm[:3].tolist()) == {0, 32_767, -32_767}
