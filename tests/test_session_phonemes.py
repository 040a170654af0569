"""Phonemes in the protocol: who asks, of a model that knows them, is told."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.test_session import TEXT, speak
from voicewire import frames
from voicewire.catalogue import Catalogue
from voicewire.session import Limits, Session
from voicewire.types import Model, Voice


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("asks", [True, False])
def test_phonemes_for_those_who_ask_of_a_model_that_knows_them(asks: bool, knows: bool) -> None:
    voices = [Voice("v", "Vera", "m", "en-US")]
    one = Session(Limits(), Catalogue([(Model("m", "Model", 24_000, "v", phonemes=knows), voices)], "m"))
    got = speak(one, phonemes=asks)
    assert isinstance(got[0], frames.Opened)
    assert (got[0].phonemes is True) == (asks and knows)
    told = [phoneme for each in got if isinstance(each, frames.Phonemes) for phoneme in each.phonemes]
    assert "".join(symbol for symbol, _, _ in told) == ("".join(filter(str.isalnum, TEXT)) if asks and knows else "")
    assert all(before[2] <= after[1] for before, after in pairwise(told))
