"""What is counted of an utterance that ends, and that every name on the page is of the tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.made import make
from tests.test_context_restore import plan
from voicewire.context import Context
from voicewire.engines.tone import open_engine
from voicewire.remote.presence import Beat, Member
from voicewire.server.metrics import ELSEWHERE, OWN, READ, Elsewhere, Metrics

TEXT = "One two three."
AUDIO_S = len(TEXT) * 3 * 0.02  # as `tests.made` speaks it


def values(metrics: Metrics) -> dict[str, float]:
    """Every counter that is not 0, by its name and labels."""
    families = text_string_to_metric_families(metrics.page().decode())
    samples = [sample for family in families for sample in family.samples if not sample.name.endswith("_created")]
    return {" ".join([each.name, *each.labels.values()]): each.value for each in samples if each.value}


def speak(sent: int) -> Context:
    """An utterance of which so many frames were sent."""
    context = Context(plan())
    context.text(TEXT, 5.0)
    context.end()
    make(context, 5.0)
    context.take(5.25, sent)
    return context


def cancelled() -> Context:
    context = speak(20)
    context.final = b"what ended it"
    context.cancel(None)
    return context


def test_an_utterance_that_was_heard_whole() -> None:
    metrics = Metrics()
    context = speak(1_000)
    assert context.over
    metrics.observe_context(context)
    counted = values(metrics)
    assert counted["voicewire_contexts_total done"] == 1
    assert counted["voicewire_audio_seconds_total socket"] == pytest.approx(AUDIO_S)
    assert counted["voicewire_first_audio_seconds_sum"] == 0.25


def test_one_that_was_cut_off_and_one_that_was_cancelled_count_what_was_sent() -> None:
    for context, result in ((speak(20), "cut"), (cancelled(), "ended_early")):
        metrics = Metrics()
        metrics.observe_context(context)
        counted = values(metrics)
        assert counted[f"voicewire_contexts_total {result}"] == 1
        assert counted["voicewire_audio_seconds_total socket"] == pytest.approx(0.4)


def test_one_that_never_sounded_has_no_first_sound() -> None:
    metrics = Metrics()
    metrics.observe_context(Context(plan()))
    assert values(metrics) == {"voicewire_contexts_total cut": 1}


def test_what_workers_elsewhere_say_of_themselves_is_told_of_each() -> None:
    counts = {"completed": 7, "failed": 1, "lost": 2, "rendered_ms": 12_500, "what a later release counts": 3}
    beat = Beat(kind="worker", host="b7", model=open_engine().model, lanes=4, running=3, draining=True, counts=counts)
    members = [Member("b7-1", 0.1, beat), Member("a", 0.1, Beat(kind="gateway", host="a", counts={"completed": 9}))]
    metrics = Metrics()
    metrics.read(Elsewhere(lambda: members))
    of = "b7 tone b7-1"  # labels by their names
    assert values(metrics) == {
        f"voicewire_worker_lanes {of}": 4,
        f"voicewire_worker_running {of}": 3,
        f"voicewire_worker_draining {of}": 1,
        f"voicewire_worker_completed_total {of}": 7,
        f"voicewire_worker_failed_total {of}": 1,
        f"voicewire_worker_lost_total {of}": 2,
        f"voicewire_worker_rendered_seconds_total {of}": 12.5,
    }
    members.clear()
    assert values(metrics) == {}, "who is gone is not told of"


def test_what_is_to_be_watched_is_counted_and_of_mail_and_ledger_all_is_said() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(voicewire_\w+)`", page))
    assert named <= {*OWN, *READ, *ELSEWHERE}
    assert {name for name in READ if name.startswith(("voicewire_mails", "voicewire_ledger"))} - named == {
        "voicewire_ledger_entries_total"  # which is no alarm
    }
