"""What a start loads: a library that it does not need is paid for by every server, worker and test."""

from __future__ import annotations

import subprocess
import sys

import pytest

OF_GATEWAYS = ("asyncpg", "fastapi", "pydantic", "redis", "sentencex", "starlette", "uvicorn", "uvloop", "websockets")
OF_FEW = ("aiosmtplib", "av", "httpx", "jwt", "obstore", "rich", "soundfile", "torch", "zeroconf")

WORKER = "voicewire.worker, voicewire.engines.{engine}"
GATEWAY = "voicewire.__main__, voicewire.commands.target, voicewire.server.app"


def loaded(modules: str) -> set[str]:
    """The packages that a fresh interpreter has after importing `modules`."""
    code = f"import sys, {modules}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("engine", ["espeak", "tone"])
def test_a_worker_loads_its_engine_and_nothing_of_a_gateway(engine: str) -> None:
    found = loaded(WORKER.format(engine=engine))
    assert {"numpy", "voicewire"} <= found
    assert found.isdisjoint({"asyncio", *OF_GATEWAYS, *OF_FEW})


def test_a_gateway_loads_what_few_need_when_it_is_needed() -> None:
    found = loaded(GATEWAY)
    assert set(OF_GATEWAYS) <= found
    assert found.isdisjoint(OF_FEW)
