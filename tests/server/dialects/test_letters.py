"""Times of characters, from those of words that come as they are spoken."""

from __future__ import annotations

from voicewire.server.dialects.letters import Alignment

TEXT = "It costs $4.50 today."
WORDS = ((0, 2, 0, 150), (3, 8, 150, 600), (9, 14, 700, 2_100), (15, 20, 2_300, 2_700))


def test_a_word_that_begins_with_a_mark_has_its_times_wherever_its_message_begins() -> None:
    for parted in range(len(WORDS)):
        alignment = Alignment()
        alignment.push(TEXT)
        letters = alignment.take(WORDS[:parted]).then(alignment.take(WORDS[parted:])).then(alignment.rest(2_800))
        assert "".join(letters.characters) == TEXT
        assert [letters.ends_ms[stop - 1] for _, stop, _, _ in WORDS] == [end_ms for *_, end_ms in WORDS]
        assert letters.starts_ms == [0, *letters.ends_ms[:-1]]
