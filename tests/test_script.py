import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.errors import BadRequest
from voicewire.frames import (
    FIRST_OF_BLOCK,
    LAST_OF_CONTEXT,
    AudioFrames,
    BlockStart,
    ClientMessage,
    End,
    Flush,
    Open,
    Phonemes,
    Speak,
    Text,
    Words,
)
from voicewire.script import Script, Tape


def _all(script: Script) -> list[ClientMessage]:
    messages = []
    while (message := script.pending()) is not None:
        messages.append(message)
    return messages


def _script(*messages: ClientMessage) -> Script:
    script = Script(Open("c1"))
    for message in messages:
        script.say(message)
    return script


def test_says_everything_once_in_order() -> None:
    script = _script(Text("c1", "a"), Flush("c1"), End("c1"))
    assert _all(script) == [Open("c1"), Text("c1", "a"), Flush("c1"), End("c1")]
    assert _all(script) == []


def test_what_never_arrived_is_said_from_the_beginning() -> None:
    script = _script(Text("c1", "a"))
    _all(script)
    script.rewind(None)
    assert _all(script) == [Open("c1"), Text("c1", "a")]


def test_what_was_not_sent_yet_stays_pending() -> None:
    script = _script(Text("c1", "a"))
    assert script.pending() == Open("c1")
    script.rewind(0)
    assert _all(script) == [Text("c1", "a")]


def test_a_spoken_text_that_arrived_is_not_said_again() -> None:
    script = Script(Speak("c1", text="all of it"))
    _all(script)
    script.rewind(9)
    assert _all(script) == []


def test_a_message_that_arrived_in_part_is_said_in_part() -> None:
    script = _script(Text("c1", "one "), Text("c1", "two three"), End("c1"))
    _all(script)
    script.rewind(8)
    assert _all(script) == [Text("c1", "three"), End("c1")]


def test_a_flush_that_may_be_lost_is_said_again() -> None:
    script = _script(Text("c1", "one "), Flush("c1"), Text("c1", "two"))
    _all(script)
    script.rewind(4)
    assert _all(script) == [Flush("c1"), Text("c1", "two")]


@given(st.lists(st.text(max_size=5), max_size=8), st.data())
def test_after_any_break_the_server_has_the_whole_text(texts: list[str], data: st.DataObject) -> None:
    script = _script(*(Text("c1", text) for text in texts), End("c1"))
    arrived = ""
    for _ in range(data.draw(st.integers(0, 3))):
        sent = [message.text for message in _all(script) if isinstance(message, Text)]
        arrived += "".join(sent)[: data.draw(st.integers(0, len("".join(sent))))]
        script.rewind(len(arrived))
    rest = _all(script)
    assert arrived + "".join(message.text for message in rest if isinstance(message, Text)) == "".join(texts)
    assert rest[-1] == End("c1")


def test_audio_is_taken_in_order_with_its_flags() -> None:
    tape = Tape()
    first = tape.audio(AudioFrames(0, FIRST_OF_BLOCK, 0, 0, [b"a"]))
    second = tape.audio(AudioFrames(0, LAST_OF_CONTEXT, 1, 480, [b"b", b"c"]))
    assert (first.first, first.last, first.seq, first.pts) == (True, False, 0, 0)
    assert (second.first, second.last, second.packets) == (False, True, [b"b", b"c"])
    assert tape.seq == 2


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_hole_or_a_repetition_in_the_audio_is_an_error(seq: int) -> None:
    tape = Tape()
    tape.audio(AudioFrames(0, 0, 0, 0, [b"a", b"b"]))
    with pytest.raises(BadRequest):
        tape.audio(AudioFrames(0, 0, seq, 0, [b"c"]))


def test_words_and_blocks_that_come_again_are_dropped() -> None:
    tape = Tape()
    block = BlockStart("c1", 0, (0, 9), 0, False)
    assert tape.block(block) is block
    assert tape.block(block) is None
    assert tape.words(Words("c1", 0, [(0, 3, 0, 100)])) == Words("c1", 0, [(0, 3, 0, 100)])
    assert tape.words(Words("c1", 0, [(0, 3, 0, 100), (4, 9, 100, 300)])) == Words("c1", 0, [(4, 9, 100, 300)])
    assert tape.words(Words("c1", 0, [(4, 9, 100, 300)])) is None


def test_phonemes_that_come_again_are_dropped() -> None:
    tape = Tape()
    assert tape.news(Phonemes("c1", 0, [("h", 0, 70)])) == Phonemes("c1", 0, [("h", 0, 70)])
    assert tape.news(Phonemes("c1", 0, [("h", 0, 70), ("aɪ", 70, 90)])) == Phonemes("c1", 0, [("aɪ", 70, 90)])
    assert tape.news(Phonemes("c1", 0, [("aɪ", 70, 90)])) is None
