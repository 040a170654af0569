"""One server for all vendors' packages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Served, started
from tests.interop.environments import made


@pytest.fixture(scope="session")
def speaking() -> Iterator[Served]:
    """A real server with its usual engine."""
    if not any(map(made, ("core", "old", "pipecat", "livekit"))):
        pytest.skip("`make interop` has not made its environments")
    with started({"VOICEWIRE_DEFAULT_MODEL": "espeak"}) as served:
        yield served
