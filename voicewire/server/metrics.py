"""Every metric, in one table, and the page on which Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from voicewire.accounts.mail import Mailer
from voicewire.context import Context
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline
from voicewire.remote.presence import Beat, Member
from voicewire.server.live.journal import Journal
from voicewire.server.live.sessions import Sessions
from voicewire.storage.ledger_service import Counters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_AUDIO_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)

OWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "voicewire_streams": ("connections that stream now", ()),
    "voicewire_streams_refused_total": ("connections refused, by the error's code", ("code",)),
    "voicewire_streams_closed_total": ("connections ended: goodbye, lost, or the code of the server's error", ("why",)),
    "voicewire_streams_resumed_total": ("sessions that went on over a new connection", ("result",)),
    "voicewire_contexts_total": ("utterances ended", ("result",)),
    "voicewire_audio_seconds_total": ("audio handed over", ("transport",)),
    "voicewire_first_audio_seconds": ("from the first text to the first audio handed over", ()),
    "voicewire_tick_lag_seconds": ("how late the shared clock ran", ()),
    "voicewire_job_texts_total": ("texts of jobs, by how they were let go: done, failed, again or lost", ("result",)),
    "voicewire_webhooks_total": ("messages about jobs: delivered, again or given_up", ("result",)),
    "voicewire_errors_total": ("errors told to clients over HTTP, by code", ("code",)),
}
"""What this process counts itself: name → meaning, labels."""

READ: Mapping[str, tuple[str, str]] = {
    "voicewire_outbox_bytes": ("gauge", "bytes that wait for the peer for whom most do"),
    "voicewire_pool_queued": ("gauge", "blocks that wait for a worker"),
    "voicewire_pool_running": ("gauge", "blocks that workers are making"),
    "voicewire_pool_workers": ("gauge", "workers alive"),
    "voicewire_pool_restarts_total": ("counter", "workers that were replaced"),
    "voicewire_pool_retries_total": ("counter", "blocks made once more after their worker died"),
    "voicewire_pool_refused_total": (
        "counter",
        "blocks and utterances refused: the queue was full, or they would have waited too long",
    ),
    "voicewire_pool_cancelled_total": ("counter", "blocks that nobody wanted any more"),
    "voicewire_pool_failed_total": ("counter", "blocks that were given up"),
    "voicewire_pool_halvings_total": ("counter", "batches that were halved because memory ran out"),
    "voicewire_pool_rendered_seconds_total": ("counter", "audio made"),
    "voicewire_pool_wait_seconds": ("gauge", "what a new listener is predicted to wait; beyond queue_wait_ms: busy"),
    "voicewire_clips_bytes": ("gauge", "memory used by clips"),
    "voicewire_clips_hits_total": ("counter", "blocks that were there already"),
    "voicewire_clips_misses_total": ("counter", "blocks that were not in memory"),
    "voicewire_clips_joined_total": ("counter", "blocks that were being made for somebody else already"),
    "voicewire_clips_waited_total": ("counter", "blocks that another gateway made meanwhile"),
    "voicewire_clips_encoded_total": ("counter", "blocks that were encoded anew of what an engine gave before"),
    "voicewire_cache_bytes": ("gauge", "disk used by the cache, where it is known"),
    "voicewire_cache_clips": ("gauge", "what is in the cache, where it is known: blocks by format, and takes"),
    "voicewire_cache_hits_total": ("counter", "blocks that were found in the cache"),
    "voicewire_cache_misses_total": ("counter", "blocks that were looked for in the cache in vain"),
    "voicewire_cache_late_total": ("counter", "blocks for which the cache took too long"),
    "voicewire_cache_written_total": ("counter", "blocks that the cache took"),
    "voicewire_cache_lost_total": ("counter", "blocks that the cache did not take"),
    "voicewire_cache_evicted_total": ("counter", "blocks that the cache let go to stay within its bound"),
    "voicewire_cache_corrupt_total": ("counter", "blocks in the cache that were not whole, and were removed"),
    "voicewire_cache_failures_total": ("counter", "times that the cache could not be used"),
    "voicewire_journal_failures_total": ("counter", "times that Redis could not be asked"),
    "voicewire_journal_sessions_total": ("counter", "sessions written to Redis, each time counted"),
    "voicewire_mails_sent_total": ("counter", "mails that a server took, or that were left in the folder"),
    "voicewire_mails_lost_total": ("counter", "mails that were given up"),
    "voicewire_mails_waiting": ("gauge", "mails that are not sent yet"),
    "voicewire_ledger_entries_total": ("counter", "entries that this gateway carried from Redis to PostgreSQL"),
    "voicewire_ledger_gaps_total": ("counter", "entries missing between those that were carried"),
    "voicewire_ledger_expired_total": ("counter", "holds of gateways that died, ended by this one"),
    "voicewire_ledger_recoveries_total": ("counter", "times that a restarted Redis was brought up to date"),
    "voicewire_ledger_recovery_seconds": ("gauge", "how long the last of them took"),
    "voicewire_ledger_resent_total": ("counter", "bills that were said again"),
    "voicewire_ledger_drifts": ("gauge", "differences that the last comparison found: anything but 0 is an alarm"),
    "voicewire_ledger_facts": ("gauge", "bills that are not known to be recorded"),
    "voicewire_ledger_outbox": ("gauge", "entries that wait for PostgreSQL"),
    "voicewire_ledger_outbox_age_seconds": ("gauge", "how long the oldest of them waits"),
}
"""What is read from elsewhere when Prometheus asks: name → kind, meaning."""

ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "voicewire_worker_lanes": ("gauge", "blocks that it can have open at once"),
    "voicewire_worker_queued": ("gauge", "blocks that it has taken and not begun"),
    "voicewire_worker_running": ("gauge", "blocks that it makes now"),
    "voicewire_worker_draining": ("gauge", "1: it takes nothing more, or has lost its engine"),
    "voicewire_worker_completed_total": ("counter", "blocks made"),
    "voicewire_worker_failed_total": ("counter", "blocks that it gave up"),
    "voicewire_worker_cancelled_total": ("counter", "blocks that nobody wanted any more"),
    "voicewire_worker_lost_total": ("counter", "blocks whose lease it found to be another's, or nobody's"),
    "voicewire_worker_refused_total": ("counter", "answers that came too late: the block was another's"),
    "voicewire_worker_restarts_total": ("counter", "processes that were replaced"),
    "voicewire_worker_halvings_total": ("counter", "batches that were halved because memory ran out"),
    "voicewire_worker_rendered_seconds_total": ("counter", "audio made"),
}
"""What workers on other hosts say of themselves with each heartbeat: name → kind, meaning. Every gateway hears all."""

LEDGER = {"entries": "flushed", "recovery_seconds": "recovery_s", "outbox_age_seconds": "outbox_age_s"}
"""Figures of the ledger that it names otherwise."""


class Readings(Collector):
    """Reads what sessions, pools, clips, journal, ledger and mailer count themselves."""

    def __init__(
        self,
        sessions: Sessions,
        pools: Mapping[str, Pool],
        pipeline: Pipeline,
        journal: Journal,
        ledger: Callable[[], Counters],
        mailer: Mailer,
    ) -> None:
        self._sessions = sessions
        self._pools = pools
        self._pipeline = pipeline
        self._journal = journal
        self._ledger = ledger
        self._mailer = mailer

    def collect(self) -> Iterator[Metric]:
        values = {name: [*self._values(name)] for name in READ}
        for name, (kind, meaning) in READ.items():
            family = (GaugeMetricFamily if kind == "gauge" else CounterMetricFamily)(
                name, meaning, labels=["model"] if name.startswith("voicewire_pool") else []
            )
            for labels, value in values[name]:
                family.add_metric(labels, value)
            yield family

    def _values(self, name: str) -> Iterable[tuple[list[str], float]]:
        subject, _, what = name.removeprefix("voicewire_").removesuffix("_total").partition("_")
        if subject == "outbox":
            return [([], self._sessions.waiting_bytes)]
        if subject == "pool":
            return [([model], self._pool_value(model, pool, what)) for model, pool in self._pools.items()]
        if subject in {"clips", "cache"}:
            return [([], self._pipeline.figures()[f"{subject}_{what}"])]
        if subject == "mails":
            return [([], getattr(self._mailer, what))]
        if subject == "ledger":
            return [([], getattr(self._ledger(), LEDGER.get(what, what)))]
        journal = self._journal
        return [([], {"failures": journal.failures, "sessions": journal.written_sessions}[what])]

    def _pool_value(self, model: str, pool: Pool, what: str) -> float:
        if what == "wait_seconds":
            return pool.outlook().wait_s
        stats = pool.stats()
        if what == "rendered_seconds":
            return stats.rendered_ms / 1000
        if what == "refused":
            return stats.refused + self._pipeline.refused[model]
        value: int = getattr(stats, what)
        return value


class Elsewhere(Collector):
    """Says of workers on other hosts what `members` heard of them."""

    def __init__(self, members: Callable[[], Sequence[Member]]) -> None:
        self._members = members

    def collect(self) -> Iterator[Metric]:
        working = [(name, beat, beat.model.id) for name, _, beat in self._members() if beat.model is not None]
        for name, (kind, meaning) in ELSEWHERE.items():
            what = name.removeprefix("voicewire_worker_").removesuffix("_total")
            family = (GaugeMetricFamily if kind == "gauge" else CounterMetricFamily)(
                name, meaning, labels=["worker", "host", "model"]
            )
            for worker, beat, model in working:
                family.add_metric([worker, beat.host, model], self._value(beat, what))
            yield family

    @staticmethod
    def _value(beat: Beat, what: str) -> float:
        if what == "rendered_seconds":
            return beat.counts.get("rendered_ms", 0) / 1000
        value: float = beat.counts[what] if what in beat.counts else getattr(beat, what, 0)
        return value


class Metrics:
    """This process's counters, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.streams = self._gauge("voicewire_streams")
        self.refused = self._counter("voicewire_streams_refused_total")
        self.closed = self._counter("voicewire_streams_closed_total")
        self.resumed = self._counter("voicewire_streams_resumed_total")
        self.contexts = self._counter("voicewire_contexts_total")
        self.audio_s = self._counter("voicewire_audio_seconds_total")
        self.first_audio_s = self._histogram("voicewire_first_audio_seconds", FIRST_AUDIO_S)
        self.tick_lag_s = self._histogram("voicewire_tick_lag_seconds", LAG_S)
        self.job_texts = self._counter("voicewire_job_texts_total")
        self.webhooks = self._counter("voicewire_webhooks_total")
        self.errors = self._counter("voicewire_errors_total")

    def read(self, readings: Collector) -> None:
        """Ask `readings` too whenever the page is made."""
        self._registry.register(readings)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def observe_context(self, context: Context) -> None:
        """Count an utterance that ended on this connection."""
        result = "done" if context.over and not context.final else "cut" if not context.over else "ended_early"
        self.contexts.labels(result).inc()
        self.audio_s.labels("socket").inc(context.handed_over_ms / 1000)
        if context.first_audio_ms is not None:
            self.first_audio_s.observe(context.first_audio_ms / 1000)

    def count_job_text(self, result: str) -> None:
        """Count a text of a job that was let go."""
        self.job_texts.labels(result).inc()

    def count_webhook(self, result: str) -> None:
        """Count a message about a job."""
        self.webhooks.labels(result).inc()

    def _gauge(self, name: str) -> Gauge:
        meaning, labels = OWN[name]
        return Gauge(name, meaning, labels, registry=self._registry)

    def _counter(self, name: str) -> Counter:
        meaning, labels = OWN[name]
        return Counter(name, meaning, labels, registry=self._registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        meaning, labels = OWN[name]
        return Histogram(name, meaning, labels, buckets=buckets, registry=self._registry)
