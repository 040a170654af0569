"""What must hold for every text: blocks are the text, whole and in order, however it arrives."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicewire.blocks import Splitter
from voicewire.edges import LOOKAHEAD
from voicewire.types import Block

# What edges and marks are made of: random letters alone would hardly ever meet a rule.
ATOMS = """Hello|world|the|Dr|U.S|e.g|I|No|12|3.14|Then|he|M|.|.|.|!|?|…|...|。|、|，|！|？|।|؟|۔|,|
;|:|-|—|–|"|'|“|”|(|)|[|]|](|](http://x.y/z|[a](b)|![|**|*|_|__|`|```|~~|#|## |> |>|
- |* |1. |2) |---|===|<b>|</b>|<a href="x. Y">|<a href="|<|<br/>|https://|mailto:|
me@x.org|[1]|[12|</|「|」|と|はい|世界|यह|है|مرحبا|👨‍👩‍👧|😀|🇩🇪|．|１|\\|ß|É|А|т.е|г|한국|%|$4.50"""
ODD = [
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\xa0",
    "\u2028",
    "\x1c",
    "\x00",
    "\ud83d",
    "\ude00",
    "\u200d",
    "e\u0301",
    "|",
    "| a |",
    "|---|",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from([*ATOMS.replace("\n", "").split("|"), *ODD]), max_size=80).map("".join),
    st.text(max_size=200),
    st.text(st.characters(), max_size=60),
)
OPTIONS = st.fixed_dictionaries(
    {
        "language": st.sampled_from(["en", "de", "fr", "ru", "ja", "ar", "xx", ""]),
        "max_chars": st.sampled_from([1, 2, 5, 20, 60, 400]),
        "first_chars": st.sampled_from([1, 10, 60]),
    }
)
DEFAULTS = {"language": "en", "max_chars": 400, "first_chars": 60}
SMALL = {"language": "en", "max_chars": 20, "first_chars": 1}


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    edges = sorted({min(at, len(text)) for at in cuts})
    return [text[a:b] for a, b in zip([0, *edges], [*edges, len(text)], strict=True)]


def blocks_of(pieces: Sequence[str], options: dict[str, object]) -> list[Block]:
    splitter = Splitter(**options)  # type: ignore[arg-type]  # the strategy knows the types
    return [block for piece in pieces for block in splitter.push(piece)] + splitter.end()


def assert_covers(blocks: Sequence[Block], text: str, max_chars: int) -> None:
    assert "".join(block.text for block in blocks) == text
    position = 0
    for block in blocks:
        assert block.start == position
        position = block.stop
        assert 0 < len(block.text) <= max_chars
        assert len(block.spoken) == len(block.text)
        assert all(spoken in (written, " ") for spoken, written in zip(block.spoken, block.text, strict=True))
        assert block.spoken.encode().decode() == block.spoken


@given(TEXTS, OPTIONS, st.lists(st.integers(0, 300), max_size=6))
@example("4.50-U.S.mailto:？*~___S", SMALL, [])  # closing marks at the limit that a later letter opens
@example("](.)\nÉ", DEFAULTS, [])  # the end of a line right behind a link
@example("It ended.[12] Then", DEFAULTS, [])
@example("It ended。[1", DEFAULTS, [])
@example("<a b='x. y' c=\"z. ", DEFAULTS, [])
@example("a - b, and so on - c", SMALL, [])
@settings(max_examples=300, deadline=None)
def test_blocks_are_the_text_and_do_not_depend_on_how_it_arrives(
    text: str, options: dict[str, object], cuts: list[int]
) -> None:
    whole = blocks_of([text], options)
    assert_covers(whole, text, int(str(options["max_chars"])))
    assert blocks_of(list(text), options) == whole
    assert blocks_of(cut(text, cuts), options) == whole


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["", "flush", "hurry"])), max_size=6), OPTIONS)
@settings(max_examples=200, deadline=None)
def test_whatever_is_called_between_nothing_is_lost(script: list[tuple[str, str]], options: dict[str, object]) -> None:
    splitter = Splitter(**options)  # type: ignore[arg-type]  # the strategy knows the types
    max_chars = int(str(options["max_chars"]))
    blocks: list[Block] = []
    pushed = 0
    for text, call in script:
        blocks += splitter.push(text)
        blocks += {"": list, "flush": splitter.flush, "hurry": splitter.hurry}[call]()
        pushed += len(text)
        assert splitter.pending_chars < max_chars + LOOKAHEAD
        assert splitter.position + splitter.pending_chars == pushed
        assert call != "flush" or splitter.pending_chars == 0
    blocks += splitter.end()
    assert_covers(blocks, "".join(text for text, _ in script), max_chars)


@given(TEXTS, TEXTS, OPTIONS)
@settings(max_examples=150, deadline=None)
def test_a_splitter_goes_on_elsewhere(head: str, tail: str, options: dict[str, object]) -> None:
    splitter = Splitter(**options)  # type: ignore[arg-type]  # the strategy knows the types
    splitter.push(head)
    moved = Splitter.resume(
        splitter.position,
        splitter.pending,
        splitter.first,
        **options,  # type: ignore[arg-type]  # the strategy knows the types
        place=splitter.place,
    )
    assert moved.pending_chars == splitter.pending_chars
    assert moved.push(tail) + moved.end() == splitter.push(tail) + splitter.end()


@given(TEXTS, st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_a_hurried_edge_is_no_edge_inside_a_word(text: str, first_chars: int) -> None:
    splitter = Splitter(first_chars=first_chars)
    certain = splitter.push(text)
    pending = splitter.pending
    hurried = splitter.hurry()
    if not hurried or certain:
        return
    first = hurried[0]
    assert len(first.text) <= first_chars
    assert not (first.text[-1].isalnum() and pending[len(first.text) : len(first.text) + 1].isalnum())
