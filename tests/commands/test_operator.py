"""The operator's commands, on a data folder whose server runs and on one whose server does not."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from tests.conftest import Served
from voicewire.__main__ import main
from voicewire.commands.grant import Gift, give
from voicewire.commands.operator import DISAGREEMENT, DOUBT, billing_of, open_operator
from voicewire.commands.plans import list_plans, set_plan, show_plan
from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.remote.presence import Beat, Fleet
from voicewire.remote.scripts import FleetCalls


async def test_without_a_server(tmp_path: Path) -> None:
    out = io.StringIO()
    async with open_operator(Config(data_dir=tmp_path)) as operator:
        await list_plans(operator, out)
        for _ in range(2):
            await give(operator, "home", Gift(seconds=60, id="a", why="thanks"), out)
        await set_plan(operator, "home", "pro", out)
        assert await operator.store.fetchval("SELECT sum(ms) FROM grants WHERE kind = 'admin'") == 60_000
        await give(operator, "home", Gift(reverse="admin:home:a", why="a mistake"), out)
        assert await operator.store.fetchval("SELECT left_ms FROM grants WHERE id = 'admin:home:a'") == 0
    names = [line.split()[0] for line in out.getvalue().splitlines()]
    assert names == ["id", "home", "free", "basic", "pro", "enterprise", "home", "home", "home", "home"]
    assert out.getvalue().count("home has 60 s more: admin:home:a\n") == 2
    assert "home has the plan pro until " in out.getvalue()
    assert out.getvalue().endswith("home has 60 s less: admin:home:a\n")


@pytest.mark.parametrize(("billing", "balance"), [(True, "the balance"), (False, "no balance")])
async def test_what_nobody_can_say_without_a_server_is_said(tmp_path: Path, billing: bool, balance: str) -> None:
    out = io.StringIO()
    async with open_operator(Config(data_dir=tmp_path, billing=billing)) as operator:
        await set_plan(operator, "home", "pro", out)
        await show_plan(operator, "home", out)
        assert out.getvalue().endswith(
            f"; {balance} limits speech\n{DOUBT}: that is with VOICEWIRE_BILLING={'on' if billing else 'off'}\n"
        )
        for name in ("one", "two"):
            await Fleet(operator.redis, FleetCalls()).beat(name, Beat(kind="gateway", billing=name == "one"))
        assert await billing_of(Config(billing=billing), operator.redis) == (billing, DISAGREEMENT)
        await Fleet(operator.redis, FleetCalls()).leave("two")
        assert await billing_of(Config(billing=billing), operator.redis) == (True, "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("grant t_cli 99999999999", "must be a whole number from 1 to 2,147,483,647"),
        ("grant t_cli some", "must be a whole number from 1 to 2,147,483,647"),
        ("usage --from yesterday", "must be a day such as 2026-01-31, not 'yesterday'"),
    ],
)
def test_what_an_argument_must_be_is_said(line: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(line.split(), {})
    assert why in capsys.readouterr().err


def test_beside_a_server_that_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    def says(line: str, **environ: str) -> str:
        status = main([*line.split(), "--data", str(served.data_dir)], environ)
        said = capsys.readouterr()
        return said.out if status == Exit.OK else f"{status}: {said.err}"

    asyncio.run(_tenant(served, "t_cli"))
    assert says("plans quotas t_cli --streams 3").endswith('\nbeside it: {"streams": 3}\n')
    assert says("plans set t_cli pro").startswith("t_cli has the plan pro until ")
    shown = says("plans show t_cli")
    assert shown.startswith("t_cli has the plan pro until ")
    assert "\n15,000 s are left of what was given\n" in shown
    assert shown.endswith(" streams, 10,000,000 characters; no balance limits speech\n")
    assert says("plans show t_cli", VOICEWIRE_BILLING="on") == shown, "it is the server's that counts"
    assert says("grant t_cli 5 --days 1 --id a").startswith("t_cli has 5 s more until ")
    assert "there already" in says("grant t_cli 6 --id a")
    assert says("grant home --reverse admin:t_cli:a") == "1: voicewire: there is no such thing here\n"
    for _ in range(2):
        assert says("grant t_cli --reverse admin:t_cli:a") == "t_cli has 5 s less: admin:t_cli:a\n"
    assert says("plans set t_cli gold") == "1: voicewire: there is no such thing here\n"
    assert says("plans show nobody@example.org") == "1: voicewire: there is no such thing here\n"


async def _tenant(served: Served, tenant: str) -> None:
    async with open_operator(Config(data_dir=served.data_dir)) as operator:
        await operator.store.execute("INSERT INTO tenants (id, name) VALUES ($1, 'a')", tenant)
        await operator.store.execute(
            "INSERT INTO subscriptions (tenant, plan, period_start, period_end)"
            " VALUES ($1, 'free', now(), now() + interval '1 month')",
            tenant,
        )


async def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="there is no data folder") as refused:
        async with open_operator(Config(data_dir=tmp_path / "none")):
            pass
    assert refused.value.exit == Exit.USAGE
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments", ["home", "home 0", "home 1 --package a", "home --refund c --package a", "home 1 --reverse a"]
)
def test_arguments_that_are_not_right(tmp_path: Path, arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["grant", *arguments.split(), "--data", str(tmp_path)], {})
    assert ended.value.code == Exit.USAGE
