"""What tests of calls take without asking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Served, started
from tests.telephony.carrier import SECRET


@pytest.fixture(scope="session")
def answering() -> Iterator[Served]:
    """A server with an account at a carrier."""
    with started({"VOICEWIRE_TWILIO_AUTH_TOKEN": SECRET}) as served:
        yield served
