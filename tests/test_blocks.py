"""Text to blocks: where the edges fall, what is spoken, how long the pauses are, and how much work it takes."""

from __future__ import annotations

import pytest

from voicewire.blocks import Splitter
from voicewire.edges import LOOKAHEAD
from voicewire.punctuation import PAUSE_MS
from voicewire.types import Block

LONG_ENOUGH = "It was late already! "  # takes the place of the first block, which is cut at clauses too


def blocks_of(text: str, *, language: str = "en", max_chars: int = 400, first_chars: int = 60) -> list[Block]:
    splitter = Splitter(language=language, max_chars=max_chars, first_chars=first_chars)
    return splitter.push(text) + splitter.end()


def texts(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks]


def sentences(text: str, language: str = "en") -> list[str]:
    """The blocks of `text`, stripped, as they are behind a first block."""
    first, *rest = blocks_of(LONG_ENOUGH + text, language=language)
    assert first.text == LONG_ENOUGH
    return [block.text.strip() for block in rest]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["Dr. Smith paid Mrs. Jones $4.50.", "She laughed at that."]),
        ("en", ["The U.S. Army left at 5 p.m. today.", "Nobody had noticed."]),
        ("en", ["They left at 5 p.m.", "The house was empty."]),
        ("en", ["He likes fruit, e.g. Apples and pears.", "So do I, of course."]),
        ("en", ["J. R. R. Tolkien and George W. Bush met.", "It did not happen."]),
        ("en", ["See vol. 3, fig. 2 and No. 5 there.", "It is all in there."]),
        ("en", ["The answer is no.", "Bob was disappointed."]),
        ("en", ["It costs 3.14 or 1,000.5 dollars.", "It has since 1999.", "Prices may vary, they say."]),
        ("en", ["Read https://example.com/a.b?c=d.e!f now.", "Or mail me@example.co.uk today."]),
        ("en", ["Go to example.com.", "Then come back here."]),
        ("en", ["Wait... what is that?", "I do not know it."]),
        ("en", ["I thought... Well, never mind it.", "It is late now…", "Good night to you."]),
        ("en", ["And so on . . . and so on.", "It never ends at all."]),
        ("en", ['"Stop it now!" she cried.', '"Why should I?"', "Nobody moved at all."]),
        ("en", ["He said “Come here now.”", "(She did not.)", "Then he left us."]),
        ("en", ["It was proven long ago.[12]", "Others doubt it still."]),
        ("en", ["This ends here.</b>", "That goes on a bit."]),
        ("en", ["What?! No, that cannot be!", "Yes, it really can be."]),
        ("en", ["all in lower case.", "it goes on.", "so it does, my friend."]),
        ("en", ["1. First of all, breathe.", "2. Then go on writing."]),
        ("en", ["Yes. No. I do not know.", "Perhaps I do after all."]),
        ("en", ["It ended well 😀.", "😀 So we were all glad."]),
        ("fr", ["Voici M. Dupont et Mme. Durand.", "Il pleut aujourd'hui !", "Vraiment ?! Je dors."]),
        ("de", ["Am 3. Mai kam z.B. Herr Dr. Maier.", "Es war 1999.", "Das stimmt."]),
        ("es", ["¿Qué tal está el Sr. López?", "¡Muy bien, muchas gracias!", "Me alegro mucho."]),
        ("ru", ["Здесь жил А. С. Пушкин, т.е. поэт.", "Это было давно уже."]),
        ("ja", ["これは本です。", "本当ですか？", "「はい。」と彼は言った。", "終わり！"]),
        ("zh", ["你好。", "“好。”", "我很好！", "价格是３．５元。"]),
        ("hi", ["यह एक घर है।", "वह बड़ा है॥", "ठीक है?"]),
        ("ar", ["كيف حالك اليوم؟", "أنا بخير شكرا لك۔", "وأنت يا صديقي العزيز."]),
        ("he", ["שלום לכולם וברוכים הבאים.", "מה שלומכם היום?", "אני בסדר גמור."]),
        ("hy", ["Բարեւ ձեզ։", "Ինչպես եք։"]),
        ("am", ["ሰላም ነው።", "ደህና ነኝ።"]),
    ],
)
def test_sentences(language: str, expected: list[str]) -> None:
    assert sentences(("" if language in {"ja", "zh"} else " ").join(expected), language) == expected


LINES = {
    "heading": ("# A title\nText that follows.\n", ["# A title\n", "Text that follows.\n"]),
    "heading, two sentences": ("## A title. And more\nText.\n", ["## A title. ", "And more\n", "Text.\n"]),
    "underlined heading": ("A title\n=======\nText.", ["A title\n", "=======\n", "Text."]),
    "plain heading": ("A plain title\nText that follows.", ["A plain title\n", "Text that follows."]),
    "paragraphs": (
        "One of them\n\nand another\n \n\nand a third",
        ["One of them\n\n", "and another\n \n", "\nand a third"],
    ),
    "wrapped": (
        "A line that was wrapped by the\nwriter. Then on.",
        ["A line that was wrapped by the\nwriter. ", "Then on."],
    ),
    "list": (
        "Buy:\n- milk\n* eggs\n+ some\n  butter\n• tea\n",
        ["Buy:\n", "- milk\n", "* eggs\n", "+ some\n  butter\n", "• tea\n"],
    ),
    "numbers": ("1. first\n2) second\n10. tenth", ["1. first\n", "2) second\n", "10. tenth"]),
    "list, two sentences": ("- One here. Two there\n- Three\n", ["- One here. ", "Two there\n", "- Three\n"]),
    "quote": ("> It goes\n> On and on\n>\n> again", ["> It goes\n> On and on\n", ">\n> again"]),
    "table": ("| a | b |\n|---|---|\n| c | d |\n", ["| a | b |\n", "|---|---|\n", "| c | d |\n"]),
    "fence": ("```py\n# no title\nx = 1\n```\nText", ["```py\n", "# no title\n", "x = 1\n", "```\n", "Text"]),
    "rule": ("Above it\n---\nBelow it", ["Above it\n", "---\n", "Below it"]),
    "windows": ("One line\r\n\r\nAnother line\r\n", ["One line\r\n\r\n", "Another line\r\n"]),
    "hyphen that is no bullet": ("Twenty\n-five and so on", ["Twenty\n-five and so on"]),
    "hash that is no heading": ("Look at\n#1 and go on", ["Look at\n#1 and go on"]),
}


@pytest.mark.parametrize(("text", "expected"), LINES.values(), ids=LINES)
def test_lines(text: str, expected: list[str]) -> None:
    assert texts(blocks_of(text)) == expected


SPOKEN = {
    "# Title\n": "  Title\n",
    "It is **very** *good*, __really__ _so_.": "It is   very    good ,   really    so .",
    "这是**重点**内容。": "这是  重点  内容。",
    "Keep 2 * 3, 2*3, a_b, C#, #1, 5 > 4, a < b, ~5 and x[0].": None,
    "~~Gone~~ and `code` here": "  Gone   and  code  here",
    "- item\n": "  item\n",
    "- [x] done\n": "      done\n",
    "1. number\n": None,
    "> quoted\n": "  quoted\n",
    "> - both\n": "    both\n",
    'See [the page](http://a.b/c_(d) "Title") now': "See  the page                            now",
    "See ![a cat](cat.png) now": "See   a cat           now",
    "See [the page][ref] and that[^1]": "See  the page       and that    ",
    "Open https://a.b/c or ftp://d.e": "Open         a.b/c or       d.e",
    "Mail mailto:me@x.org or <you@x.org>": "Mail        me@x.org or  you@x.org ",
    'Some <b>bold</b> <a href="x. Y">link</a><br/>': "Some    bold                    link         ",
    "| a | b |\n": "  a   b  \n",
    "|---|:-:|\n": "         \n",
    "---\n": "   \n",
    "```python\n": "         \n",
    "\\*not a mark\\*": " *not a mark *",
    "a\x00b\x1bc\x7fd\x85e": "a b c d e",
    "lone \ud83d surrogate \ude00": "lone   surrogate  ",
    "tab\tstays": None,
}


@pytest.mark.parametrize(("text", "spoken"), SPOKEN.items())
def test_spoken(text: str, spoken: str | None) -> None:
    _, block = blocks_of("It was late already!\n\n" + text)
    assert block.spoken == (text if spoken is None else spoken)


def test_marks_that_an_edge_cuts_are_still_marks() -> None:
    blocks = blocks_of('**It is bold. And still is.** See [the page. Or not](http://a.b/c. "Its. Title") now.')
    assert [block.spoken for block in blocks] == [
        "  It is bold. ",
        "And still is.   ",
        "See  the page. ",
        "Or not" + " " * len('](http://a.b/c. "Its. Title")') + " now.",
    ]


def test_no_edge_falls_into_a_tag_or_a_destination() -> None:
    text = 'Look <img alt="A cat. It sleeps." src="c.png"> here. See [it](x "A. B") too.'
    assert texts(blocks_of(text)) == [
        'Look <img alt="A cat. It sleeps." src="c.png"> here. ',
        'See [it](x "A. B") too.',
    ]


def test_a_destination_longer_than_a_block_is_not_spoken() -> None:
    blocks = blocks_of("An image: ![of a cat](data:image/png;base64," + "QUJD" * 300 + ") and a sentence.")
    assert len(blocks) > 3
    assert " ".join("".join(block.spoken for block in blocks).split()) == "An image: of a cat and a sentence."


@pytest.mark.parametrize("text", ["😀👍", "?!", "...", "—", "---\n", "  \n", "“”", "\u200b", "```\n"])
def test_silent(text: str) -> None:
    assert all(block.silent for block in blocks_of(text))


@pytest.mark.parametrize("text", ["a", "1", "你", "हि", "ب", "½", "Ω", "**x**", "- 😀 yes"])
def test_not_silent(text: str) -> None:
    assert not any(block.silent for block in blocks_of(text))


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("It is so.", "sentence"),
        ("It is so.)”", "sentence"),
        ("そうです。", "sentence"),
        ("it is, ", "clause"),
        ("it is:", "clause"),
        ("it is —", "clause"),
        ("it is - ", "clause"),
        ("これは、", "clause"),
        ("it is", "cut"),
        ("😀", "cut"),
        ("# It is\n", "paragraph"),
        ("It is.\n\n", "paragraph"),
        ("- it is\n", "sentence"),
    ],
)
def test_pause_fits_the_punctuation(text: str, pause: str) -> None:
    splitter = Splitter()
    (block,) = splitter.push(text) + splitter.flush()
    assert block.pause_ms == PAUSE_MS[pause]


def test_the_first_block_is_a_clause_and_the_others_are_sentences() -> None:
    text = "Well, when I was young, I lived, as I said, by the sea. There, as you know, it rains."
    assert texts(blocks_of(text)) == [
        "Well, when I was young, ",
        "I lived, as I said, by the sea. ",
        "There, as you know, it rains.",
    ]


@pytest.mark.parametrize("mark", [", ", "; ", ": ", " - ", " – ", "—", "، "])
def test_every_clause_mark_ends_a_first_block(mark: str) -> None:
    head = f"When the day was over{mark}"
    assert blocks_of(f"{head}everyone went home")[0].text == head


@pytest.mark.parametrize(
    "text", ["the well-known 10–20 at 10:30 or 1,000 a,b,c;d", "今天的温度是１，０００度左右吧还有"]
)
def test_marks_inside_words_and_numbers_end_no_first_block(text: str) -> None:
    assert texts(blocks_of(text)) == [text]


def test_a_first_block_without_a_mark_ends_between_words() -> None:
    first, second = blocks_of("word " * 20, first_chars=33)
    assert first.text == "word " * 6
    assert first.pause_ms == PAUSE_MS["cut"]
    assert second.text == "word " * 14


def test_what_is_silent_does_not_count_as_the_first_block() -> None:
    head, rule, clause, _ = blocks_of("***\n\n---\n\nThis is still the first one, and it is a clause.")
    assert head.silent
    assert rule.silent
    assert clause.text == "This is still the first one, "


def test_a_long_text_is_cut_at_clauses_then_words_then_anywhere() -> None:
    clauses = blocks_of(LONG_ENOUGH * 2 + "so it went on and on, " * 20, max_chars=100)
    assert {block.text for block in clauses[2:-1]} == {"so it went on and on, " * 4}
    words = blocks_of(LONG_ENOUGH * 2 + "word " * 100, max_chars=98)
    assert {block.text for block in words[2:-1]} == {"word " * 19}
    letters = blocks_of(LONG_ENOUGH * 2 + "x" * 950, max_chars=100)
    assert [len(block.text) for block in letters[2:]] == [100] * 9 + [50]


def test_blocks_grow_so_that_each_can_be_made_while_those_before_it_are_heard() -> None:
    blocks = blocks_of("so it went on and on, " * 60, first_chars=36)
    assert [len(block.text) for block in blocks] == [22, 44, 154, 396, 396, 308]
    assert texts(blocks_of("Yes. " + "word " * 40))[:2] == ["Yes. ", "word " * 12]


@pytest.mark.parametrize(
    "cluster",
    ["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301\u0323", "\ud83d\ude00", "ᄒ\u1161\u11ab", "1\ufe0f\u20e3", "कि"],
    ids=ascii,
)
def test_no_cut_divides_what_is_seen_as_one_character(cluster: str) -> None:
    text = cluster * 200
    for max_chars in range(40, 48):
        assert all(len(block.text) % len(cluster) == 0 for block in blocks_of(text, max_chars=max_chars))


def test_a_cluster_without_end_is_cut_all_the_same() -> None:
    assert [len(block.text) for block in blocks_of("a" + "\u0301" * 250, max_chars=100, first_chars=100)] == [
        100,
        100,
        51,
    ]


@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 20_000, "b. " * 33_333, "\n" * 100_000, "👩‍👩‍👦" * 20_000])
def test_a_hundred_thousand_characters_without_an_end(text: str) -> None:
    blocks = blocks_of(text)
    assert "".join(texts(blocks)) == text
    assert max(len(block.text) for block in blocks) <= 400


def pushed(splitter: Splitter, text: str) -> list[Block]:
    return [block for character in text for block in splitter.push(character)]


def test_a_block_comes_as_soon_as_it_is_certain() -> None:
    splitter = Splitter()
    assert pushed(splitter, 'He said "Stop." ') == []
    assert texts(splitter.push("T")) == ['He said "Stop." ']
    assert texts(pushed(splitter, "he end of it\n\n")) == ["The end of it\n\n"]
    assert splitter.pending_chars == 0


@pytest.mark.parametrize(
    "text", ["It is 3.", "It is 3. ", "He met Dr. S", "It ended.[1", "It ended.</", "Title\n-", "> A\n>"]
)
def test_no_block_comes_while_text_could_move_its_edge(text: str) -> None:
    assert pushed(Splitter(), text) == []


def test_flush_speaks_what_is_there_and_goes_on() -> None:
    splitter = Splitter()
    assert splitter.push("Half a sen") == []
    assert splitter.flush() == [Block(0, "Half a sen", "Half a sen", PAUSE_MS["cut"])]
    assert splitter.flush() == []
    assert splitter.push("tence.") == []
    assert splitter.position == 10
    assert splitter.flush() == [Block(10, "tence.", "tence.", PAUSE_MS["sentence"])]


def test_flush_of_a_long_text_gives_several_blocks() -> None:
    splitter = Splitter(max_chars=50, first_chars=20)
    splitter.push("x" * 60)
    assert [len(block.text) for block in splitter.flush()] == [20, 40]
    assert splitter.position == 60


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        ("", []),
        ("Hello", []),
        ("I ", []),
        ("   ", []),
        ("... ", []),
        ("Hello wor", ["Hello "]),
        ("So, when the d", ["So, when the "]),
        ("When it rains, the c", ["When it rains, "]),
        ("It is over. ", ["It is over. "]),
        ('See <img alt="a b', []),
        ("https://example.c", []),
        ("今天天气，很", ["今天天气，"]),
    ],
)
def test_hurry_takes_the_best_first_clause(pending: str, expected: list[str]) -> None:
    splitter = Splitter()
    early = splitter.push(pending)
    assert texts(early + splitter.hurry()) == expected
    assert splitter.pending_chars == len(pending) - splitter.position


def test_hurry_is_for_the_first_block_only() -> None:
    splitter = Splitter()
    assert len(splitter.push("It has begun. And it goes on for a w")) == 1
    assert splitter.hurry() == []


def test_after_the_end_everything_is_a_mistake() -> None:
    splitter = Splitter()
    assert splitter.push("All") == []
    assert texts(splitter.end()) == ["All"]
    with pytest.raises(AssertionError):
        splitter.push("")
    for call in (splitter.flush, splitter.end, splitter.hurry):
        with pytest.raises(AssertionError):
            call()


def test_a_splitter_goes_on_elsewhere_inside_fenced_code() -> None:
    splitter = Splitter()
    before = splitter.push("```\nx = 1\n# no hea")
    other = Splitter.resume(splitter.position, splitter.pending, splitter.first, place=splitter.place)
    rest = "ding\n```\n# heading\n"
    after = other.push(rest) + other.end()
    assert before + after == blocks_of("```\nx = 1\n# no hea" + rest)
    assert [block.spoken for block in after] == ["# no heading\n", "   \n", "  heading\n"]


@pytest.mark.parametrize(
    "atom",
    [
        "word ",
        "x",
        ".",
        '"',
        ". ",
        "a. ",
        "Dr. ",
        "\n",
        "<a b",
        '<a b="c. ',
        "](",
        "[1",
        "- ",
        "> a\n",
        "`",
        "。",
        "\u0301",
    ],
)
def test_work_grows_with_the_text_and_not_faster(atom: str) -> None:
    """No more pending text than a view, and no more joints looked at than two a push, a few beside."""
    splitter = Splitter()
    text = atom * (20_000 // len(atom))
    pushed(splitter, text)
    assert splitter.pending_chars < 400 + LOOKAHEAD
    assert splitter.joints_judged <= 2 * len(text) + 400 + LOOKAHEAD


def test_a_megabyte_of_single_characters_is_judged_once_a_sentence() -> None:
    sentence = "The quick brown fox jumps over the lazy dog and runs into the deep, dark wood. "
    splitter = Splitter()
    repeats = 1_000_000 // len(sentence)
    assert len(pushed(splitter, sentence * repeats)) == repeats  # the first sentence gives two, the last one waits
    assert splitter.joints_judged < 3 * repeats
