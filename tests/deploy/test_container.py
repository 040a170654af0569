"""The container, as far as it can be checked without building it."""

from __future__ import annotations

import re
from pathlib import Path

from voicewire.config import settings

DOCKERFILE = (Path(__file__).parent.parent.parent / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).parent.parent.parent / "Makefile").read_text(encoding="utf-8")
STAGE = DOCKERFILE[DOCKERFILE.index(" AS runtime\n") :]  # and the two that add the program to it


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


def test_what_is_run_adds_only_the_program_to_what_was_looked_at() -> None:
    _, *targets = re.split(r"^FROM ", STAGE, flags=re.MULTILINE)
    assert [target.splitlines()[0] for target in targets] == ["runtime AS kokoro", "runtime AS voicewire"]
    assert all(re.fullmatch(r"COPY --from=\S+ /opt/voicewire /opt/voicewire", t.splitlines()[1]) for t in targets)


def test_what_is_installed_is_pinned() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 5
    ours = [line for line in installs if line.endswith(" .")]
    assert all("--no-deps" in line and "--no-build-isolation" in line for line in ours)
    locked = [line for line in installs if ".lock" in line]
    assert len(ours) + len(locked) + 1 == len(installs), "all but torch, whose version is said here"
    assert re.findall(r"^ARG TORCH=(.+)", DOCKERFILE, re.MULTILINE) == re.findall(
        r"^TORCH = (.+)", MAKEFILE, re.MULTILINE
    )


def test_how_it_is_to_be_run_holds_it_tight() -> None:
    head = DOCKERFILE[: DOCKERFILE.index("\nFROM ")]
    for flag in ("--read-only", "--cap-drop ALL", "no-new-privileges", "--pids-limit", "--publish 127.0.0.1:"):
        assert flag in head
    [stop_s] = re.findall(r"--stop-timeout (\d+)", head)
    [drain] = [row for row in settings() if row.name == "drain_s"]
    assert isinstance(drain.default, float)
    assert int(stop_s) > drain.default
