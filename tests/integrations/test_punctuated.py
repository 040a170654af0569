"""Words as frameworks take them: they add up to the text."""

from __future__ import annotations

import pytest

from voicewire.frames import Words
from voicewire.integrations.punctuated import Punctuated


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It costs $4.50, doesn't it? Yes.", ["It", " costs", " $4.50,", " doesn't", " it?", " Yes."]),
        ("“So” – he said … – “go”!", ["“So”", " – he", " said", " … – “go”!"]),
        ("Well-known", ["Well-", "known"]),
    ],
)
def test_words_join_to_the_text_in_however_many_messages_they_come(text: str, tokens: list[str]) -> None:
    spoken, taken, at = Punctuated(), [], 0
    for number, token in enumerate(tokens):
        word = token.strip(" “”…–-,.?!")
        start = text.index(word, at)
        at = start + len(word)
        taken += spoken.take(text, Words("a", 0, [(start, at, number * 100, number * 100 + 90)]))
    assert [token.text for token in taken] == tokens
    assert [token.start_s for token in taken] == [number / 10 for number in range(len(tokens))]
    assert "".join(tokens) == text
