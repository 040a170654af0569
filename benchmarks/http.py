"""One-shot HTTP: `POST /v1/tts` of a ten-word sentence, each another, as many a second as two cores give.

The reference, in the same run: the same server and body, `GET /health`, which is what HTTP alone costs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time

import uvloop

from benchmarks.harness import Served, percentile, report, served

KNOWN = (
    "able about above accident across actor afternoon again agree almost alone along already always amber among "
    "ancient angry animal another answer apple april arrive artist autumn away baker balance banner basket battle "
    "beach beauty become before began behind believe below bench beside better between beyond bicycle bitter "
    "blanket blossom border borrow bottle bottom branch brave bread bridge bright bring broken brother brown "
    "bucket building burning butter button cabin candle captain careful carry castle cattle center certain chapel "
    "cheerful cherry children chimney circle city clever climate cloudy coffee colour common company copper "
    "corner cotton country cousin cover crowded curtain dancer danger daughter december deliver desert different "
    "dinner distant doctor dollar double driver during eager early earth eastern eleven empty engine enough "
    "evening every explain family famous farmer father feather fellow finger finish flower follow foreign forest "
    "forget forty friend frozen garden gentle golden grandfather gravel hammer happy harbour harvest heavy hidden "
    "history holiday honest humble hundred hungry island january jelly journey jungle kettle kitchen ladder "
    "language lantern later laughter leather lemon letter listen little lonely lower lucky market master meadow "
    "message middle minute mirror modern moment monday monkey morning mother mountain music narrow never night "
    "noble number ocean often "
)
WORDS = KNOWN.split()
END = b"0\r\n\r\n"


def sentence(number: int) -> str:
    """Return ten words, others for each number: wherever it is cut, no part was spoken before."""
    return " ".join(random.Random(number).choices(WORDS, k=10)).capitalize() + "."


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
