from __future__ import annotations

import random

import pytest

from tests.cache.making import clip_of, key_of
from voicewire.cache.entry import Corrupt, parse, serialize
from voicewire.clips import Clip, clip_key, size_of
from voicewire.types import Codec, Format, Job, Phoneme, Slice, Utterance, Word

BEFORE = bytes.fromhex(  # of a gateway that knew no phonemes
    "56574331e6ef908588bc7bd3213db0024fd1f63f4bfc1f8bf1dc03bfa8080f3154dde4107500000094c4206b6b6b6b6b6b6b6b6b6b6b6b6b6b"
    "6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6ba17486a5636f646563a4616c6177a7726174655f687acd1f40a86672616d655f6d7314a762697472"
    "617465cd7d00aa636f6d706c657869747900a662756e646c65019293920201919400020009c2939090c3616263"
)
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


def test_what_was_kept_before_there_were_phonemes_is_found_and_read() -> None:
    assert clip_key("t", "m", "1", JOB).hex() == "53ba417eef205bc69019cbc637eaffc113f335c9c39c9bfbfc26e0fe11d2dbfd"
    slices = (Slice([b"ab", b"c"], (Word(0, 2, 0, 9),), False), Slice([], (), True))
    assert parse(b"k" * 32, BEFORE) == Clip("t", Format(Codec.ALAW, 8_000), slices)


def test_any_change_is_noticed() -> None:
    data, rng = serialize(key_of(1), clip_of(1)), random.Random(2)
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


def test_a_clip_under_another_name_is_not_believed() -> None:
    with pytest.raises(Corrupt):
        parse(key_of(2), serialize(key_of(1), clip_of(1)))


def test_whatever_makes_another_sound_has_another_key() -> None:
    said = [
        ("t", "m", "1", JOB),
        ("u", "m", "1", JOB),
        ("", "m", "1", JOB),
        ("t", "n", "1", JOB),
        ("t", "m", "2", JOB),
        *(
            ("t", "m", "1", Job(utterance, JOB.format, 100))
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
        ("t", "m", "1", Job(JOB.utterance, Format(bitrate=24_000), 100)),
        ("t", "m", "1", Job(JOB.utterance, Format(Codec.PCM_S16LE), 100)),
        ("t", "m", "1", Job(JOB.utterance, Format(frame_ms=40), 100)),
        ("t", "m", "1", Job(JOB.utterance, JOB.format, 200)),
    ]
    assert len({clip_key(*each) for each in said}) == len(said)


def test_what_only_changes_how_it_is_sent_shares_the_clip() -> None:
    assert clip_key("t", "m", "1", JOB) == clip_key("t", "m", "1", Job(JOB.utterance, Format(bundle=5), 100))
    plain = [Job(JOB.utterance, Format(Codec.PCM_S16LE, bitrate=bitrate), 0) for bitrate in (24_000, 32_000)]
    assert clip_key("t", "m", "1", plain[0]) == clip_key("t", "m", "1", plain[1])
