"""One-shot HTTP: `POST /v1/tts` of a ten-word sentence, each another, as many a second as two cores give.

The reference, in the same run: the same server and body, `GET /health`, which is what HTTP alone costs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time

import uvloop

from benchmarks.harness import Served, percentile, report, served

PARTS = (
    ("Seven", "Some", "Many", "Few", "Most", "All", "Nine", "Our", "Their", "Those"),
    ("eager", "old", "careful", "young", "tired", "famous", "quiet", "clever", "patient", "honest"),
    ("writers", "teachers", "drivers", "doctors", "farmers", "readers", "singers", "painters", "sailors", "bakers"),
    ("never meant to", "always wanted to", "often tried to", "rarely had to", "finally came to", "seldom cared to"),
    ("finish", "follow", "carry", "borrow", "forget", "collect", "deliver", "explain", "improve", "repair"),
    ("such long", "these heavy", "those simple", "her yellow", "his broken", "the other", "that many", "your first"),
    ("books.", "stories.", "letters.", "baskets.", "engines.", "bottles.", "wagons.", "records."),
)  # ten words
END = b"0\r\n\r\n"


def sentence(number: int) -> str:
    """Return one of 3,840,000 sentences of ten words, another for each number."""
    words = []
    for part in PARTS:
        number, choice = divmod(number, len(part))
        words.append(part[choice])
    return " ".join(words)


class Caller:
    """One connection that is kept alive."""

    def __init__(self, server: Served, numbers: itertools.count[int] | None) -> None:
        self._server = server
        self._numbers = numbers
        self.seconds: list[float] = []
        self.errors = 0
        self.audio_bytes = 0

    async def run(self, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port, limit=1 << 22)
        while (started := time.perf_counter()) < until:
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                self.errors += 1
                break
            if self._numbers is not None:
                self.audio_bytes += len(await reader.readuntil(END))
            else:
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.seconds.append(time.perf_counter() - started)
        writer.close()

    def _request(self) -> bytes:
        if self._numbers is None:
            return b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        body = json.dumps({"text": sentence(next(self._numbers))}).encode()
        head = f"POST /v1/tts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._server.key}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def call(
    server: Served, callers: int, seconds: float, numbers: itertools.count[int] | None = None
) -> dict[str, float]:
    """Return what `callers` reach together: of speech where there are `numbers` of sentences, else of `/health`."""
    all_callers = [Caller(server, numbers) for _ in range(callers)]
    started = time.perf_counter()
    await asyncio.gather(*(caller.run(started + seconds) for caller in all_callers))
    lasted = time.perf_counter() - started
    times = [each for caller in all_callers for each in caller.seconds]
    return {
        "per_s": len(times) / lasted,
        "p50_ms": percentile(times, 0.5) * 1e3,
        "p99_ms": percentile(times, 0.99) * 1e3,
        "errors": sum(caller.errors for caller in all_callers),
        "audio_s": sum(caller.audio_bytes for caller in all_callers) / 44_100,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with served(log_level="error") as server:
        numbers = itertools.count()
        uvloop.run(call(server, options.callers, 2.0, numbers))
        ours = uvloop.run(call(server, options.callers, options.seconds, numbers))
        theirs = uvloop.run(call(server, options.callers, 3.0))
    report(
        name="http",
        callers=options.callers,
        requests_per_s=ours["per_s"],
        p50_ms=ours["p50_ms"],
        p99_ms=ours["p99_ms"],
        errors=ours["errors"],
        audio_s_per_request=ours["audio_s"] / max(1.0, ours["per_s"] * options.seconds),
        reference="GET /health of the same server",
        reference_per_s=theirs["per_s"],
        ratio=ours["per_s"] / theirs["per_s"],
        target=150,
    )


if __name__ == "__main__":
    main()
