"""Messages: what is parsed is what was serialized, and nothing else gets through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire import frames
from voicewire.errors import TABLE, BadRequest, Busy, OverQuota
from voicewire.types import Codec, Format, Offsets

PARSER = frames.Parser()

names = st.text(min_size=1, max_size=64)
milliseconds = st.floats(0, 2**31, allow_nan=False)
formats = st.builds(frames.FormatRequest, codec=st.sampled_from(Codec), rate=st.integers(-1, 99_999))
opening = {
    "context": names,
    "model": st.text(max_size=20),
    "voice": st.text(max_size=20),
    "speed": st.floats(0.5, 2.0),
    "seed": st.none() | st.integers(0, 2**32 - 1),
    "format": st.none() | formats,
    "words": st.booleans(),
    "offsets": st.sampled_from(Offsets),
    "lead_ms": st.none() | st.integers(0, 600_000),
}
client_messages = st.one_of(
    st.builds(frames.Hello, ticket=st.text(max_size=50)),
    st.builds(
        frames.Resume,
        session=names,
        resume_token=st.text(max_size=50),
        received=st.dictionaries(names, st.builds(frames.Received, seq=st.integers(-1, 2**32 - 1)), max_size=3),
    ),
    st.builds(frames.Open, **opening),
    st.builds(frames.Speak, **opening, text=st.text()),
    st.builds(frames.Text, context=names, text=st.text()),
    st.builds(frames.Flush, context=names),
    st.builds(frames.End, context=names),
    st.builds(frames.Cancel, context=names, played_ms=st.none() | milliseconds),
    st.builds(frames.Playhead, context=names, played_ms=milliseconds, paused=st.booleans()),
    st.just(frames.Ping()),
)


@given(client_messages)
def test_a_client_message_survives_the_wire(message: frames.ClientMessage) -> None:
    assert PARSER.client(frames.serialize(message)) == message
    assert PARSER.client(frames.serialize(message).decode()) == message


server_messages = st.one_of(
    st.builds(
        frames.Ready,
        session=names,
        resume_token=names,
        resumed=st.booleans(),
        limits=st.just(frames.Limits(1, 2, 3, 4, 5, 6)),
        contexts=st.dictionaries(names, st.builds(frames.Accepted, accepted=st.integers(0, 9)), max_size=2),
    ),
    st.builds(
        frames.BlockStart,
        names,
        st.integers(0, 9),
        st.tuples(st.integers(0), st.integers(0)),
        st.integers(0),
        st.booleans(),
    ),
    st.builds(frames.Phonemes, names, st.integers(0, 9), st.lists(st.tuples(st.text(), *[st.integers(0, 2**40)] * 2))),
    st.builds(frames.Words, names, st.integers(0, 9), st.lists(st.tuples(*[st.integers(0, 2**40)] * 4))),
    st.builds(frames.Done, names, *[st.integers(0)] * 4, st.none() | st.integers(), st.none() | st.integers(0)),
    st.builds(frames.Error.of, st.just(Busy(retry_after_ms=5)), names),
    st.just(frames.Pong()),
    st.builds(frames.Draining, st.integers(0)),
)


@given(server_messages)
def test_a_server_message_survives_the_wire(message: frames.ServerMessage) -> None:
    assert PARSER.server(frames.serialize(message)) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | st.text() | json_values.map(json.dumps))
def test_anything_else_is_refused_as_a_bad_message(data: str | bytes) -> None:
    with pytest.raises(BadRequest) as refused:  # a tag of ours, in place, is not found by chance
        PARSER.client(data)
    assert refused.value.row_code == "bad_message"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("{", "truncated"),
        ("[]", "object"),
        ('{"context":"a"}', "type"),
        ('{"type":"nope"}', "nope"),
        ('{"type":"open"}', "context"),
        ('{"type":"open","context":""}', "length >= 1"),
        ('{"type":"open","context":"' + "c" * 65 + '"}', "length <= 64"),
        ('{"type":"open","context":"a","speed":NaN}', "JSON"),
        ('{"type":"open","context":"a","speed":true}', "bool"),
        ('{"type":"open","context":"a","speed":2.01}', "<= 2.0"),
        ('{"type":"open","context":"a","seed":-1}', ">= 0"),
        ('{"type":"open","context":"a","format":{"codec":"mp3"}}', "mp3"),
        ('{"type":"text","context":"a","text":7}', "text"),
        ('{"type":"text","context":"a","text":"\\ud800"}', "half of a character"),
        ('{"type":"text","context":"\\ud800","text":"b"}', "JSON|truncated"),
        ('{"type":"text","text":"\\ud800"', "JSON|truncated"),
        ('{"type":"text","context":"a","text":"\\ud83d\\udc4d","x":NaN}', "JSON"),
        ('{"type":"playhead","context":"a","played_ms":1e400}', "range"),
        ('{"type":"ping","x":' + "[" * 100_000 + "]" * 100_000 + "}", "deep"),
        (b'{"type":"text","context":"a","text":"\xff"}', "UTF-8|JSON"),
    ],
)
def test_the_client_is_told_what_is_wrong(data: str | bytes, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        PARSER.client(data)


@pytest.mark.parametrize("text", ["\\ud83d", "a\\udc4d b", "\\uD83D\\u0041"])
def test_half_of_a_character_is_said_of_its_context(text: str) -> None:
    for data in (message := f'{{"type":"text","context":"a","text":"{text}"}}', message.encode()):
        with pytest.raises(BadRequest) as refused:
            PARSER.client(data)
        assert refused.value.fields == {
            "problem": "half of a character stands alone",
            "type": "text",
            "context": "a",
        }


def test_unknown_fields_are_ignored() -> None:
    assert PARSER.client('{"type":"ping","later":{"more":[1]}}') == frames.Ping()


def test_what_a_format_leaves_out_is_granted() -> None:
    assert frames.FormatRequest().grant() == Format()
    assert frames.FormatRequest(Codec.MULAW).grant().rate_hz == 8_000
    with pytest.raises(BadRequest, match="opus takes the rates"):
        frames.FormatRequest(Codec.OPUS, 44_100).grant()


packets = st.lists(st.binary(max_size=300), min_size=1, max_size=10)
counts = st.integers(0, 2**32 - 1)


@given(st.integers(0, 65_535), st.integers(0, 3), counts, counts, packets)
def test_audio_survives_the_wire(channel: int, flags: int, seq: int, pts: int, sent: list[bytes]) -> None:
    parsed = frames.unpack_audio(frames.pack_audio(channel, flags, seq, pts, sent))
    bundled = frames.BUNDLE if len(sent) > 1 else 0
    assert parsed == (channel, flags | bundled, seq, pts, sent)


@given(st.integers(0, 1), st.integers(0, 1), packets, st.integers(1, 12))
def test_frames_that_go_together_follow_each_other(first: int, last: int, sent: list[bytes], bundle: int) -> None:
    first, last = first * frames.FIRST_OF_BLOCK, last * frames.LAST_OF_CONTEXT
    messages = [frames.unpack_audio(data) for data in frames.pack_each(3, first, last, 7, 960, sent, 480, bundle)]
    assert [packet for each in messages for packet in each.packets] == sent
    assert all(len(each.packets) == bundle for each in messages[:-1])
    seqs = [7 + bundle * number for number in range(len(messages))]
    assert [(each.channel, each.seq, each.pts) for each in messages] == [(3, seq, seq * 480 - 2_400) for seq in seqs]
    flags = [each.flags & ~frames.BUNDLE for each in messages]
    expected = [0] * len(messages)
    expected[0] |= first
    expected[-1] |= last
    assert flags == expected


@pytest.mark.parametrize(
    "data", [b"", b"x" * 11, b"\0\0\4\0" + b"\0" * 8 + b"\5", b"\0\0\4\0" + b"\0" * 8 + b"\5\0abcd"]
)
def test_broken_audio_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        frames.unpack_audio(data)


def test_every_error_has_a_whole_row() -> None:
    for code, row in TABLE.items():
        assert 400 <= row.status < 600, code
        assert row.close in {1009, 1012} or 4_000 <= row.close < 5_000, code
        assert not row.retryable or row.close < 4_500, code


def test_an_error_names_its_context_and_when_to_come_back() -> None:
    sent = json.loads(frames.serialize(frames.Error.of(OverQuota("too_many_contexts", limit=3), "a")))
    assert sent == {
        "type": "error",
        "code": "too_many_contexts",
        "message": "at most 3 contexts may be open at once",
        "retryable": True,
        "context": "a",
    }
    assert frames.Error.of(Busy(retry_after_ms=9)).retry_after_ms == 9
