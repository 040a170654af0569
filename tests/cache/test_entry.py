from __future__ import annotations

import hashlib
import random
import struct

import msgspec
import pytest

from tests.cache.making import clip_of, key_of, take_of
from voicewire.cache.entry import MAGIC, Corrupt, parse, serialize
from voicewire.clips import Clip, Take, clip_key, size_of, take_key
from voicewire.types import Codec, Format, Job, Phoneme, Slice, Utterance

JOB = Job(Utterance("Hello.", "middle", "en", 1.0, 7), Format(), 100)


@pytest.mark.parametrize("size_bytes", [0, 10, 40_000])
def test_a_clip_comes_back_as_it_was_made(size_bytes: int) -> None:
    clip = clip_of(1, size_bytes, "")
    assert parse(key_of(1), serialize(key_of(1), clip)) == clip


def test_a_clip_without_a_sound_comes_back() -> None:
    clip = Clip("t", Format(Codec.ALAW, 8_000), (Slice([], (), True),))
    assert parse(b"k", serialize(b"k", clip)) == clip


def test_a_clip_keeps_its_phonemes() -> None:
    clip = clip_of(1)
    slices = (*clip.slices[:1], *(slice._replace(phonemes=(Phoneme("oʊ", 5, 9),)) for slice in clip.slices[1:]))
    pronounced = clip._replace(slices=slices)
    assert parse(key_of(1), serialize(key_of(1), pronounced)) == pronounced
    assert size_of(pronounced) > size_of(clip)


@pytest.mark.parametrize("kept", [clip_of(1), take_of(1)])
def test_any_change_is_noticed(kept: Clip | Take) -> None:
    data, rng = serialize(key_of(1), kept), random.Random(2)
    parse(key_of(1), data)
    for _ in range(300):
        at = rng.randrange(len(data))
        with pytest.raises(Corrupt):
            parse(key_of(1), data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        with pytest.raises(Corrupt):
            parse(key_of(1), data[:at])
    for more in (data + b"\0", b"", data[:4], data + data):
        with pytest.raises(Corrupt):
            parse(key_of(1), more)


@pytest.mark.parametrize("kept", [clip_of(1), take_of(1)])
def test_what_stands_under_another_name_is_not_believed(kept: Clip | Take) -> None:
    with pytest.raises(Corrupt):
        parse(key_of(2), serialize(key_of(1), kept))


@pytest.mark.parametrize("size_bytes", [0, 10, 40_000])
def test_a_take_comes_back_as_it_was_recorded(size_bytes: int) -> None:
    take = take_of(1, size_bytes)
    assert parse(key_of(1), serialize(key_of(1), take)) == take


def test_whatever_is_said_otherwise_has_another_take() -> None:
    said = [
        ("t", "m", "1", JOB.utterance),
        ("u", "m", "1", JOB.utterance),
        ("", "m", "1", JOB.utterance),
        ("t", "n", "1", JOB.utterance),
        ("t", "m", "2", JOB.utterance),
        *(
            ("t", "m", "1", utterance)
            for utterance in (
                Utterance("Hello!", "middle", "en", 1.0, 7),
                Utterance("Hello.", "high", "en", 1.0, 7),
                Utterance("Hello.", "middle", "de", 1.0, 7),
                Utterance("Hello.", "middle", "en", 1.1, 7),
                Utterance("Hello.", "middle", "en", 1.0, 8),
                Utterance("Hello.", "middle", "en", 1.0, None),
                Utterance("Hello.", "middle", "en", 1.0, 7, phonemes=True),
            )
        ),
    ]
    names = {take_key(*each) for each in said} | {take_key(*said[0], consent) for consent in ("one", "two")}
    assert len(names) == len(said) + 2
    assert take_key(*said[0], "") in names, "of voices that need no consent, nothing is made anew"


def test_the_consent_of_a_clip_comes_back_and_older_clips_have_none() -> None:
    clip = clip_of(1)._replace(consent="a consent")
    data = serialize(key_of(1), clip)
    assert parse(key_of(1), data) == clip
    begins = len(MAGIC) + 32
    (size,) = struct.unpack_from("<I", data, begins)
    head = msgspec.msgpack.decode(data[begins + 4 : begins + 4 + size])
    assert head.pop() == "a consent"
    older = msgspec.msgpack.encode(head)
    content = struct.pack("<I", len(older)) + older + data[begins + 4 + size :]
    assert parse(key_of(1), MAGIC + hashlib.sha256(content).digest() + content) == clip._replace(consent="")


def test_whatever_makes_another_sound_of_a_take_is_another_clip_beside_it() -> None:
    takes = key_of(1), key_of(2)
    jobs = (
        JOB,
        *(
            Job(JOB.utterance, format, 100)
            for format in (Format(bitrate=24_000), Format(Codec.PCM_S16LE), Format(frame_ms=40), Format(rate_hz=48_000))
        ),
        Job(JOB.utterance, JOB.format, 200),
    )
    keys = {clip_key(take, job): take for take in takes for job in jobs}
    assert len(keys) == len(takes) * len(jobs)
    for key, take in keys.items():
        assert (len(key), key[:8]) == (32, take[:8])
        assert key != take


def test_what_only_changes_how_it_is_sent_shares_the_clip() -> None:
    take = key_of(1)
    assert clip_key(take, JOB) == clip_key(take, Job(JOB.utterance, Format(bundle=5), 100, record=True))
    plain = [Job(JOB.utterance, Format(Codec.PCM_S16LE, bitrate=bitrate), 0) for bitrate in (24_000, 32_000)]
    assert clip_key(take, plain[0]) == clip_key(take, plain[1])
