"""Which samples may be spoken with: only those whose recorded consent is in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from voicewire.engines.consent import Refused, Sample, open_samples, read_consent, record


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "ada.wav"
    path.write_bytes(b"RIFF" + bytes(1_000))
    record(path, who="Ada Example", when="2026-01-31", text="I agree.")
    return path


def change(sample: Path, **fields: object) -> None:
    beside = sample.with_suffix(".consent.json")
    known = json.loads(beside.read_text()) | fields
    beside.write_text(json.dumps({name: value for name, value in known.items() if value is not None}))


def test_a_sample_with_consent_is_a_voice(sample: Path) -> None:
    change(sample, name="Ada", language="en-GB", gender="female")
    [[found], refused] = open_samples(sample.parent)
    voice = found.voice("m", "en")
    assert not refused
    assert (voice.id, voice.name, voice.language, voice.gender) == ("ada", "Ada", "en-GB", "female")
    with found.verified() as copy:
        assert copy.read_bytes() == sample.read_bytes()
        assert copy != sample
    assert not copy.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"who": None},
        {"who": ""},
        {"who": " "},
        {"when": None},
        {"when": "yesterday"},
        {"when": "2999-01-01"},
        {"when": "2999-01-01T00:00:00Z"},
        {"text": None},
        {"text": ""},
        {"sha256": None},
        {"sha256": "0" * 64},
        {"sha256": "short"},
        {"gender": "robot"},
        {"whatever": 1},
    ],
)
def test_a_consent_that_lacks_something_is_none(sample: Path, fields: dict[str, object]) -> None:
    change(sample, **fields)
    [allowed, [refused]] = open_samples(sample.parent)
    assert not allowed
    assert str(refused).startswith("ada.wav: ")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b"{" * 100_000])
def test_a_consent_that_cannot_be_read_is_none(sample: Path, content: bytes | None) -> None:
    beside = sample.with_suffix(".consent.json")
    beside.unlink()
    if content is not None:
        beside.write_bytes(content)
    with pytest.raises(Refused):
        read_consent(sample)


def test_a_changed_recording_is_refused_whenever_it_changes(sample: Path) -> None:
    [[found], _] = open_samples(sample.parent)
    found.require()
    sample.write_bytes(b"RIFF" + bytes(999) + b"\1")
    with pytest.raises(Refused, match="not the recording"):
        found.require()
    with pytest.raises(Refused, match="not the recording"), found.verified():
        pass
    sample.unlink()
    with pytest.raises(Refused):
        found.require()
    assert not open_samples(sample.parent)[0]


def test_a_changed_consent_is_another(sample: Path) -> None:
    [[found], _] = open_samples(sample.parent)
    change(sample, who="Eve")
    with pytest.raises(Refused, match="has changed"):
        found.require()
    with pytest.raises(Refused, match="has changed"), found.verified():
        pass


def test_other_files_are_no_samples_and_one_consent_is_for_one_recording(sample: Path) -> None:
    (sample.parent / "notes.txt").write_text("nothing")
    sample.with_suffix(".mp3").write_bytes(b"another recording of the same name")
    allowed, refused = open_samples(sample.parent)
    assert [each.path.name for each in allowed] == ["ada.wav"]
    assert [str(each) for each in refused] == ["ada.mp3: it is not the recording that was agreed to"]


def test_the_mark_of_a_consent_tells_it_from_all_others_and_names_nobody(sample: Path) -> None:
    [[found], _] = open_samples(sample.parent)
    consent = found.consent
    others = [replace(consent, **{name: f"{value}0"}) for name, value in asdict(consent).items()]
    apart = [found, Sample(sample.with_name("eve.wav"), consent), *(Sample(sample, other) for other in others)]
    marks = {each.mark("m") for each in apart} | {found.mark("n")}
    assert len(marks) == len(apart) + 1
    assert found.mark("m") in marks
    assert found.voice("m", "en").consent == found.mark("m")
    assert consent.who not in found.mark("m")
