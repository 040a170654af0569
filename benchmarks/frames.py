"""Frames: what a message costs to parse and to serialize, and a frame of audio to pack.

The reference, in the same run: the same messages through the standard library's `json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from benchmarks.harness import report
from voicewire import frames

TEXT = '{"type":"text","context":"c1","text":"a few words, "}'
OPEN = '{"type":"open","context":"c1","voice":"en-us","speed":1.25,"format":{"codec":"opus","rate":24000,"bundle":5}}'
WORDS = frames.Words("c1", 3, [(n * 6, n * 6 + 5, n * 300, n * 300 + 280) for n in range(15)])
PACKET = bytes(80)


def us(call: Callable[[], object]) -> float:
    """Processor microseconds for one call, the best of several rounds."""
    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        for _ in range(20_000):
            call()
        best = min(best, time.process_time() - started)
    return best / 20_000 * 1e6


def main() -> None:
    parser = frames.Parser()
    words = json.loads(frames.serialize(WORDS))
    parse, reference = us(lambda: parser.client(TEXT)), us(lambda: json.loads(TEXT))
    report(
        name="frames",
        parse_text_us=parse,
        parse_open_us=us(lambda: parser.client(OPEN)),
        serialize_words_us=us(lambda: frames.serialize(WORDS)),
        pack_audio_us=us(lambda: frames.pack_audio(1, 0, 412, 197_760, [PACKET])),
        pack_bundle_us=us(lambda: frames.pack_audio(1, 0, 412, 197_760, [PACKET] * 5)),
        reference="json of the standard library, which checks nothing",
        reference_parse_text_us=reference,
        reference_serialize_words_us=us(lambda: json.dumps(words).encode()),
        ratio=parse / reference,
    )


if __name__ == "__main__":
    main()
