"""The container, as far as it can be checked without building it."""

from __future__ import annotations

import re
from pathlib import Path

from voicewire.config import settings

DOCKERFILE = (Path(__file__).parent.parent.parent / "Dockerfile").read_text(encoding="utf-8")
STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", STAGE.replace("\\\n", " "), re.MULTILINE)


def test_nobody_is_root_in_it() -> None:
    users = instructions("USER")
    assert users
    assert int(users[-1].partition(":")[0]) >= 10_000
    assert STAGE.index("\nUSER ") < STAGE.index("\nENTRYPOINT ")


def test_one_port_is_shown_and_it_is_ours() -> None:
    assert instructions("EXPOSE") == ["8080"], "what is embedded listens on no port"


def test_no_secret_and_nothing_fetched_is_in_it() -> None:
    names = re.findall(r"(VOICEWIRE_[A-Z_]+)=", DOCKERFILE)
    rows = {row.variable: row for row in settings()}
    assert names
    assert not [name for name in names if rows[name].secret]
    assert not re.search(r"^ADD |curl |wget |https?://(?!127\.0\.0\.1)", DOCKERFILE, re.MULTILINE)


def test_how_it_is_to_be_run_holds_it_tight() -> None:
    head = DOCKERFILE[: DOCKERFILE.index("\nFROM ")]
    for flag in ("--read-only", "--cap-drop ALL", "no-new-privileges", "--pids-limit", "--publish 127.0.0.1:"):
        assert flag in head
    [stop_s] = re.findall(r"--stop-timeout (\d+)", head)
    [drain] = [row for row in settings() if row.name == "drain_s"]
    assert isinstance(drain.default, float)
    assert int(stop_s) > drain.default
