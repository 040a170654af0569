"""The network of Kokoro-82M: where its files are, and the way from phonemes to audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from voicewire.engines.kokoro_quiet import quiet
from voicewire.engines.kokoro_voices import PUBLISHED_IDS, Part

if TYPE_CHECKING:  # torch, which they import, takes seconds
    from voicewire.engines.kokoro_batch import Batches, Spoken

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
AREA = 1 << 14  # rows times frames of one pass, seven minutes of audio: some gigabytes
_STYLE = (1, 256)  # a voice has one for every number of phonemes: half sounds, half rhythm
_SOUND = 2  # goes up when equal files begin to sound different


class Files(Protocol):
    """Where the config, the weights and the voices come from."""

    @property
    def config(self) -> Path: ...

    @property
    def weights(self) -> Path: ...

    def voice_ids(self) -> list[str]: ...

    def voice(self, id: str) -> Path: ...

    def fingerprint(self) -> str:
        """Differs when the files do; equal on every machine that has the same."""
        ...


class Folder:
    """A local folder: `config.json`, one `*.pth` and `voices/*.pt`.

    Raises `FileNotFoundError` for what it lacks.
    """

    def __init__(self, path: Path) -> None:
        weights = sorted(path.glob("*.pth"))
        if not path.is_dir():
            raise FileNotFoundError(f"there is no folder {path}")
        if not (path / "config.json").is_file() or not weights:
            raise FileNotFoundError(f"{path} must hold config.json and a file of weights, such as kokoro-v1_0.pth")
        if len(weights) > 1 and path / "kokoro-v1_0.pth" not in weights:
            raise FileNotFoundError(
                f"{path} holds several files of weights: {', '.join(each.name for each in weights)}"
            )
        self.config = path / "config.json"
        self.weights = weights[0] if len(weights) == 1 else path / "kokoro-v1_0.pth"
        self._voices = {each.stem: each for each in sorted((path / "voices").glob("*.pt"))}
        if not self._voices:
            raise FileNotFoundError(f"{path / 'voices'} must hold voices, such as af_heart.pt")

    def voice_ids(self) -> list[str]:
        return list(self._voices)

    def voice(self, id: str) -> Path:
        return self._voices[id]

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in (self.config, self.weights, *self._voices.values()):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


class Hub:
    """A repository of the hub, fetched as the kokoro package does and kept in the hub's own cache."""

    def __init__(self, repo: str) -> None:
        from kokoro import KModel

        if repo not in KModel.MODEL_NAMES:
            raise FileNotFoundError(f"the kokoro package knows no weights of {repo!r}")
        self._repo = repo
        self.config = self._fetched("config.json")
        self.weights = self._fetched(KModel.MODEL_NAMES[repo])

    def voice_ids(self) -> list[str]:
        return list(PUBLISHED_IDS)

    def voice(self, id: str) -> Path:
        return self._fetched(f"voices/{id}.pt")

    def fingerprint(self) -> str:
        return f"{self._repo}@{self.config.parent.name}"  # the cache names the folder by its commit

    def _fetched(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self._repo, name))


class Request(NamedTuple):
    """One pass of one text: at most 510 phonemes, all in the vocabulary."""

    phonemes: str
    voice: Sequence[Part]
    speed: float
    seed: int


class Network:
    """The model in memory, speaking up to `rows` texts in one pass."""

    def __init__(
        self, files: Files, *, device: str = "cpu", threads: int = 1, precision: str = "auto", rows: int = 1
    ) -> None:
        """`precision` is that of the generator's convolutions; `auto` takes bfloat16 where it is fast."""
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        import torch

        from voicewire.engines.kokoro_rhythm import Rhythm
        from voicewire.engines.kokoro_vocoder import Vocoder

        torch.set_num_threads(threads)
        self._torch = torch
        self._device = torch.device(device)
        precision = _fast_precision(self._device.type) if precision == "auto" else precision
        self.voice_file = files.voice
        self.packs: dict[str, Any] = {}  # at most one for each voice of the files
        self.net = _loaded(files).to(self._device).eval().requires_grad_(False)
        self.vocoder = Vocoder(self.net, precision)
        self.batches = _batches(Rhythm(self.net), self.vocoder, self.net.decoder.F0_conv.weight, rows)
        digest = hashlib.sha256(f"{files.fingerprint()} {precision} {self._device.type} {_SOUND}".encode())
        self.version = digest.hexdigest()[:16]
        self.vocabulary: dict[str, int] = dict(self.net.vocab)

    def speak(
        self, requests: Mapping[int, Request], dropped: Collection[int] = ()
    ) -> Iterator[tuple[int, Spoken | Exception]]:
        """Yield the audio of every request and the frames of its phonemes, or why it has none, as each is ready.

        The first and the last count of frames are those of the edges. Equal requests give equal audio on one
        machine, but for rounding where they stood beside others. An `OSError` is a voice that cannot be read. What is
        in `dropped` is left out, as far as it is not made yet. Raises `RuntimeError` when torch gives up.
        """
        from voicewire.engines.kokoro_batch import Row

        rows: list[Row] = []
        for nth, (phonemes, voice, speed, seed) in requests.items():
            ids = [0, *(self.vocabulary[phoneme] for phoneme in phonemes), 0]
            try:
                style = self._style(voice, len(phonemes))
            except OSError as error:
                yield nth, error
            else:
                rows.append(Row(nth, ids, style, speed, seed))
        yield from self.batches.speak(rows, dropped)

    def _style(self, voice: Sequence[Part], size: int) -> Any:
        packs = [(self._pack(part.voice), part.share) for part in voice]
        return sum(pack[min(size, len(pack)) - 1] * share for pack, share in packs)

    def _pack(self, id: str) -> Any:
        if id not in self.packs:
            try:
                pack = self._torch.load(self.voice_file(id), map_location="cpu", weights_only=True)
            except (EOFError, RuntimeError, UnpicklingError) as error:
                raise OSError(f"the voice {id} is not a file of torch") from error
            shape = tuple(pack.shape) if isinstance(pack, self._torch.Tensor) else ()
            if shape[1:] != _STYLE:
                raise OSError(f"the voice {id} has the shape {shape}, not (510, 1, 256)")
            self.packs[id] = pack.float()
        return self.packs[id]


def _fast_precision(device: str) -> str:
    """bfloat16 where there is hardware for it; elsewhere a processor takes twice as long with it."""
    if device == "cpu":
        cpuinfo = Path("/proc/cpuinfo")
        flags = cpuinfo.read_text() if cpuinfo.exists() else ""
        return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"
    return "bf16" if device == "cuda" else "fp32"


def _batches(rhythm: Any, vocoder: Any, like: Any, rows: int) -> Batches:
    from voicewire.engines.kokoro_batch import Batches, Plain

    batches = Batches(
        rhythm, Plain(vocoder), like=like, frame_samples=vocoder.frame_samples, rows_max=rows, area_max=AREA
    )
    if like.device.type == "cuda":
        batches.capture(vocoder)
    return batches


def _loaded(files: Files) -> Any:
    with quiet():
        from kokoro import KModel

        config = json.loads(files.config.read_text("utf-8"))
        net = KModel(repo_id="hexgrad/Kokoro-82M", config=config, model=str(files.weights))
    _check_complete(net, files.weights)
    fold_weight_norm(net)
    return net


def _check_complete(net: Any, weights: Path) -> None:
    """Raise `ValueError` when a part was not in the file: the package goes on with random numbers then."""
    import torch

    held = torch.load(weights, map_location="cpu", weights_only=True)
    present = {f"{part}.{name.removeprefix('module.')}" for part, names in held.items() for name in names}
    missing = sorted(set(_needed(net)) - present)
    if missing:
        raise ValueError(f"{weights.name} is not for this model: it lacks {len(missing)} tensors, first {missing[0]}")


def _needed(net: Any) -> Iterator[str]:
    # Published weights lack the scale of instance norms, which is 1; the pooler is never used.
    import torch

    for path, module in net.named_modules():
        if not isinstance(module, torch.nn.InstanceNorm1d) and path != "bert.pooler":
            yield from (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))


def fold_weight_norm(net: Any) -> None:
    from torch.nn.utils import remove_weight_norm

    for module in net.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)
