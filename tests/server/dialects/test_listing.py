"""Pages of voices, where no server is needed to see it."""

from __future__ import annotations

from voicewire.server.dialects.listing import each_once, page
from voicewire.types import Voice


def test_two_models_with_a_voice_of_one_name_do_not_send_a_client_round_in_a_circle() -> None:
    voices = each_once(
        Voice(id, id, model, "en") for model in ("one", "two") for id in ("a", "B" if model == "one" else "b")
    )
    assert [(voice.model, voice.id) for voice in voices] == [("one", "a"), ("one", "B")]
    seen, last, more = [], "", True
    while more:
        found, more = page(voices, 1, last)
        last = found[-1].id
        seen.append(last)
    assert seen == ["a", "B"]
