"""compose.yaml, read by Docker Compose itself; nothing is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from voicewire.config import Config, settings

ROOT = Path(__file__).parent.parent.parent
SECRETS = dict.fromkeys(("POSTGRES_PASSWORD", "REDIS_PASSWORD"), "0123456789abcdef" * 4) | {
    "VOICEWIRE_KEY_PEPPER": "p" * 64,
    "VOICEWIRE_JWT_SECRET": "j" * 64,
}
ROWS = {row.variable: row for row in settings()}


def compose(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose", path=os.pathsep.join((str(Path(sys.executable).parent), os.defpath)))
    assert program, "make install-dev"
    command = [program, "--file", str(ROOT / "compose.yaml"), "--env-file", os.devnull, "config", "--format", "json"]
    return subprocess.run(command, env={"HOME": "/nonexistent", **environ}, capture_output=True, text=True, check=False)


@cache
def services() -> dict[str, Any]:
    done = compose(SECRETS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def ours() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((name, each) for name, each in services().items() if each["image"] == "voicewire")


def seconds(duration: str) -> int:
    minutes, _, rest = duration.rpartition("m")
    return 60 * int(minutes or 0) + int(rest.removesuffix("s"))


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_has_a_default(name: str) -> None:
    done = compose({other: value for other, value in SECRETS.items() if other != name})
    assert done.returncode
    assert name in done.stderr


def test_there_are_a_gateway_and_two_workers() -> None:
    assert {name for name, _ in ours()} == {"gateway", "worker"}
    assert services()["worker"]["deploy"]["replicas"] == 2
    assert services()["gateway"]["command"][0] == "serve"
    assert services()["worker"]["command"][0] == "worker"


def test_what_they_are_told_is_in_the_table_of_settings() -> None:
    for name, service in ours():
        for variable, value in service["environment"].items():
            assert variable in ROWS, name
            assert isinstance(value, str)
        Config.from_env(service["environment"])


def test_a_worker_knows_redis_and_no_other_secret() -> None:
    told = [variable for variable in services()["worker"]["environment"] if ROWS[variable].secret]
    assert told == ["VOICEWIRE_REDIS_URL"]


def test_nothing_can_do_more_than_it_must() -> None:
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        if name != "postgres":  # which takes its folder over as root, and lets go of that
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"], name


def test_only_the_gateway_is_reached_and_from_this_machine_only() -> None:
    shown = {name: service.get("ports", []) for name, service in services().items()}
    assert [name for name, ports in shown.items() if ports] == ["gateway"]
    assert [port["host_ip"] for port in shown["gateway"]] == ["127.0.0.1"]
    assert all(set(service["networks"]) == {"back"} for name, service in services().items() if name != "gateway")


def test_a_stop_waits_for_what_runs() -> None:
    for name, each in ours():
        assert seconds(each["stop_grace_period"]) > float(each["environment"]["VOICEWIRE_DRAIN_S"]) + 10, name


def test_redis_keeps_what_it_is_told() -> None:
    lines = services()["redis"]["command"][-1].splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction", "requirepass $$REDIS_PASSWORD"} <= set(lines)
    assert SECRETS["REDIS_PASSWORD"] not in " ".join(services()["redis"]["command"])


def test_who_needs_a_store_waits_until_it_is_well() -> None:
    for name, needs in {"gateway": {"postgres", "redis"}, "worker": {"redis"}}.items():
        waits = services()[name]["depends_on"]
        assert {store for store, how in waits.items() if how["condition"] == "service_healthy"} == needs
        assert all("test" in services()[store]["healthcheck"] for store in needs)
