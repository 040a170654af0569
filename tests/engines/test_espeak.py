"""The espeak engine, on the real library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.engine_contract import EngineContract
from voicewire.engines.base import Engine
from voicewire.engines.espeak import open_engine


class TestEspeak(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = open_engine()
        yield engine
        engine.close()
