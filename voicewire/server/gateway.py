"""The parts of a gateway: the one place that builds everything and hands it down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from voicewire.accounts.voices import Voices
from voicewire.auth.authenticate import Authenticator
from voicewire.auth.principal import HOME_TENANT
from voicewire.auth.tickets import TicketStore
from voicewire.config import Config
from voicewire.engines.pooling import Pool
from voicewire.errors import Busy
from voicewire.frames import Parser
from voicewire.pipeline import Pipeline
from voicewire.server.accounts import Accounts, open_accounts
from voicewire.server.caching import Caching, open_caching
from voicewire.server.dialects.aliases import FILE, Aliases
from voicewire.server.edits import Edited
from voicewire.server.heartbeat import start_heartbeat
from voicewire.server.jobs.opening import Jobs, Needs, build_jobs
from voicewire.server.keyring import Keyring, open_keyring
from voicewire.server.live.journal import Journal
from voicewire.server.live.machinery import Machinery, Settings
from voicewire.server.live.sessions import Admission, Sessions
from voicewire.server.live.ticker import Ticker
from voicewire.server.live.watch import Watch
from voicewire.server.metering import Meter
from voicewire.server.metrics import Metrics, Readings
from voicewire.server.paying import Refunds, open_ledger
from voicewire.server.pools import follow_voices, open_pools
from voicewire.server.storage import Storage, open_storage
from voicewire.server.tasks import supervise, together
from voicewire.server.telephony.mount import Lines, build_lines
from voicewire.server.workers import follow_workers
from voicewire.session import Limits
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.store import Store

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway's parts, as the application needs them."""

    config: Config
    storage: Storage
    accounts: Accounts
    pools: Mapping[str, Pool]
    pipeline: Pipeline
    sessions: Sessions
    machinery: Machinery
    metrics: Metrics
    authenticator: Authenticator
    tickets: TicketStore
    keyring: Keyring
    voices: Voices
    jobs: Jobs
    lines: Lines
    aliases: Aliases

    @property
    def redis(self) -> Redis:
        return self.storage.redis

    @property
    def store(self) -> Store:
        return self.storage.store


@contextlib.asynccontextmanager
async def open_gateway(config: Config) -> AsyncIterator[Gateway]:
    """Start Redis, PostgreSQL, the engines and the clock; stop them in the opposite order."""
    opened = False
    async with contextlib.AsyncExitStack() as stack:
        storing = asyncio.create_task(open_storage(config, stack, lambda: opened), name="storage")
        engines = asyncio.create_task(open_pools(config, stack), name="engines")
        await together(storing, engines)
        service = await open_ledger(storing.result(), stack)
        accounts = open_accounts(config, storing.result(), service.ledger, stack)
        keyring = await open_keyring(config, storing.result(), accounts.news, stack)
        caching = await open_caching(config, storing.result().redis, stack)
        gateway = _assemble(config, storing.result(), service, accounts, keyring, engines.result(), caching)
        stack.callback(gateway.pipeline.close)
        stack.callback(gateway.machinery.ticker.close)
        supervise(stack, "journal", gateway.machinery.journal.run)
        stack.push_async_callback(gateway.machinery.meter.drain)
        supervise(stack, "meter", gateway.machinery.meter.run)
        await _follow_voices(gateway, stack)
        gateway.jobs.start(stack)
        gateway.lines.start(stack)
        _follow_aliases(gateway, stack)
        supervise(stack, "watch", Watch(gateway.sessions, gateway.authenticator, gateway.accounts.news).run)
        start_heartbeat(stack, gateway.redis, gateway.sessions, gateway.pools, billing=config.billing)
        await follow_workers(config, gateway.redis, engines.result(), gateway.voices, gateway.metrics, stack)
        if config.default_model not in gateway.pools:
            LOGGER.warning("nothing here speaks the default model %s yet: another does meanwhile", config.default_model)
        opened = True
        yield gateway


def _follow_aliases(gateway: Gateway, stack: contextlib.AsyncExitStack) -> None:
    folder = gateway.config.data_dir

    def take(aliases: Aliases) -> bool:
        for row in aliases.vain(gateway.voices.catalogue(HOME_TENANT)):
            LOGGER.warning("%s: %s, which is not here now", FILE, row)
        return gateway.aliases.take(aliases)

    edited = Edited(folder / FILE, partial(Aliases.read, folder), take)
    supervise(stack, "aliases", edited.run)


async def _follow_voices(gateway: Gateway, stack: contextlib.AsyncExitStack) -> None:
    migrated = gateway.storage.migrated

    async def follow() -> None:
        await migrated.wait()
        await gateway.voices.run()

    if migrated.is_set():
        with contextlib.suppress(Busy):
            await gateway.voices.load()
    supervise(stack, "voices", follow)
    supervise(stack, "voices of engines", partial(follow_voices, gateway.pools, gateway.voices.offer))


def _assemble(
    config: Config,
    storage: Storage,
    service: LedgerService,
    accounts: Accounts,
    keyring: Keyring,
    pools: Mapping[str, Pool],
    caching: Caching,
) -> Gateway:
    engines = [(pool.model, pool.voices) for pool in pools.values()]
    voices = Voices(storage.store, accounts.news, engines, config.default_model)
    metrics, pipeline = Metrics(), caching.pipeline(pools, voices.public, config.queue_wait_ms / 1000)
    journal = Journal(storage.redis, interval_s=config.journal_ms / 1000, resume_s=config.resume_s)
    ticker = Ticker(config.tick_ms / 1000, metrics.tick_lag_s.observe)
    settings = Settings(_limits(config), config.stall_s, config.resume_s, config.resume_bytes_max, config.default_model)
    refundable, admit = Refunds(accounts.rates).allowed, accounts.limiter.admit_context
    meter = Meter(service.ledger, admit, accounts.plans.permille, refundable, limited=config.billing)
    machinery = Machinery(settings, pipeline, ticker, journal, meter, Parser(), metrics.observe_context)
    admission = Admission(config.streams_max, config.outbox_bytes_max)
    tickets = TicketStore(storage.redis, lifetime_s=config.ticket_s)
    authenticator = Authenticator(keyring.cache, keyring.pepper, tickets, accounts.plans.limits, accounts.people.people)
    sessions = Sessions(machinery, admission, accounts.limiter, voices.catalogue)
    metrics.read(Readings(sessions, pools, pipeline, journal, service.counters, accounts.people.mailer))
    needs = Needs(
        storage,
        pools,
        pipeline,
        meter,
        service.ledger,
        accounts.limiter,
        authenticator,
        voices.catalogue,
        keyring.pepper,
        metrics,
        lambda: sessions.draining,
    )
    return Gateway(
        config,
        storage,
        accounts,
        pools,
        pipeline,
        sessions,
        machinery,
        metrics,
        authenticator,
        tickets,
        keyring,
        voices,
        build_jobs(config, needs),
        build_lines(config, storage.redis, keyring.pepper),
        Aliases.read(config.data_dir),
    )


def _limits(config: Config) -> Limits:
    return Limits(
        config.contexts_max,
        config.text_chars_max,
        config.message_bytes_max,
        int(config.idle_s),
        config.lead_ms,
        config.lead_ms_max,
        config.prefetch_ms,
        config.first_wait_ms,
        int(config.resume_s),
    )
