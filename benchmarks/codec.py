"""What the codecs cost on one core: our Opus encoder beside PyAV's over the same libopus settings, in the same run.

`ratio` is PyAV's cost by ours, for live Opus at complexity 0: above 1, ours is the cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from av import AudioFrame, CodecContext

from benchmarks.harness import report
from voicewire.codecs.base import open_encoder
from voicewire.codecs.resample import Resampler
from voicewire.types import Codec, Format, Pcm

SECONDS = 10
ROUNDS = 7
MANY = 200  # of what takes microseconds
CHUNK_MS = 60  # as an engine hands it over
RATE_HZ = 24_000
FRAMES = SECONDS * 50


def main() -> None:
    speech, chunks_22k = speechlike(RATE_HZ), chunks(speechlike(22_050), 22_050)
    ours = micros(partial(encode, Format(), speech))
    theirs = micros(partial(encode_with_pyav, speech))
    report(
        name="codec",
        opus_cx0_us_per_frame=ours / FRAMES,
        opus_cx5_us_per_frame=micros(partial(encode, Format(complexity=5), speech)) / FRAMES,
        pcm_s16le_us_per_audio_s=micros(partial(encode, Format(Codec.PCM_S16LE), speech)) / SECONDS,
        mulaw_8k_us_per_audio_s=micros(partial(encode, Format(Codec.MULAW, 8_000), speechlike(8_000))) / SECONDS,
        resample_22050_24000_us_per_audio_s=micros(partial(resample, chunks_22k, 24_000)) / SECONDS,
        resample_22050_8000_us_per_audio_s=micros(partial(resample, chunks_22k, 8_000)) / SECONDS,
        opus_open_us=micros(partial(open_encoder, Format()), MANY),
        opus_reset_us=micros(open_encoder(Format()).flush, MANY),
        resampler_open_us=micros(partial(Resampler, 22_050, 24_000), MANY),
        reference="PyAV over libopus with the same settings",
        reference_opus_cx0_us_per_frame=theirs / FRAMES,
        ratio=theirs / ours,
    )


def micros(work: Callable[[], object], times: int = 1) -> float:
    """Microseconds of processor time for one run of `work`: the least of several, for others share the machine."""
    return min(timed(work, times) for _ in range(ROUNDS)) / times


def timed(work: Callable[[], object], times: int) -> float:
    begun = time.thread_time_ns()
    for _ in range(times):
        work()
    return (time.thread_time_ns() - begun) / 1_000


def encode(format: Format, pcm: Pcm) -> int:
    encoder = open_encoder(format)
    return sum(len(encoder.encode(chunk)) for chunk in chunks(pcm, format.rate_hz))


def encode_with_pyav(pcm: Pcm) -> int:
    context = CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format, context.bit_rate = RATE_HZ, "mono", "s16", 32_000
    context.options = {"application": "lowdelay", "compression_level": "0", "vbr": "constrained"}
    packets = 0
    for chunk in chunks(pcm, RATE_HZ):
        frame = AudioFrame.from_ndarray(chunk.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        packets += len([bytes(packet) for packet in context.encode(frame)])
    return packets


def resample(pieces: list[Pcm], out_hz: int) -> int:
    resampler = Resampler(22_050, out_hz)
    return sum(resampler.push(piece).size for piece in pieces)


def chunks(pcm: Pcm, rate_hz: int) -> list[Pcm]:
    step = rate_hz * CHUNK_MS // 1000
    return [pcm[at : at + step] for at in range(0, pcm.size, step)]


def speechlike(rate_hz: int) -> Pcm:
    """Voiced syllables over a breath of noise; CELT's cost hardly depends on what it is given."""
    time_s = np.arange(rate_hz * SECONDS) / rate_hz
    voice = sum((np.sin(2 * np.pi * 130 * n * time_s) / n for n in range(1, 20)), np.zeros(time_s.size))
    breath = np.random.default_rng(7).normal(0, 0.01, time_s.size)
    return (6_000 * (0.55 - 0.45 * np.cos(8 * np.pi * time_s)) * (voice + breath)).astype(np.int16)


if __name__ == "__main__":
    main()
