from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from tests.contracts.engine_contract import EngineContract, speak
from voicewire.engines.base import Engine
from voicewire.engines.tone import open_engine
from voicewire.errors import EngineFailed
from voicewire.types import Utterance

PRINT_DIGEST = """
import hashlib
from voicewire.engines.tone import open_engine
from voicewire.types import Utterance
digest = hashlib.sha256()
for chunk in open_engine().synthesize(Utterance("Equal in every process.", "high", speed=1.1)):
    digest.update(chunk.pcm.tobytes() + repr(chunk.words).encode())
print(digest.hexdigest())
"""


class TestTone(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = open_engine()
        yield engine
        engine.close()


def test_every_process_makes_the_same_samples() -> None:
    digests = {subprocess.check_output([sys.executable, "-c", PRINT_DIGEST]) for _ in range(2)}
    assert len(digests) == 1


def test_words_are_exactly_where_the_beeps_are() -> None:
    spoken = speak(open_engine(), "One two, three.", "low")
    sounding = np.zeros(len(spoken.pcm), bool)
    for word in spoken.words:
        sounding[word.begins : word.ends] = True
        assert np.abs(spoken.pcm[word.begins : word.ends]).max() > 10_000
    assert not spoken.pcm[~sounding].any()


def test_a_marker_fails_at_its_word_and_not_before() -> None:
    engine = open_engine(fail_on="bad", chunk_ms=60)
    chunks = engine.synthesize(Utterance("Good good bad good.", "middle"))
    assert next(chunks).words[0] == (0, 4, 600, 600 + 24 * 240)
    with pytest.raises(EngineFailed):
        list(chunks)


def test_a_marker_ends_the_process() -> None:
    script = PRINT_DIGEST.replace("open_engine()", "open_engine(crash_on='every')")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 70


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError):
        open_engine(sped=2)
