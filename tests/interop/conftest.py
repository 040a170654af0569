"""One server for all vendors' packages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Served, started
from tests.interop.environments import made

pytest.register_assert_rewrite("tests.interop.sounds")  # so that what fails there says what it measured


@pytest.fixture(scope="session")
def speaking() -> Iterator[Served]:
    """A real server with its usual engine."""
    if not any(map(made, ("core", "old", "pipecat", "livekit"))):
        pytest.skip("`make interop` has not made its environments")
    with started({"VOICEWIRE_DEFAULT_MODEL": "espeak"}) as served:
        yield served
