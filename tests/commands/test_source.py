import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.commands.source import Utterances, end_within, once, typed


async def _pieces(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def _cut(pieces: AsyncIterator[str], limit: int) -> list[str]:
    utterances = Utterances(pieces, limit)
    texts = []
    while not utterances.exhausted:
        texts.append("".join([piece async for piece in utterances.following()]))
        assert utterances.text == texts[-1]
    return [text for text in texts if text]


async def test_a_short_text_is_one_utterance() -> None:
    assert await _cut(once("Hello there."), 100) == ["Hello there."]


async def test_a_long_one_is_cut_behind_a_sentence() -> None:
    text = "One two three four. Five six seven. Eight nine ten eleven."
    assert await _cut(once(text), 40) == ["One two three four. Five six seven. ", "Eight nine ten eleven."]


async def test_a_paragraph_is_a_better_end_than_a_sentence() -> None:
    assert await _cut(once("a" * 17 + ".\nb. " + "c" * 20), 24) == ["a" * 17 + ".\n", "b. " + "c" * 20]


async def test_without_any_end_it_is_cut_at_a_gap_and_at_last_anywhere() -> None:
    assert await _cut(once("aaaa bbbb cccc"), 10) == ["aaaa bbbb ", "cccc"]
    assert await _cut(once("a" * 25), 10) == ["a" * 10, "a" * 10, "a" * 5]


async def test_tokens_are_handed_on_one_by_one() -> None:
    utterances = Utterances(_pieces("Hel", "lo ", "you."), 100)
    assert [piece async for piece in utterances.following()] == ["Hel", "lo ", "you."]


@given(st.lists(st.text("ab .\n", min_size=1, max_size=30), max_size=12), st.integers(1, 40))
async def test_nothing_is_lost_and_nothing_is_too_long(pieces: list[str], limit: int) -> None:
    texts = await _cut(_pieces(*pieces), limit)
    assert "".join(texts) == "".join(pieces)
    assert all(len(text) <= limit for text in texts)


@pytest.mark.parametrize(("piece", "said", "limit", "end"), [("short", 0, 100, None), ("x", 100, 100, 0)])
def test_end_within_the_bounds(piece: str, said: int, limit: int, end: int | None) -> None:
    assert end_within(piece, said, limit) == end


async def test_what_is_typed_comes_before_the_end_of_input() -> None:
    read, write = os.pipe()
    pieces = typed(read)
    os.write(write, b"first line\n")
    assert await anext(pieces) == "first line\n"
    os.write(write, "half a character: é".encode()[:-1])
    assert await anext(pieces) == "half a character: "
    os.write(write, "é".encode()[-1:])
    assert await anext(pieces) == "é"
    os.close(write)
    assert [piece async for piece in pieces] == []
    os.close(read)


async def test_a_file_can_be_typed_too(tmp_path: Path) -> None:
    text = "ein Zeile mit ü\n" * 2_000
    (tmp_path / "book.txt").write_text(text, "utf-8")
    with (tmp_path / "book.txt").open("rb") as file:
        assert "".join([piece async for piece in typed(file.fileno())]) == text


async def test_bytes_that_are_no_text_are_replaced() -> None:
    read, write = os.pipe()
    os.write(write, b"a\xffb\xc3")
    os.close(write)
    assert "".join([piece async for piece in typed(read)]) == "a\ufffdb\ufffd"
    os.close(read)


def test_input_that_never_ends_does_not_hold_the_program() -> None:
    read, write = os.pipe()

    async def first() -> str:
        os.write(write, b"x")
        return await anext(typed(read))

    assert asyncio.run(first()) == "x"
    os.close(write)
