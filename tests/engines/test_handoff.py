from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.engines.base import EngineSpec
from voicewire.engines.handoff import (
    BODY_BYTES_MAX,
    Cancel,
    Cancelled,
    Decoder,
    Failed,
    Halved,
    Hello,
    Made,
    Malformed,
    Message,
    Open,
    Postpone,
    Rouse,
    Submit,
    serialize,
)
from voicewire.errors import BadRequest, Busy, EngineFailed, UnsupportedFormat
from voicewire.types import Codec, Format, Job, Model, Phoneme, Slice, Utterance, Voice, Word

U32 = st.integers(0, 2**32 - 1)
IDS = U32
TEXTS = st.text(max_size=60)
DEADLINES = st.floats(allow_nan=False) | st.just(math.inf)
WORDS = st.builds(Word, U32, U32, U32, U32)
PHONEMES = st.builds(Phoneme, TEXTS, U32, U32)
SLICES = st.builds(
    Slice,
    st.lists(st.binary(max_size=50), max_size=20),
    st.lists(WORDS, max_size=9).map(tuple),
    st.booleans(),
    st.just(()) | st.lists(PHONEMES, max_size=9).map(tuple),
    st.just(b"") | st.binary(max_size=500),
)
FORMATS = st.builds(Format, st.just(Codec.PCM_F32LE), st.just(48_000), st.integers(5, 100)) | st.just(Format())
JOBS = st.builds(
    Job,
    st.builds(Utterance, TEXTS, TEXTS, TEXTS, st.floats(0.5, 2.0), st.none() | st.integers(0, 2**31), st.booleans()),
    FORMATS,
    st.integers(0, 5_000),
    st.booleans(),
)
OPTIONS = st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9) | st.floats(allow_nan=False) | st.booleans(), max_size=4)
MODELS = st.builds(Model, TEXTS, TEXTS, st.integers(8_000, 48_000), TEXTS, languages=st.lists(TEXTS).map(tuple))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Open, st.builds(EngineSpec, TEXTS, OPTIONS), st.integers(0, 19)),
    st.builds(Hello, MODELS, st.lists(st.builds(Voice, TEXTS, TEXTS, TEXTS, TEXTS), max_size=4).map(tuple)),
    st.builds(Submit, IDS, JOBS, DEADLINES),
    st.builds(Cancel, IDS),
    st.builds(Cancelled, IDS),
    st.builds(Halved, IDS),
    st.builds(Rouse),
    st.builds(Postpone, IDS, DEADLINES),
    st.builds(Made, IDS, SLICES),
)


def decoded(*pieces: bytes) -> list[Message]:
    decoder = Decoder()
    return [message for piece in pieces for message in decoder.push(piece)]


@given(messages=st.lists(MESSAGES, max_size=5), cuts=st.lists(st.integers(0, 2_000)))
def test_messages_arrive_as_they_were_however_they_are_cut(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(map(serialize, messages))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert decoded(*[data[a:b] for a, b in pairwise(edges)]) == messages


@pytest.mark.parametrize(
    "error",
    [
        EngineFailed(problem="no voice"),
        BadRequest("unknown_voice", voice="x"),
        UnsupportedFormat(problem="rate"),
        Busy("busy", retry_after_ms=70),
    ],
)
def test_errors_keep_their_kind_their_code_and_their_fields(error: EngineFailed) -> None:
    (failed,) = decoded(serialize(Failed(7, error)))
    assert isinstance(failed, Failed)
    assert type(failed.error) is type(error)
    assert (failed.error.row_code, failed.error.fields) == (error.row_code, error.fields)
    assert failed.error.retry_after_ms == error.retry_after_ms
    assert failed.error.message == error.message


def test_a_field_of_an_error_is_bounded() -> None:
    (failed,) = decoded(serialize(Failed(1, EngineFailed(problem="x" * 10_000_000, cause=ValueError("y")))))
    assert isinstance(failed, Failed)
    assert len(str(failed.error.fields["problem"])) == 2_000
    assert failed.error.fields["cause"] == "y"


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_malformed(data: bytes) -> None:
    try:
        decoded(data)
    except Malformed:
        return


@given(kind=st.integers(0, 9), body=st.binary(max_size=60))
def test_any_body_is_a_message_or_malformed(kind: int, body: bytes) -> None:
    try:
        decoded(struct.pack("<IBI", len(body), kind, 1) + body)
    except Malformed:
        return


@given(message=MESSAGES, at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_flipped_byte_is_a_message_or_malformed(message: Message, at: int, flip: int) -> None:
    data = bytearray(serialize(message))
    data[at % len(data)] ^= flip
    try:
        decoded(bytes(data))
    except Malformed:
        return


def test_a_message_that_is_too_large_is_refused_before_it_is_gathered() -> None:
    with pytest.raises(Malformed):
        decoded(struct.pack("<IBI", BODY_BYTES_MAX + 1, 6, 1))
    with pytest.raises(ValueError, match="too large"):
        serialize(Made(1, Slice([bytes(BODY_BYTES_MAX)], (), True)))


def test_the_messages_before_a_malformed_one_arrive() -> None:
    decoder = Decoder()
    messages = decoder.push(serialize(Cancel(3)) + struct.pack("<IBI", 0, 99, 1))
    assert next(messages) == Cancel(3)
    with pytest.raises(Malformed):
        next(messages)
