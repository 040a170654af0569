"""Stand-ins for the packages of Chatterbox, Dia and torch, which are not installed here.

They have the packages' published names, signatures and kinds of results, and the tone engine's sound. What is not
published of them is not in here: that the real ones are loaded and called as here is all that they can show.
"""

# ruff: noqa: ARG002 - arguments are there because they are published

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engines.upstream_server import said


class Call(NamedTuple):
    """What was said, how, in whose voice, and by which seed."""

    text: str
    voice: str
    seed: int
    options: dict[str, Any]


class Log:
    """What a test looks at."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, ...]] = []
        self.prepared: list[str] = []  # SHA-256 of the samples that voices were made of
        self.calls: list[Call] = []
        self.seed = -1
        self.failing = False

    def heard(self, text: str, voice: str, rate_hz: int, **options: Any) -> NDArray[np.float32]:
        self.calls.append(Call(text, voice, self.seed, options))
        if self.failing:
            raise RuntimeError("CUDA out of memory")
        wave = np.concatenate([chunk.pcm for chunk in said(text)]).astype(np.float32) / 32_768
        at = np.arange(0, len(wave), 24_000 / rate_hz)
        resampled: NDArray[np.float32] = np.interp(at, np.arange(len(wave)), wave).astype(np.float32)
        return resampled


class Tensor:
    """As much of a tensor as is used."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._values = values

    def squeeze(self, dim: int) -> Tensor:
        return Tensor(self._values.squeeze(dim))

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> NDArray[np.float32]:
        return self._values


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _chatterbox(log: Log, *, has_voice: bool) -> tuple[type, type]:
    class ChatterboxTTS:
        def __init__(self, conds: Any = None) -> None:
            self.sr = 24_000
            self.conds = conds

        @classmethod
        def from_local(cls, ckpt_dir: Path, device: str) -> Any:
            log.opened.append((cls.__name__, str(Path(ckpt_dir)), device))
            return cls(SimpleNamespace(voice="own") if has_voice else None)

        @classmethod
        def from_pretrained(cls, device: str) -> Any:
            return cls.from_local(Path("hub"), device)

        def prepare_conditionals(self, wav_fpath: str, exaggeration: float = 0.5) -> None:
            assert exaggeration == 0.5
            log.prepared.append(_digest(wav_fpath))
            self.conds = SimpleNamespace(voice=log.prepared[-1])

        def generate(
            self,
            text: str,
            repetition_penalty: float = 1.2,
            min_p: float = 0.05,
            top_p: float = 1.0,
            audio_prompt_path: str | None = None,
            exaggeration: float = 0.5,
            cfg_weight: float = 0.5,
            temperature: float = 0.8,
        ) -> Tensor:
            assert self.conds is not None, "Please `prepare_conditionals` first or specify `audio_prompt_path`"
            return Tensor(log.heard(text, self.conds.voice, self.sr)[None])

    class ChatterboxMultilingualTTS(ChatterboxTTS):
        @classmethod
        def get_supported_languages(cls) -> dict[str, str]:
            return {"de": "German", "en": "English", "zh": "Chinese", "no": "Norwegian"}

        def generate(  # type: ignore[override]  # as published
            self,
            text: str,
            language_id: str,
            audio_prompt_path: str | None = None,
            exaggeration: float = 0.5,
            cfg_weight: float = 0.5,
            temperature: float = 0.8,
            repetition_penalty: float = 2.0,
            min_p: float = 0.05,
            top_p: float = 1.0,
        ) -> Tensor:
            if language_id and language_id.lower() not in self.get_supported_languages():
                raise ValueError(f"Unsupported language_id '{language_id}'.")
            return Tensor(log.heard(text, self.conds.voice, self.sr, language_id=language_id)[None])

    return ChatterboxTTS, ChatterboxMultilingualTTS


def _dia(log: Log) -> type:
    class Dia:
        @classmethod
        def from_pretrained(
            cls, model_name: str = "nari-labs/Dia-1.6B", compute_dtype: str = "float32", device: Any = None
        ) -> Any:
            log.opened.append((cls.__name__, model_name, compute_dtype, str(device)))
            return cls()

        def generate(
            self,
            text: str,
            max_tokens: int | None = None,
            cfg_scale: float = 3.0,
            temperature: float = 1.3,
            top_p: float = 0.95,
            use_torch_compile: bool = False,
            cfg_filter_top_k: int = 35,
            audio_prompt: str | None = None,
            audio_prompt_path: str | None = None,
            use_cfg_filter: bool | None = None,
            verbose: bool = False,
        ) -> NDArray[np.float32] | None:
            voice = _digest(audio_prompt) if audio_prompt else "own"
            if "nothing" in text:
                return None
            return log.heard(text.removeprefix("[S1] "), voice, 44_100, script=text)

    return Dia


def install(patch: pytest.MonkeyPatch, *, has_voice: bool = True) -> Log:
    """Put the stand-ins where the packages would be, until the test ends."""
    log = Log()
    english, multilingual = _chatterbox(log, has_voice=has_voice)
    contents: dict[str, dict[str, Any]] = {
        "torch": {"manual_seed": lambda seed: setattr(log, "seed", seed), "device": lambda name: f"device {name}"},
        "chatterbox": {},
        "chatterbox.tts": {"ChatterboxTTS": english},
        "chatterbox.mtl_tts": {"ChatterboxMultilingualTTS": multilingual},
        "dia": {},
        "dia.model": {"Dia": _dia(log)},
    }
    for name, members in contents.items():
        module = ModuleType(name, "A stand-in.")
        vars(module).update(members)
        patch.setitem(sys.modules, name, module)
    return log
