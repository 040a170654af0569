"""What a session refuses, and what its connection outlives."""

from __future__ import annotations

import pytest

from tests.test_session import sent, session, speak
from voicewire import frames
from voicewire.errors import BadRequest
from voicewire.session import BAD_MESSAGES_MAX, Close, Limits


def test_contexts_are_limited() -> None:
    one = session(Limits(contexts=2))
    for name in "abc":
        last = sent(one.receive(frames.Open(name), 0.0))[-1]
    assert isinstance(last, frames.Error)
    assert last.code == "too_many_contexts"


@pytest.mark.parametrize("models", [frozenset({"other"}), frozenset()])
def test_a_model_that_the_plan_lacks_is_refused_and_the_socket_lives(models: frozenset[str]) -> None:
    one = session(Limits(models=models))
    for message in (frames.Open("c"), frames.Speak("c", model="m", text="Hi.")):
        [refusal] = sent(one.receive(message, 0.0))
        assert isinstance(refusal, frames.Error)
        assert (refusal.code, refusal.context, one.contexts) == ("forbidden", "c", {})
    one.limits = Limits(models=models | {"m"})
    assert isinstance(speak(one, "Hi.")[-1], frames.Done)


def test_nonsense_is_borne_for_a_while() -> None:
    one = session()
    for _ in range(BAD_MESSAGES_MAX - 1):
        assert len(one.refuse(BadRequest(problem="x"))) == 1
    assert isinstance(one.refuse(BadRequest(problem="x"))[-1], Close)
