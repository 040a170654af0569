"""`voicewire top`: what it finds in a real Redis, and how it shows that."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.conftest import Served
from voicewire.__main__ import main
from voicewire.commands.fleet import Line, Look, look
from voicewire.commands.problems import Exit
from voicewire.commands.top import CLEAR_BELOW, ENTER, LEAVE, as_json, page
from voicewire.remote.keys import GROUP, RUNGS, Keys
from voicewire.remote.presence import Beat, Fleet, Member
from voicewire.remote.scripts import FleetCalls
from voicewire.types import Model

MODEL = Model(
    id="kokoro", name="Kokoro", description="", default_voice="af_heart", rate_hz=24_000, languages=("en-US",), lanes=4
)
PATIENCE_S = 30.0


async def wait_in(redis: Redis, rung: str, *, taken: int, left: int) -> None:
    """Blocks of a rung, of which a worker has taken the first."""
    key = Keys("kokoro").queue(rung)
    await redis.xgroup_create(key, GROUP, "0", mkstream=True)
    for _ in range(taken + left):
        await redis.xadd(key, {"job": "a"})
    if taken:
        await redis.xreadgroup(GROUP, "w1", {key: ">"}, count=taken)


async def test_it_finds_the_fleet_and_what_waits(redis: Redis) -> None:
    fleet = Fleet(redis, FleetCalls())
    await fleet.beat("g1", Beat(kind="gateway", host="a", streams=7))
    await fleet.beat("w1", Beat(kind="worker", host="b", model=MODEL, lanes=4, running=2))
    await wait_in(redis, "live", taken=2, left=3)
    await wait_in(redis, "batch", taken=1, left=0)
    await redis.xadd(Keys("kokoro").dead, {"job": "b"})
    seen = await look(redis, ["tone"])
    assert [(each.name, each.beat.streams) for each in seen.gateways] == [("g1", 7)]
    assert [(each.name, each.beat.running) for each in seen.workers] == [("w1", 2)]
    lines = {(line.model, line.rung): line for line in seen.lines}
    assert set(lines) == {(model, rung) for model in ("kokoro", "tone") for rung in RUNGS}
    live, batch = lines["kokoro", "live"], lines["kokoro", "batch"]
    assert (live.waiting, live.making) == (3, 2)
    assert 0 <= live.lag_s < PATIENCE_S
    assert (batch.waiting, batch.making, batch.lag_s) == (0, 1, 0.0)
    assert lines["tone", "due"] == Line("tone", "due", 0, 0, 0.0)
    assert seen.given_up == {"kokoro": 1, "tone": 0}


async def test_a_model_whose_workers_are_all_gone_is_shown_as_long_as_a_gateway_asks_for_it(redis: Redis) -> None:
    await Fleet(redis, FleetCalls()).beat("g1", Beat(kind="gateway", host="a", models=("kokoro",)))
    await wait_in(redis, "due", taken=1, left=2)
    seen = await look(redis, [])
    assert {line.model for line in seen.lines} == {"kokoro"}
    _, queues, _ = page(seen, "").split("\n\n")
    assert queues.splitlines()[1].split()[:2] == ["kokoro", "2"]
    assert queues.splitlines()[1].split()[-2:] == ["0", "0"], "no workers, none given up"


async def test_the_lag_is_that_of_the_oldest_block_that_nobody_took(redis: Redis) -> None:
    key, now_s = Keys("kokoro").queue("due"), (await redis.time())[0]
    await redis.xgroup_create(key, GROUP, "0", mkstream=True)
    for age_s in (600, 60, 1):
        await redis.xadd(key, {"job": "a"}, id=f"{(now_s - age_s) * 1000}-0")
    await redis.xreadgroup(GROUP, "w1", {key: ">"}, count=1)
    [due] = [line for line in (await look(redis, ["kokoro"])).lines if line.rung == "due"]
    assert 60 <= due.lag_s < 60 + PATIENCE_S


def seen() -> Look:
    gateways = (
        Member("g1", 0.1, Beat(kind="gateway", host="a", version="1.0", streams=7)),
        Member("g2", 0.1, Beat(kind="gateway", host="b", version="1.1", streams=5, draining=True)),
    )
    counts = {"completed": 12, "failed": 1}
    workers = (Member("w1", 2.5, Beat(kind="worker", host="\x1b[2Jc", model=MODEL, lanes=4, running=2, counts=counts)),)
    lines = tuple(Line("kokoro", rung, at, 1, at / 2) for at, rung in enumerate(RUNGS))
    return Look(1_700_000_000.25, gateways, workers, lines, {"kokoro": 3})


def test_a_page_has_a_table_for_each() -> None:
    head, *tables = page(seen(), "redis://a:***@b:1").split("\n\n")
    assert head == "2 gateways, 1 worker, 12 streams on redis://a:***@b:1 at 22:13:20 UTC"
    queues, gateways, workers = ([line.split() for line in table.splitlines()] for table in tables)
    assert gateways[1:] == [["g1", "a", "1.0", "7", "0", "0", "ready"], ["g2", "b", "1.1", "5", "0", "0", "draining"]]
    assert workers[1] == ["w1", "kokoro", "[2Jc", "4", "2", "12", "1", "silent", "for", "2.5", "s"]
    assert queues[1] == ["kokoro", "0", "1", "2", "3", "4", "5", "2.0", "s", "1", "3"]
    assert "\x1b" not in page(seen(), ""), "what another host says cannot steer the terminal"


@pytest.mark.parametrize("lines", [3, 5, 6, 9, 12, 16, 23, 40])
def test_a_low_terminal_shows_what_waits_and_as_many_members_as_it_has_room_for(lines: int) -> None:
    few = seen()
    many = few._replace(
        gateways=tuple(few.gateways[0]._replace(name=f"g{nth}") for nth in range(10)),
        workers=tuple(few.workers[0]._replace(name=f"w{nth}") for nth in range(10)),
    )
    shown = page(many, "", lines).splitlines()
    assert len(shown) <= lines
    named = {kind: sum(line.startswith(kind) and line[1].isdigit() for line in shown) for kind in "gw"}
    assert any(line.startswith("kokoro") for line in shown) == (lines > 3)
    assert (sum(named.values()) == 20) == (lines >= 28)
    if lines >= 12:
        hidden = sum(int(line.split()[2]) for line in shown if line.startswith("… and"))
        assert (sum(named.values()) + hidden, min(named.values()) > 0) == (20, True)


def test_an_object_has_all_of_it() -> None:
    told = json.loads(as_json(seen()))
    assert as_json(seen()).count("\n") == 1
    assert told["at"] == "2023-11-14T22:13:20.250+00:00"
    assert [(each["name"], each["streams"], each["draining"]) for each in told["gateways"]] == [
        ("g1", 7, False),
        ("g2", 5, True),
    ]
    assert told["workers"][0]["model"] == "kokoro"
    assert told["queues"][1] == {"model": "kokoro", "rung": RUNGS[1], "waiting": 1, "making": 1, "lag_s": 0.5}


def test_once_beside_a_server_that_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert main(["top", "--once", "--json", "--data", str(served.data_dir)], {}) == Exit.OK
        told = json.loads(capsys.readouterr().out)
        if told["gateways"] or time.monotonic() > deadline:
            break
    [gateway] = told["gateways"]
    assert gateway["version"]
    assert not gateway["draining"]
    assert main(["top", "--data", str(served.data_dir)], {}) == Exit.OK, "no terminal: once"
    assert gateway["name"] in capsys.readouterr().out


def test_where_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--data", str(tmp_path)], {}) == Exit.UNREACHABLE
    assert "no server runs on" in capsys.readouterr().err
    away = {"VOICEWIRE_REDIS_URL": f"unix://{tmp_path}/none.sock"}
    assert main(["top", "--once", "--data", str(tmp_path)], away) == Exit.UNREACHABLE
    assert "Redis does not answer" in capsys.readouterr().err


def test_on_a_terminal_it_is_drawn_anew_until_it_is_stopped(redis_url: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "voicewire", "top", "--data", str(tmp_path)]
    environ = {"PATH": os.defpath, "TERM": "xterm", "VOICEWIRE_REDIS_URL": redis_url, "COLUMNS": "40", "LINES": "10"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environ, start_new_session=True)
    os.close(theirs)
    try:
        drawn = read_until(ours, lambda text: text.count(CLEAR_BELOW) >= 2)
        process.send_signal(signal.SIGINT)
        drawn += read_until(ours, lambda text: LEAVE in text)
        assert process.wait(PATIENCE_S) == Exit.INTERRUPTED
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert drawn.startswith(ENTER)
    assert "0 gateways, 0 workers, 0 streams on" in drawn
    assert drawn.rstrip().endswith(LEAVE)


def read_until(terminal: int, enough: Callable[[str], bool]) -> str:
    text, deadline = "", time.monotonic() + PATIENCE_S
    while not enough(text) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                text += os.read(terminal, 65_536).decode()
    return text
