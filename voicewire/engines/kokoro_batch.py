"""Several texts in one pass through the network: rows padded as little as can be, each handed out when it is spoken.

What a row becomes depends on its text, voice, speed and seed alone, up to rounding, not on the rows beside it: see
`kokoro_extent` for how that is kept, and the tests for how far.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from voicewire.engines.kokoro_extent import Extent
from voicewire.engines.kokoro_groups import groups
from voicewire.engines.kokoro_rhythm import Read, Rhythm
from voicewire.engines.kokoro_vocoder import Stretched, Vocoder, stretch
from voicewire.types import Pcm

SEEDS = 2**63
LOUD = 32767

Made = TypeVar("Made")


class Row(NamedTuple):
    """One text: its phonemes' numbers with the edges, `(1, 256)` numbers of a voice, speed and seed."""

    nth: int  # what the caller calls it
    ids: list[int]
    style: Any
    speed: float
    seed: int


class Spoken(NamedTuple):
    """A row's audio, and how many frames each of its phonemes lasts, edges included."""

    pcm: Pcm
    durations: list[int]


Outcome = Spoken | OSError | RuntimeError


class Sounding(Protocol):
    """The vocoder as it is run on a device."""

    def shape(self, rows: int, frames: int) -> tuple[int, int]:
        """The rows and frames to pad to."""
        ...

    def __call__(self, given: Stretched, *, whole: bool) -> Any: ...


class Plain:
    """The vocoder run as it stands, at any shape."""

    def __init__(self, vocoder: Callable[..., Any]) -> None:
        self._vocoder = vocoder

    def shape(self, rows: int, frames: int) -> tuple[int, int]:
        return rows, frames

    def __call__(self, given: Stretched, *, whole: bool) -> Any:
        return self._vocoder(given, whole=whole)


class Flight(NamedTuple):
    """A group under way: on CUDA its audio arrives some time after it was asked for."""

    rows: list[Row]
    durations: list[list[int]]
    pcm: Any
    finite: Any
    arrived: Any  # an event; None where it is there already

    def landed(self, frame_samples: int) -> list[tuple[int, Outcome]]:
        """Wait for it; return what became of each row."""
        if self.arrived is not None:
            self.arrived.synchronize()
        finite, pcm = self.finite.tolist(), self.pcm.numpy()
        return [
            (row.nth, _checked(pcm[nth, : sum(frames) * frame_samples], frames, finite[nth]))
            for nth, (row, frames) in enumerate(zip(self.rows, self.durations, strict=True))
        ]


def _checked(pcm: Pcm, durations: list[int], finite: bool) -> Outcome:
    return Spoken(pcm.copy(), durations) if finite else RuntimeError("the model's audio is not finite")


class Batches:
    """The network, for any number of rows. `rows_max` and `area_max` (rows times steps) bound a pass.

    When memory runs out, a group is tried again in halves, `area_max` stays down, and `halvings` says how often.
    """

    def __init__(
        self, rhythm: Rhythm, sounding: Sounding, *, like: Any, frame_samples: int, rows_max: int, area_max: int
    ) -> None:
        """`like` is any of the network's tensors: where it is, and of which type, the others are."""
        self.rows_max = rows_max
        self.area_max = area_max
        self.halvings = 0
        self.sounding = sounding
        self._rhythm, self._frame_samples = rhythm, frame_samples
        self._device, self._dtype = like.device, like.dtype
        self._on_cuda = like.device.type == "cuda"
        self._flights_max = 2 if self._on_cuda else 1  # the next is launched before one is waited for

    def speak(self, rows: Sequence[Row], dropped: Collection[int] = ()) -> Iterator[tuple[int, Outcome]]:
        """Yield what becomes of each row, as soon as it is known; the first rows first, as far as that goes.

        `dropped` holds what is not wanted any more, and may grow meanwhile. Raises `RuntimeError` when torch gives up.
        """
        sizes = [len(row.ids) for row in rows]
        waiting = deque(groups(sizes, self.rows_max, self.area_max))
        while waiting:
            group = _wanted(waiting.popleft(), rows, dropped)
            read = self._tried(lambda group: self._read([rows[nth] for nth in group]), group, sizes, waiting)
            if isinstance(read, Read):
                yield from self._sound(read, [rows[nth] for nth in group], dropped)
            elif read:
                yield rows[group[0]].nth, read

    def capture(self, vocoder: Vocoder) -> None:
        """On CUDA: replay passes from now on, instead of launching their kernels one by one."""
        from voicewire.engines.kokoro_graphs import Graphs

        torch.backends.cudnn.benchmark = True  # shapes come again and again
        row = Row(0, [0, 0], torch.zeros(1, 256), 1.0, 0)
        read = self._read([row])
        with torch.inference_mode():
            frames = int(read.durations.sum())
            widths = stretch(read, frames, self._noise([row], [frames], (1, frames * self._frame_samples)))
            self.sounding = Graphs(vocoder, widths, self.rows_max, self.area_max)
            self.sounding.warm()

    def _sound(self, read: Read, rows: list[Row], dropped: Collection[int]) -> Iterator[tuple[int, Outcome]]:
        durations = [each[: len(row.ids)] for each, row in zip(read.durations.tolist(), rows, strict=True)]
        sizes = [sum(each) for each in durations]
        waiting, flights = deque(groups(sizes, self.rows_max, self.area_max)), deque[Flight]()
        while waiting or flights:
            if not waiting or len(flights) == self._flights_max:
                yield from flights.popleft().landed(self._frame_samples)
                continue
            group = _wanted(waiting.popleft(), rows, dropped)
            flight = self._tried(lambda group: self._launched(read, rows, durations, group), group, sizes, waiting)
            if isinstance(flight, Flight):
                flights.append(flight)
            elif flight:
                yield rows[group[0]].nth, flight

    def _tried(
        self, run: Callable[[list[int]], Made], group: list[int], sizes: list[int], waiting: deque[list[int]]
    ) -> Made | RuntimeError | None:
        """Run a group. When memory runs out, put its halves in front; a row alone gets the error instead."""
        if not group:
            return None
        try:
            return run(group)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self.halvings += 1
        self.area_max = min(self.area_max, len(group) * max(sizes[nth] for nth in group) // 2)
        if self._on_cuda:
            torch.cuda.empty_cache()
        if len(group) == 1:
            return RuntimeError("there is no memory for a single row")
        middle = len(group) // 2
        waiting.extendleft([group[middle:], group[:middle]])
        return None

    def _read(self, rows: list[Row]) -> Read:
        sizes = [len(row.ids) for row in rows]
        size = max(sizes)
        with torch.inference_mode():
            ids = self._sent([[*row.ids, *[0] * (size - len(row.ids))] for row in rows], torch.long)
            extent = Extent(self._sent(sizes, torch.long), size, whole=min(sizes) == size)
            styles = self._over(torch.cat([row.style for row in rows]).to(self._dtype))
            return self._rhythm(ids, extent, styles, self._sent([row.speed for row in rows], self._dtype))

    def _launched(self, read: Read, rows: list[Row], durations: list[list[int]], group: list[int]) -> Flight:
        frames = [sum(durations[nth]) for nth in group]
        height, width = self.sounding.shape(len(group), max(frames))
        chosen, spoken = [rows[nth] for nth in group], [durations[nth] for nth in group]
        with torch.inference_mode():
            picked = self._sent([*group, *[group[-1]] * (height - len(group))], torch.long)
            noise = self._noise(chosen, frames, (height, width * self._frame_samples))
            given = stretch(Read(*(each[picked] for each in read)), width, noise)
            audio = self.sounding(given, whole=min(frames) == width)[: len(group)]
            return Flight(chosen, spoken, *self._back(audio, given.counts[: len(group)]))

    def _noise(self, rows: list[Row], frames: list[int], shape: tuple[int, int]) -> Any:
        """Every row has noise of its own seed, as long as itself: the same, whatever stands beside it."""
        noise = torch.zeros(shape, device=self._device, dtype=self._dtype)
        for nth, row in enumerate(rows):
            generator = torch.Generator(self._device).manual_seed(row.seed % SEEDS)
            noise[nth, : frames[nth] * self._frame_samples].normal_(generator=generator)
        return noise

    def _sent(self, values: Sequence[Any], kind: Any) -> Any:
        return self._over(torch.tensor(values, dtype=kind))

    def _over(self, tensor: Any) -> Any:
        """Bring a tensor to the device; from pinned memory that does not wait for what is under way there."""
        return (tensor.pin_memory() if self._on_cuda else tensor).to(self._device, non_blocking=True)

    def _back(self, audio: Any, counts: Any) -> tuple[Any, Any, Any]:
        """Start to bring the audio here as 16 bit, whether each row is finite, and the event of their arrival."""
        steps = torch.arange(audio.shape[1], device=self._device)
        finite = (audio.isfinite() | (steps >= counts[:, None] * self._frame_samples)).all(1)
        pcm = (audio.nan_to_num().clamp_(-1, 1) * LOUD).round_().to(torch.int16)
        if not self._on_cuda:
            return pcm, finite, None
        here = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in (pcm, finite)]
        for target, source in zip(here, (pcm, finite), strict=True):
            target.copy_(source, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return here[0], here[1], arrived


def _wanted(group: list[int], rows: Sequence[Row], dropped: Collection[int]) -> list[int]:
    return [nth for nth in group if rows[nth].nth not in dropped]


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was no room: on a device torch has a type for it, on a processor only words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
