"""Kokoro beside its own loop, in one run: passes by batch size, half precision by module, and listeners at once.

`python -m benchmarks.kokoro [cpu | cuda] [full]`; without an argument CUDA where there is one. Weights are random, of
the true architecture: they cost what real ones cost. On a processor a few texts are measured, with `full` as many as
on CUDA. `ratio` is our audio seconds per second, with all listeners at once, by those of the package's own `KModel`
called for one text after the other, as its `KPipeline` does and every server on it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.harness import percentile, report
from tests.engines.kokoro_folder import TRUE, make_folder
from voicewire.engines.kokoro_batch import Plain
from voicewire.engines.kokoro_model import Folder, Network, Request
from voicewire.engines.kokoro_quiet import quiet
from voicewire.engines.kokoro_voices import Part

RATE_HZ = 24_000
VOICE = (Part("af_heart", 1.0),)
SOUNDS = "həlˈO wˈɜɹld ðɪs ɪz ɐ sˈɛntəns ðæt ɡˈOz ˈɔn ænd ˈɔn "


class Size(NamedTuple):
    """How much is measured."""

    batches: tuple[int, ...]
    listeners: tuple[int, ...]
    buckets: tuple[int, ...]  # phonemes of a text alone
    first: int  # phonemes of a listener's first block
    blocks: tuple[int, ...]  # and of those that follow
    rounds: int
    clock: Callable[[], float] = time.perf_counter  # of throughput; that of first audio is the listener's


FULL = Size((1, 8, 32), (1, 4, 16, 64), (20, 50, 100, 200, 400), 30, (30, 60, 90, 120), 5)
SMALL = Size((1, 4), (1, 4), (10, 30), 6, (12,), 1)


def main(words: Sequence[str]) -> None:
    device = next((word for word in words if word != "full"), "cuda" if torch.cuda.is_available() else "cpu")
    size = FULL if "full" in words or device == "cuda" else SMALL
    if device == "cpu":  # its neighbours' work is not counted
        size = size._replace(clock=time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        files = Folder(make_folder(Path(folder) / "model", TRUE))
        exact = opened(files, device, "fp32", 1)
        figures = half_errors(exact, opened(files, device, "bf16", 1), size)
        del exact
        alone = own_loop(files, device, size)
        figures["alone_audio_s_per_s"] = alone
        network = opened(files, device, "auto", max(size.batches))
        figures |= sweep(network, size) | passes(network, size) | crowds(network, size)
    report(
        name="kokoro",
        device=torch.cuda.get_device_name() if device == "cuda" else "one thread of a processor, by its own time",
        **figures,
        reference="kokoro's own KModel, one text after the other, as KPipeline calls it",
        ratio=figures[f"batched_{size.listeners[-1]}_audio_s_per_s"] / alone,
    )


def opened(files: Folder, device: str, precision: str, rows: int) -> Network:
    return Network(files, device=device, threads=1, precision=precision, rows=rows)


def text(phonemes: int) -> str:
    return (SOUNDS * (phonemes // len(SOUNDS) + 1))[:phonemes]


def requests(sizes: Sequence[int]) -> dict[int, Request]:
    return {nth: Request(text(size), VOICE, 1.0, nth) for nth, size in enumerate(sizes)}


def speak(network: Network, sizes: Sequence[int], clock: Callable[[], float]) -> tuple[float, float]:
    """Speak texts of these sizes; return the seconds of audio, and those it took."""
    begun = clock()
    audio = 0.0
    for _, outcome in network.speak(requests(sizes)):
        assert not isinstance(outcome, Exception), outcome
        audio += len(outcome.pcm) / RATE_HZ
    return audio, clock() - begun


def median_speed(speak_once: Callable[[], tuple[float, float]], rounds: int) -> float:
    """Audio seconds per second, in the median, after a round that is not counted."""
    speak_once()
    made = [speak_once() for _ in range(rounds)]
    return statistics.median(audio / took for audio, took in made)


def passes(network: Network, size: Size) -> dict[str, float]:
    """A pass by batch size: with graphs where there are any, and without."""
    figures = {}
    for rows in size.batches:
        once = partial(speak, network, [size.blocks[0]] * rows, size.clock)
        figures[f"pass_{rows}_audio_s_per_s"] = median_speed(once, size.rounds)
        if not isinstance(network.batches.sounding, Plain):
            with eager(network):
                figures[f"eager_pass_{rows}_audio_s_per_s"] = median_speed(once, size.rounds)
    return figures


@contextmanager
def eager(network: Network) -> Iterator[None]:
    """Without graphs."""
    graphs, network.batches.sounding = network.batches.sounding, Plain(network.vocoder)
    try:
        yield
    finally:
        network.batches.sounding = graphs


def sweep(network: Network, size: Size) -> dict[str, float]:
    """Milliseconds for a text alone, by phonemes."""
    figures = {}
    for phonemes in size.buckets:
        speak(network, [phonemes], size.clock)
        figures[f"{phonemes}_phonemes_ms"] = 1000 * statistics.median(
            speak(network, [phonemes], size.clock)[1] for _ in range(size.rounds)
        )
    return figures


def own_loop(files: Folder, device: str, size: Size) -> float:
    """The package as it is: a text at a time, weight norm in every pass."""
    with quiet():
        from kokoro import KModel

        model = KModel(repo_id="hexgrad/Kokoro-82M", config=str(files.config), model=str(files.weights))
    model = model.to(device).eval()
    pack = torch.load(files.voice(VOICE[0].voice), weights_only=True).to(device)

    def once() -> tuple[float, float]:
        begun, audio = size.clock(), 0.0
        for phonemes in map(text, size.blocks):
            audio += model(phonemes, pack[len(phonemes) - 1], 1.0).numel() / RATE_HZ
        return audio, size.clock() - begun

    return median_speed(once, size.rounds)


def crowds(network: Network, size: Size) -> dict[str, float]:
    """Listeners who come at once, each for a short first block and then longer ones: batched, and one by one."""
    figures = {}
    for listeners in size.listeners:
        for way, rows in (("unbatched", 1), ("batched", max(size.batches))):
            network.batches.rows_max = rows
            speed, firsts = crowd(network, listeners, size)
            figures[f"{way}_{listeners}_audio_s_per_s"] = speed
            figures[f"{way}_{listeners}_first_audio_p95_ms"] = 1000 * percentile(firsts, 0.95)
    return figures


def crowd(network: Network, listeners: int, size: Size) -> tuple[float, list[float]]:
    """Return audio seconds per second, and when each listener's first block was there."""
    begun, begun_work, audio, firsts = time.perf_counter(), size.clock(), 0.0, list[float]()
    for phonemes in (size.first, *size.blocks):
        for _, outcome in network.speak(requests([phonemes] * listeners)):
            assert not isinstance(outcome, Exception), outcome
            audio += len(outcome.pcm) / RATE_HZ
            if len(firsts) < listeners:
                firsts.append(time.perf_counter() - begun)
    return audio / (size.clock() - begun_work), firsts


def half_errors(exact: Network, half: Network, size: Size) -> dict[str, float]:
    """How far bfloat16 is off, by the relative norm of the difference behind each of the generator's parts.

    Durations and pitch are not computed in half precision, and so is the source: all that is compared has the same
    input. A waveform cannot be compared, since phases amplify any rounding.
    """
    there, here = stages(exact, size), stages(half, size)
    return {f"half_error_{name}": float((here[name] - each).norm() / each.norm()) for name, each in there.items()}


def stages(network: Network, size: Size) -> dict[str, Any]:
    """What the generator's parts make of one text, in float32."""
    generator, seen = network.net.decoder.generator, dict[str, Any]()
    parts = {f"up_{nth}": each for nth, each in enumerate(generator.ups)}
    parts |= {f"noise_{nth}": each for nth, each in enumerate(generator.noise_convs)}
    hooks = [
        each.register_forward_hook(lambda _, __, made, name=name: seen.__setitem__(name, made.float().clone()))
        for name, each in (parts | {"spectrum": generator.conv_post}).items()
    ]
    with eager(network):
        speak(network, [size.first], size.clock)
    for hook in hooks:
        hook.remove()
    return seen


if __name__ == "__main__":
    main(sys.argv[1:])
