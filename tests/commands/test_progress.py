import io

from voicewire.commands.progress import Progress
from voicewire.commands.terminal import CLEAR, MARK, PLAIN


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WORDS = [(0, 3, 0, 200), (4, 7, 200, 400), (8, 13, 400, 900)]
TEXT = "One two three"


def test_the_word_being_heard_is_marked() -> None:
    out = Terminal()
    progress = Progress(out, verbose=False)
    progress.begin()
    progress.add(TEXT, WORDS, 0)
    progress.show(250)
    assert out.getvalue() == f"{CLEAR}0:00 One {MARK}two{PLAIN} three"


def test_nothing_is_written_twice_nor_before_its_time() -> None:
    out = Terminal()
    progress = Progress(out, verbose=False)
    progress.begin()
    progress.add(TEXT, WORDS, 0)
    progress.show(0)
    assert out.getvalue() == ""
    progress.show(100)
    written = out.getvalue()
    progress.show(150)
    assert out.getvalue() == written != ""


def test_without_a_terminal_it_is_quiet_unless_asked() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    for out, verbose in ((quiet, False), (loud, True)):
        progress = Progress(out, verbose=verbose)
        progress.begin()
        progress.add(TEXT, WORDS, 1_000)
        progress.show(1_250)
        progress.clear()
    assert quiet.getvalue() == ""
    assert loud.getvalue().split() == ["1.000", "s", "One", "1.200", "s", "two"]


def test_what_was_heard_ends_with_the_last_word_begun() -> None:
    progress = Progress(io.StringIO(), verbose=False)
    assert progress.heard_text() == ""
    progress.begin()
    progress.add(TEXT, WORDS, 0)
    progress.begin()
    progress.add(" four five", [(1, 5, 0, 100), (6, 10, 100, 200)], 900)
    progress.show(1_000)
    assert progress.heard_text() == "One two three four"
