"""What the cache adds to first audio: a block from disk beside one from memory, and beside one that is made.

Two servers in one run, asked in turns: `memory` keeps clips in memory only, `disk` in a folder only. Each is asked for
what it has (`hit`), for what it has not (`miss`), and for what it has, but in a format that nobody has asked for before
(`form`), which `disk` encodes of what the engine gave and `memory` has spoken again. The figures are text message sent
→ first Opus frame received.
"""

from __future__ import annotations

import argparse
import asyncio
import random

import uvloop

from benchmarks.asking import Asker
from benchmarks.harness import SENTENCES, Client, Served, connect, percentile, report, served

KNOWN = 40  # texts that were spoken before
KINDS = ("hit", "miss", "form")


class Hearer(Client):
    """Hears a text to its end, so that its clips are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    def message(self, message: dict[str, object]) -> None:
        assert message["type"] != "error", message
        if message["type"] == "done":
            self.over.set()

    async def hear(self, text: str) -> None:
        self.over.clear()
        self.send({"type": "speak", "context": "c", "text": text, "lead_ms": 30_000})
        await self.over.wait()


def known(number: int) -> str:
    return f"Number {number}. {SENTENCES[number % 3]}"


def fresh() -> str:
    return f"Number {random.getrandbits(40)}. {SENTENCES[random.randrange(3)]}"


def text_of(kind: str, number: int) -> str:
    return {"hit": known(random.randrange(KNOWN)), "miss": fresh(), "form": known(number % KNOWN)}[kind]


async def warm(server: Served) -> None:
    hearer = await connect(Hearer, server)
    assert isinstance(hearer, Hearer)
    for number in range(KNOWN):
        await hearer.hear(known(number))
    hearer.transport.disconnect()
    await asyncio.sleep(1)  # what waits is written


async def measure(servers: dict[str, Served], asks: int) -> dict[str, list[float]]:
    """Ask in turns, in any order; return seconds by server and by what was asked for."""
    askers: dict[str, Asker] = {}
    for name, server in servers.items():
        await warm(server)
        asker = await connect(Asker, server)
        assert isinstance(asker, Asker)
        askers[name] = asker
    seconds: dict[str, list[float]] = {f"{name}_{kind}": [] for name in servers for kind in KINDS}
    for number in range(asks):
        for what in random.sample(list(seconds), len(seconds)):
            name, _, kind = what.partition("_")
            askers[name].manner = {"format": {"bitrate": 24_000 + number}} if kind == "form" else {}
            took = await askers[name].ask(number, text_of(kind, number))
            await asyncio.sleep(0.005)
            if number >= asks // 10:
                seconds[what].append(took)
    for asker in askers.values():
        asker.transport.disconnect()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=400)
    options = parser.parse_args()
    with served(cache="noop", workers=1) as memory, served(cache_bytes=0, workers=1) as disk:
        seconds = uvloop.run(measure({"memory": memory, "disk": disk}, options.asks))
    p50 = {what: percentile(values, 0.5) * 1e3 for what, values in seconds.items()}
    p99 = {what: percentile(values, 0.99) * 1e3 for what, values in seconds.items()}
    report(
        name="cache",
        **{f"{what}_p50_ms": value for what, value in p50.items()},
        **{f"{what}_p99_ms": value for what, value in p99.items()},
        disk_adds_ms=p50["disk_hit"] - p50["memory_hit"],
        ratio_disk_to_memory=p50["disk_hit"] / p50["memory_hit"],
        ratio_disk_to_made=p50["disk_hit"] / p50["disk_miss"],
        ratio_miss_with_disk=p50["disk_miss"] / p50["memory_miss"],
        ratio_form_to_made=p50["disk_form"] / p50["memory_form"],
        targets={
            "disk_adds_ms": 1,
            "ratio_miss_with_disk": 1.05,
            "ratio_form_to_made": 1.1,  # made by espeak, the fastest of all
        },
    )


if __name__ == "__main__":
    main()
