import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile

from tests.conftest import Served
from voicewire.__main__ import COMMANDS, main
from voicewire.commands.arguments import parser
from voicewire.config import settings

TEXT = "The quick brown fox jumps over the lazy dog. It costs $4.50 today."
FIGURES = r"\d+\.\d\d s of audio · \d+\.\d\d s billed · first audio after \d+ ms"
LIMIT_S = 30


class Result:
    """What a command did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


def _environ(served: Served, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    return kept | {"VOICEWIRE_URL": served.url, "VOICEWIRE_DATA_DIR": str(served.data_dir)} | more


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "voicewire", *map(str, arguments)]


def _run(served: Served, *arguments: str | Path, given: str | None = None, **more: str) -> Result:
    done = subprocess.run(
        _command(*arguments),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=_environ(served, **more),
        timeout=LIMIT_S,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


class Here:
    """Runs a command in this process, where only its words and its status matter: starting one takes half a second."""

    def __init__(self, served: Served, captured: pytest.CaptureFixture[str]) -> None:
        self.served = served
        self.captured = captured

    def __call__(self, *arguments: str | Path) -> Result:
        status = main([*map(str, arguments)], _environ(self.served))
        return Result(status, *self.captured.readouterr())


@pytest.fixture
def here(served: Served, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(served, capsys)


def test_say_writes_a_file_and_tells_the_figures(served: Served, tmp_path: Path) -> None:
    result = _run(served, "say", TEXT, "-o", tmp_path / "out.wav", "--model", "espeak")
    assert result.status == 0
    assert re.fullmatch(FIGURES + rf" · written to {tmp_path}/out\.wav\n", result.err)
    samples, rate_hz = soundfile.read(tmp_path / "out.wav")
    assert f"{len(samples) / rate_hz:.2f} s of audio" in result.err
    assert 0.05 < abs(samples).max() < 1.0


@pytest.mark.parametrize("name", ["out.flac", "out.mp3", "out.opus"])
def test_say_writes_what_the_ending_asks_for(here: Here, tmp_path: Path, name: str) -> None:
    assert here("say", TEXT, "-o", tmp_path / name).status == 0
    begins = {"out.flac": b"fLaC", "out.mp3": b"\xff", "out.opus": b"OggS"}[name]
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_say_lists_the_words_when_asked(here: Here, tmp_path: Path) -> None:
    result = here("say", TEXT, "-o", tmp_path / "out.wav", "-v")
    words = re.findall(r"^ +[\d.]+ s  (.+)$", result.err, re.MULTILINE)
    assert words[:4] == ["The", "quick", "brown", "fox"]
    assert "$4.50" in words


def test_say_reads_standard_input(served: Served, tmp_path: Path) -> None:
    result = _run(served, "say", "-", "-o", tmp_path / "out.wav", "-v", given="Über allen Gipfeln\nist Ruh.\n")
    assert result.status == 0
    assert re.findall(r"s  (.+)$", result.err, re.MULTILINE) == ["Über", "allen", "Gipfeln", "ist", "Ruh"]


def test_say_speaks_before_the_input_ends(served: Served, tmp_path: Path) -> None:
    arguments = _command("say", "-", "-o", tmp_path / "out.wav", "-v")
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=_environ(served), bufsize=0
    ) as running:
        assert running.stdin
        assert running.stderr
        running.stdin.write(b"This is one whole sentence. And this is ")
        heard = _read_until(running.stderr.fileno(), "sentence")
        assert "This" in heard
        running.stdin.write(b"the end.\n")
        running.stdin.close()
        _read_until(running.stderr.fileno(), "of audio")
    assert running.returncode == 0


def _read_until(descriptor: int, wanted: str) -> str:
    said = ""
    while wanted not in said:
        readable, _, _ = select.select([descriptor], [], [], LIMIT_S)
        data = os.read(descriptor, 65_536) if readable else b""
        assert data, f"no {wanted!r} in {said!r}"
        said += data.decode()
    return said


def test_a_text_beyond_the_limit_is_spoken_in_parts(served: Served, tmp_path: Path) -> None:
    text = "\n" * 9_000 + "One. " + "\n" * 9_000 + "Two."
    result = _run(served, "say", "-", "-o", tmp_path / "out.wav", "-v", given=text)
    assert result.status == 0
    assert re.findall(r"s  (.+)$", result.err, re.MULTILINE) == ["One", "Two"]


@pytest.mark.parametrize("text", ["", " \n ", "...", "👍 👍"])
def test_nothing_to_say_is_a_file_without_sound_and_a_word_about_it(here: Here, tmp_path: Path, text: str) -> None:
    result = here("say", text, "-o", tmp_path / "out.wav")
    assert result.status == 0
    assert " · nothing in the text can be spoken · " in result.err
    assert soundfile.info(tmp_path / "out.wav").frames == 0


@pytest.mark.parametrize("text", ["x\udcffy", "a\x01b", "\u202ereversed", "👩‍👩‍👧 日本語"])
def test_odd_characters_are_no_reason_to_fail(served: Served, tmp_path: Path, text: str) -> None:
    assert _run(served, "say", text, "-o", tmp_path / "out.wav").status == 0


def _player(folder: Path, source: str) -> str:
    path = folder / "aplay"
    path.write_text(f"#!{sys.executable}\n{source}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def test_say_plays_when_no_file_is_asked_for(served: Served, tmp_path: Path) -> None:
    folder = _player(
        tmp_path, f"import pathlib, sys; pathlib.Path({str(tmp_path / 'heard')!r}).write_bytes(sys.stdin.buffer.read())"
    )
    result = _run(served, "say", "Hello.", PATH=folder)
    assert result.status == 0
    assert f"{(tmp_path / 'heard').stat().st_size / 48_000:.2f} s of audio" in result.err


def test_say_without_a_player_tells_how_to_save(served: Served, tmp_path: Path) -> None:
    result = _run(served, "say", "Hello.", PATH=str(tmp_path))
    assert (result.status, result.err) == (
        5, "voicewire: no program here can play audio; save it with -o speech.wav\n",
    )  # fmt: skip


def test_a_player_that_fails_is_told_in_its_words(served: Served, tmp_path: Path) -> None:
    result = _run(served, "say", "Hello.", "--play", PATH=_player(tmp_path, "import sys; sys.exit('no sound card')"))
    assert (result.status, result.err) == (5, "voicewire: aplay does not play: no sound card\n")


def test_ctrl_c_says_what_was_heard_and_keeps_it(served: Served, tmp_path: Path) -> None:
    folder = _player(tmp_path, "import sys, time; time.sleep(60)")
    arguments = _command("say", TEXT * 9, "--play", "-o", tmp_path / "out.wav", "-v")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, env=_environ(served, PATH=folder)) as running:
        assert running.stderr
        _read_until(running.stderr.fileno(), "brown")
        running.send_signal(signal.SIGINT)
        said = _read_until(running.stderr.fileno(), "heard “")
    assert running.returncode == 130
    assert re.search(r"stopped; heard “The quick brown( \w+)*”\n", said)
    assert soundfile.info(tmp_path / "out.wav").frames


def test_on_a_terminal_the_word_being_heard_is_marked(served: Served, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    arguments = _command("say", TEXT, "-o", tmp_path / "out.wav")
    with subprocess.Popen(arguments, stdin=theirs, stderr=theirs, env=_environ(served)) as running:
        said = _read_until(ours, "of audio")
    os.close(ours)
    os.close(theirs)
    assert running.returncode == 0
    lines = said.split("\r\x1b[K")
    marked = [match[1] for line in lines if (match := re.search(r"\x1b\[7m(.+?)\x1b\[0m", line))]
    assert marked[-1] == "today"
    assert all(len(re.sub(r"\x1b\[\d*[mK]", "", line).strip()) < 60 for line in lines[1:-1])


TROUBLE = {
    "unknown voice": (("say", "x", "-o", "{}/a.wav", "--voice", "nobody"), 1, "there is no voice 'nobody'"),
    "unknown model": (("say", "x", "-o", "{}/a.wav", "--model", "nothing"), 1, "there is no model 'nothing'"),
    "bad key": (("voices", "--key", "vw_live_aaaaaaaa_" + "a" * 43), 4, "the credential is missing, wrong or expired"),
    "bad key, said": (("say", "x", "-o", "{}/a.wav", "--key", "wrong-key-altogether"), 4, "credential"),
    "no server": (("say", "x", "-o", "{}/a.wav", "--url", "http://127.0.0.1:1"), 3, "there is no voicewire server at"),
    "no server to list": (("voices", "--url", "http://127.0.0.1:1"), 3, "there is no voicewire server at"),
    "no address": (("voices", "--url", "gopher://x"), 3, "is not the address of a server"),
    "no key": (("voices", "--data", "{}/none"), 4, "there is no key for"),
    "no such voice": (("voices", "--language", "xx"), 1, "there is no voice for the language 'xx'"),
    "no such voice of that": (("voices", "--model", "tone", "--language", "xx"), 1, "no voice of the model 'tone' for"),
    "unknown ending": (("say", "x", "-o", "{}/a.doc"), 2, "must end in"),
    "no folder": (("say", "x", "-o", "{}/none/a.wav"), 5, "No such file"),
    "unknown key": (("keys", "revoke", "aaaaaaaa"), 2, "there is no key 'aaaaaaaa' in force"),
    "unknown scope": (("keys", "create", "--scopes", "speak,sing"), 2, "unknown scopes: sing"),
    "bad port": (("serve", "--port", "http"), 2, "VOICEWIRE_PORT must be a whole number"),
}


@pytest.mark.parametrize(("arguments", "status", "said"), TROUBLE.values(), ids=TROUBLE.keys())
def test_trouble_is_one_line_and_an_exit_status(
    here: Here, tmp_path: Path, arguments: Sequence[str], status: int, said: str
) -> None:
    result = here(*(argument.format(tmp_path) for argument in arguments))
    assert result.status == status
    assert result.err.startswith("voicewire: ")
    assert result.err.count("\n") == 1
    assert said in result.err
    assert [*tmp_path.iterdir()] == []


def test_voices_are_a_table(here: Here) -> None:
    result = here("voices", "--model", "espeak", "--language", "en")
    head, *rows = result.out.splitlines()
    assert head.split() == ["voice", "model", "language", "gender", "id", "description"]
    assert len(rows) > 5
    languages = {row[head.index("language") :].split()[0] for row in rows}
    assert all(language.startswith("en") for language in languages)
    assert {"en-US", "en-GB"} <= languages


def test_a_reader_that_has_seen_enough_is_no_error(served: Served) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        _command("voices"), stdout=write, stderr=subprocess.PIPE, check=False, env=_environ(served), timeout=LIMIT_S
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_keys_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> str:
        assert main(["keys", *arguments, "--data", str(tmp_path)], {}) == 0
        return capsys.readouterr().out

    key = run("create", "--label", "a reader\x1b[2J", "--scopes", "speak", "--test").strip()
    assert re.fullmatch(r"vw_test_[a-z2-7]{8}_[\w-]{43}", key)
    listed = run("list")
    assert key.split("_")[2] in listed
    assert key.split("_", 3)[3] not in listed
    assert "\x1b" not in listed
    assert "in force" in listed
    assert run("revoke", key.split("_")[2]) == f"{key.split('_')[2]} is revoked\n"
    assert "revoked 2" in run("list")


def test_a_key_made_beside_a_running_server_works(served: Served) -> None:
    key = _run(served, "keys", "create", "--label", "made beside it").out.strip()
    result = Result(4, "", "")
    for _ in range(10):  # the server looks once a second
        result = _run(served, "voices", "--model", "tone", VOICEWIRE_API_KEY=key)
        if result.status == 0:
            break
    assert result.status == 0, result.err
    assert key not in result.out + result.err


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"], {}) == 0
    assert re.fullmatch(r"voicewire \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [[], ["sing"], ["say"], ["say", "x", "--speed", "3"], ["say", "x", "--speed", "nan"], ["say", "x", "--seed", "-1"],
     ["say", "x", "--speed", "fast"], ["keys", "rotate", "x", "--overlap", "long"],
     ["keys"], ["keys", "revoke"], ["serve", "--port"]],
)  # fmt: skip
def test_wrong_arguments_are_refused_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments, {})
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert "usage: voicewire" in said
    assert "invalid _" not in said, "a name of ours"


def test_the_help_of_the_server_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"], {})
    said = capsys.readouterr().out
    assert all(f"\n  {row.variable} " in said and row.meaning in said for row in settings())


def test_every_command_has_help() -> None:
    assert all(f"\n    {command} " in parser().format_help() for command in COMMANDS)
