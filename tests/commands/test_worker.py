"""`voicewire worker`: what it needs, and what it is called."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import redis_server
from voicewire.__main__ import main
from voicewire.commands.problems import Exit
from voicewire.commands.worker import NAME_CHARS_MAX, worker_name

PATIENCE_S = 60.0


def test_without_a_redis_it_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--engine", "tone"], {}) == Exit.USAGE
    assert "give --redis or VOICEWIRE_REDIS_URL" in capsys.readouterr().err


def test_weights_are_for_engines_that_have_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--engine", "tone", "--model", "/srv/weights"], {}) == Exit.USAGE
    assert "the engine tone has no weights" in capsys.readouterr().err


def test_an_engine_that_does_not_start_says_why(capsys: pytest.CaptureFixture[str], redis_url: str) -> None:
    environ = {"VOICEWIRE_REDIS_URL": redis_url}
    assert main(["worker", "--engine", "dia", "--workers", "1", "--model", "/nowhere"], environ) == Exit.USAGE
    assert "the engine dia does not start" in capsys.readouterr().err


def test_no_two_workers_have_one_name() -> None:
    names = {worker_name("gpu 1:a"), worker_name("gpu 1:a")}
    assert len(names) == 2
    assert all(name.startswith("gpu-1-a-") for name in names)
    assert len(worker_name("x" * 1_000)) < 2 * NAME_CHARS_MAX


def test_it_says_that_it_speaks_once_redis_knows_it(tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    command = [sys.executable, "-m", "voicewire", "worker", "--engine", "tone", "--workers", "1"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    server = None
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--redis", f"unix://{socket}"], stdout=subprocess.PIPE, stderr=log, env=environ
        )
    try:
        assert process.stdout
        tried = _patiently(lambda: "Redis did not do what was asked" in (tmp_path / "log").read_text())
        assert tried
        assert not select.select([process.stdout], [], [], 0.5)[0], "nobody can ask it for anything"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
        server = subprocess.Popen([redis_server(), *options], stdout=subprocess.DEVNULL)
        assert b"speaks tone" in process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE_S) == Exit.OK
    finally:
        for each in filter(None, (process, server)):
            each.kill()
            each.communicate()


def _patiently(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_a_worker_that_ends_with_its_whole_group_says_nothing_of_its_processes(redis_url: str) -> None:
    """As systemd ends it: each of its processes gets the signal."""
    command = [sys.executable, "-m", "voicewire", "worker", "--engine", "tone", "--workers", "2", "--redis", redis_url]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ, start_new_session=True)
    try:
        assert process.stdout
        assert "speaks tone" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == Exit.OK
    assert log == ""
