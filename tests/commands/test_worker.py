"""`voicewire worker`: what it needs, and what it is called."""

from __future__ import annotations

import pytest

from voicewire.__main__ import main
from voicewire.commands.problems import Exit
from voicewire.commands.worker import NAME_CHARS_MAX, worker_name


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
