"""What metering costs a listener: first audio, and the live socket's work for a frame, with billing on beside off.

Off is the reference: what is spoken is recorded, and nobody waits for it. On: every block waits for its hold, and
every utterance is counted against its plan. Both servers run at once for first audio, and are asked in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random

import httpx
import uvloop

from benchmarks.asking import Asker
from benchmarks.capacity import Crowd, measure, warm
from benchmarks.harness import KEY, SENTENCES, Served, connect, percentile, report, served

SECONDS = 10_000_000
REQUESTS_MINUTE = 900_000  # counted, and never too many
ROUNDS = 10


def meter(server: Served) -> None:
    """Limit the benchmark's tenant to more seconds than it will use."""
    origin = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=origin, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as admin:
        quotas = {"seconds": SECONDS, "requests_minute": REQUESTS_MINUTE}
        admin.put("/admin/tenants/home/quotas", json=quotas).raise_for_status()
        grant = {"tenant": "home", "seconds": SECONDS, "note": "benchmark"}
        admin.post("/admin/grants", json=grant).raise_for_status()
        balance_ms = admin.get("/v1/users/me/credits").json()["balance_ms"]
    assert balance_ms, "nothing is metered"


async def first_audio(servers: list[Served], asks: int) -> list[list[float]]:
    """Ask the servers in turns; return the seconds of each."""
    askers = [await connect(Asker, server) for server in servers]
    seconds: list[list[float]] = [[] for _ in servers]
    number = 0
    for _ in range(ROUNDS):
        order = random.sample(range(len(servers)), len(servers))
        for which in order:
            asker = askers[which]
            assert isinstance(asker, Asker)
            for _ in range(asks // ROUNDS):
                number += 1
                seconds[which].append(await asker.ask(number, SENTENCES[number % 3]))
                await asyncio.sleep(0.03)
    for asker in askers:
        asker.transport.disconnect()
    return [each[20:] for each in seconds]


def per_frame(streams: int, seconds: float, *, billing: bool) -> dict[str, float]:
    """Serve cached streams on one core; return lateness and work."""
    crowd = Crowd(1, " ".join(SENTENCES * 2), 1, seconds)
    with served([0], streams_max=20_000, log_level="error", billing="on" if billing else "off") as server:
        if billing:
            meter(server)
        warm(server, crowd)
        return measure(server, streams, crowd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--streams", type=int, default=800)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    with (
        served(cache_bytes=0, cache="noop", billing="off") as off,
        served(cache_bytes=0, cache="noop", billing="on") as on,
    ):
        meter(on)
        off_s, on_s = uvloop.run(first_audio([off, on], options.asks))
    cores = len(os.sched_getaffinity(0))
    off_frames = per_frame(options.streams, options.seconds, billing=False) if cores > 1 else {}
    on_frames = per_frame(options.streams, options.seconds, billing=True) if cores > 1 else {}
    report(
        name="metering",
        first_audio_p50_ms=percentile(on_s, 0.5) * 1e3,
        first_audio_p99_ms=percentile(on_s, 0.99) * 1e3,
        reference="the same with billing off",
        reference_p50_ms=percentile(off_s, 0.5) * 1e3,
        reference_p99_ms=percentile(off_s, 0.99) * 1e3,
        more_p50_ms=(percentile(on_s, 0.5) - percentile(off_s, 0.5)) * 1e3,
        streams=options.streams,
        us_per_frame=on_frames.get("us_per_frame"),
        reference_us_per_frame=off_frames.get("us_per_frame"),
        ratio=on_frames["us_per_frame"] / off_frames["us_per_frame"] if cores > 1 else None,
        late_p99_ms=on_frames.get("p99_ms"),
        reference_late_p99_ms=off_frames.get("p99_ms"),
        targets={"more_p50_ms": 1, "ratio": 1.1},
    )


if __name__ == "__main__":
    main()
