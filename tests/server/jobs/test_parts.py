"""A long text in parts: nothing is lost, nothing is cut inside a sentence, and it is always the same cut."""

from __future__ import annotations

from voicewire.server.jobs.parts import Part, parts_of

SENTENCES = [f"This is the sentence with the number {number}. " for number in range(400)]


def test_a_short_text_is_one_part() -> None:
    for text in ("", "Hello."):
        assert parts_of(text, "en", 400) == [Part(0, text)]


def test_parts_are_the_text_and_end_where_sentences_end() -> None:
    text = "".join(SENTENCES)
    parts = parts_of(text, "en", 400, 1_000)
    assert len(parts) > 5
    assert "".join(part.text for part in parts) == text
    assert [part.start for part in parts] == [text.index(part.text) for part in parts]
    assert all(part.text.rstrip().endswith(".") for part in parts)
    assert all(len(part.text) < 3_000 for part in parts)
    assert parts == parts_of(text, "en", 400, 1_000)


def test_a_paragraph_is_a_better_place() -> None:
    paragraphs = ["".join(SENTENCES[at : at + 30]).rstrip() + "\n\n" for at in range(0, 300, 30)]
    parts = parts_of("".join(paragraphs), "en", 400, 1_000)
    assert [part.text for part in parts] == paragraphs


def test_a_text_without_sentences_is_cut_all_the_same() -> None:
    text = "word " * 5_000
    parts = parts_of(text, "en", 400, 1_000)
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) < 3_000 for part in parts)
