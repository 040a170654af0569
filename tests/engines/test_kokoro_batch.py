"""Rows of a batch beside single passes through Kokoro's own code, with random weights.

In float64, so that only masks are compared: the model amplifies rounding by itself. A change of 1e-6 in pitch changes
its waveform in float32 by 15 %, and none of its durations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contracts.engine_contract import checked
from tests.engines.kokoro_folder import NARROW, TRUE, make_folder, make_network
from voicewire.engines.batch import Batch
from voicewire.engines.kokoro import KokoroEngine, open_engine
from voicewire.engines.kokoro_model import fold_weight_norm
from voicewire.errors import BadRequest, EngineFailed
from voicewire.types import Chunk, Utterance

MISSING = [name for name in ("torch", "kokoro") if find_spec(name) is None]
pytestmark = [
    pytest.mark.kokoro,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

TOLERANCE = 1e-6  # of samples between about -2 and 2
STEPS = 1  # of 16 bit: what lies between two of them may be rounded either way
FRAME = 600


class Twin:
    """The package's model in float64, and ours over the same weights."""

    def __init__(self, config: dict[str, Any], *, rows_max: int = 32, area_max: int = 4_000) -> None:
        import torch

        from voicewire.engines.kokoro_batch import Batches, Plain
        from voicewire.engines.kokoro_rhythm import Rhythm
        from voicewire.engines.kokoro_vocoder import Vocoder

        torch.manual_seed(0)
        self.net = make_network(config).requires_grad_(False)
        fold_weight_norm(self.net)
        self.net.double()
        self._singles: dict[tuple[int, int], tuple[Any, list[int]]] = {}
        self.rhythm, self.vocoder = Rhythm(self.net), Vocoder(self.net)
        like = self.net.decoder.F0_conv.weight
        self.batches = Batches(
            self.rhythm, Plain(self.vocoder), like=like, frame_samples=FRAME, rows_max=rows_max, area_max=area_max
        )

    def row(self, nth: int, phonemes: int) -> Any:
        """A random text of that length, with a voice, a speed and a seed of its own."""
        import torch

        from voicewire.engines.kokoro_batch import Row

        generator = torch.Generator().manual_seed(nth)
        ids = torch.randint(1, 100, (phonemes,), generator=generator).tolist()
        style = torch.randn(1, 256, generator=generator) * 0.15
        return Row(nth, [0, *ids, 0], style, (1.0, 0.8, 1.25, 2.0)[nth % 4], nth)

    def alone(self, row: Any) -> tuple[Any, list[int]]:
        """What Kokoro's own forward pass makes of it, given the noise of the row's seed."""
        key = row.nth, len(row.ids)
        if key not in self._singles:
            self._singles[key] = self._spoken(row)
        return self._singles[key]

    def _spoken(self, row: Any) -> tuple[Any, list[int]]:
        import torch

        with torch.inference_mode(), double_precision(), self._noise(row):
            ids = torch.tensor([row.ids])
            audio, durations = self.net.forward_with_tokens(ids, row.style.double(), row.speed)
        return audio.reshape(-1), durations.reshape(-1).tolist()

    @contextmanager
    def _noise(self, row: Any) -> Iterator[None]:
        """The package draws noise for every harmonic and sums it up by weight; we draw the sum."""
        import torch

        weight = self.net.decoder.generator.m_source.l_linear.weight[0]
        drawn = torch.Generator().manual_seed(row.seed)

        def noise(like: Any) -> Any:
            if like.shape[-1] == 1:  # drawn for an output that nothing reads
                return torch.zeros_like(like)
            ours = torch.empty(like.shape[1], dtype=like.dtype).normal_(generator=drawn)
            return ours[None, :, None] * (weight / weight.norm())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn_like", noise)
            yield

    def floats(self, rows: Sequence[Any], pad: int) -> Any:
        """Our audio before it is cut and rounded, with `pad` frames of padding behind the longest row."""
        import torch

        from voicewire.engines.kokoro_vocoder import stretch

        read = self.batches._read(list(rows))
        frames = read.durations.sum(1).tolist()
        width = max(frames) + pad
        noise = self.batches._noise(list(rows), frames, (len(rows), width * FRAME))
        with torch.inference_mode():
            return self.vocoder(stretch(read, width, noise), whole=min(frames) == width)


@contextmanager
def double_precision() -> Iterator[None]:
    """The package makes some tensors of the default type."""
    import torch

    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def narrow() -> Twin:
    return Twin(NARROW)


def check_rows(twin: Twin, rows: Sequence[Any], singles: dict[int, tuple[Any, list[int]]]) -> None:
    """Check that every row of a batch is what it is alone."""
    spoken = dict(twin.batches.speak(rows))
    assert set(spoken) == {row.nth for row in rows}
    for nth, outcome in spoken.items():
        assert not isinstance(outcome, Exception)
        pcm, durations = outcome
        audio, alone = singles[nth]
        assert durations == alone
        exact = (audio.clamp(-1, 1) * 32767).numpy()
        assert np.abs(pcm - exact).max() <= 0.5 + STEPS * 0.5


@pytest.mark.parametrize(("phonemes", "pad"), [((3,), 0), ((3,), 7), ((3, 9, 5), 0), ((3, 9, 5), 20)])
def test_padded_rows_are_those_of_kokoros_own_pass(narrow: Twin, phonemes: tuple[int, ...], pad: int) -> None:
    rows = [narrow.row(nth, size) for nth, size in enumerate(phonemes)]
    audio = narrow.floats(rows, pad)
    for nth, row in enumerate(rows):
        alone, _ = narrow.alone(row)
        assert float((audio[nth, : len(alone)] - alone).abs().max()) < TOLERANCE


def test_without_a_mask_they_would_not_be(narrow: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    from voicewire.engines.kokoro_extent import Extent

    rows = [narrow.row(nth, size) for nth, size in enumerate((3, 9))]
    alone, _ = narrow.alone(rows[0])
    monkeypatch.setattr(Extent, "blank", lambda _, x: x)
    audio = narrow.floats(rows, 0)
    assert float((audio[0, : len(alone)] - alone).abs().max()) > 1000 * TOLERANCE


def test_rows_come_in_groups_that_are_alike_each_with_its_own_durations(narrow: Twin) -> None:
    rows = [narrow.row(nth, size) for nth, size in enumerate((3, 9, 5))]
    check_rows(narrow, rows, {row.nth: narrow.alone(row) for row in rows})


def test_rows_that_are_not_wanted_any_more_are_left_out(narrow: Twin) -> None:
    rows = [narrow.row(nth, size) for nth, size in enumerate((3, 9, 5))]
    dropped = {2}
    spoken = narrow.batches.speak(rows, dropped)
    assert next(spoken)[0] == 0
    dropped.add(1)
    assert list(spoken) == []


@pytest.mark.parametrize("half", ["_read", "_launched"])
def test_when_memory_runs_out_a_group_is_halved(half: str, monkeypatch: pytest.MonkeyPatch, narrow: Twin) -> None:
    import torch

    batches, run, sizes = narrow.batches, getattr(narrow.batches, half), list[int]()

    def cramped(*arguments: Any) -> Any:
        sizes.append(len(arguments[-1]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("no memory")
        return run(*arguments)

    rows = [narrow.row(nth, size) for nth, size in enumerate((3, 3, 5))]
    singles = {row.nth: narrow.alone(row) for row in rows}
    monkeypatch.setattr(batches, half, cramped)
    monkeypatch.setattr(batches, "area_max", 4_000)
    monkeypatch.setattr(batches, "halvings", 0)
    check_rows(narrow, rows, singles)
    largest = max(sizes)
    assert sizes[sizes.index(largest) + 1] == largest // 2 > 0
    assert batches.halvings >= 1
    assert batches.area_max < 4_000, "the next batch is smaller"


def test_a_row_alone_that_finds_no_memory_fails_alone(narrow: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = narrow.batches._launched

    def cramped(read: Any, rows: Any, durations: Any, group: list[int]) -> Any:
        if 1 in group:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return launched(read, rows, durations, group)

    monkeypatch.setattr(narrow.batches, "_launched", cramped)
    monkeypatch.setattr(narrow.batches, "area_max", 4_000)
    spoken = dict(narrow.batches.speak([narrow.row(nth, 3) for nth in range(3)]))
    assert isinstance(spoken[1], RuntimeError)
    assert not isinstance(spoken[0], Exception)
    assert not isinstance(spoken[2], Exception)


@pytest.mark.nightly
@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_rows_of_any_length_and_any_number(narrow: Twin, count: int) -> None:
    lengths = [round(3 * (500 / 3) ** (nth / 31)) for nth in range(32)]  # 3 to 500
    rows = [narrow.row(nth, lengths[nth * 13 % 32]) for nth in range(count)]
    check_rows(narrow, rows, {row.nth: narrow.alone(row) for row in rows})


@pytest.mark.nightly
def test_rows_of_the_true_architecture() -> None:
    twin = Twin(TRUE)
    rows = [twin.row(nth, size) for nth, size in enumerate((3, 40, 90, 36))]
    singles = {row.nth: twin.alone(row) for row in rows}
    audio = twin.floats(rows, 5)
    for nth, (alone, _) in singles.items():
        assert float((audio[nth, : len(alone)] - alone).abs().max()) < TOLERANCE
    check_rows(twin, rows, singles)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> KokoroEngine:
    folder: Path = make_folder(tmp_path_factory.mktemp("batched") / "model")
    return open_engine(str(folder), precision="fp32", rows=4, pass_phonemes=40)


def test_utterances_of_a_batch_have_the_words_that_they_have_alone(engine: KokoroEngine) -> None:
    texts = ["One, two.", "A much longer sentence, which takes more than a single pass.", "!", "Three."]
    batch = Batch(engine, [Utterance(text, "af_heart", seed=7) for text in texts])
    for nth, text in enumerate(texts):
        spoken = checked(text, [chunk for chunk in batch.row(nth) if len(chunk.pcm)])
        alone = checked(text, list(engine.synthesize(Utterance(text, "af_heart", seed=7))))
        assert spoken.words == alone.words
        assert len(spoken.pcm) == len(alone.pcm)


def test_an_utterance_that_cannot_be_spoken_fails_alone(
    engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "af_sky.pt").write_bytes(b"not a voice")
    there = engine.network.voice_file
    monkeypatch.setattr(
        engine.network, "voice_file", lambda voice: tmp_path / "af_sky.pt" if voice == "af_sky" else there(voice)
    )
    asked = [Utterance("Hello.", voice) for voice in ("af_sky", "nobody", "af_heart")]
    ends = {nth: part for nth, part in engine.synthesize_batch(asked) if not isinstance(part, Chunk)}
    assert isinstance(ends[0], EngineFailed)
    assert isinstance(ends[1], BadRequest)
    assert ends[2] is None


def test_an_engine_with_rows_takes_twice_as_many_jobs(engine: KokoroEngine) -> None:
    assert (engine.batch_max, engine.model.lanes, engine.halvings) == (4, 8, 0)
    assert engine.size(Utterance("four", "")) == 4
    assert engine.size(Utterance("four", "", speed=2.0)) == 2
