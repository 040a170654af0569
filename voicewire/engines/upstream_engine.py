"""What the engines have in common whose audio comes from somebody else's server: voices, texts, lanes."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from voicewire.engines.upstream import Speech, Upstream
from voicewire.errors import BadRequest
from voicewire.types import Chunk, Model, Utterance, Voice

LANES = 8
TIMEOUT_S = 20.0
MAX_CHARS = 400
GENDERS = ("", "female", "male")
UNSPEAKABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class UpstreamEngine:
    """An engine over an `Upstream`; `speech` asks it for an utterance whose text has something to say."""

    def __init__(
        self, upstream: Upstream, model: Model, voices: Sequence[Voice], speech: Callable[[Utterance], Speech]
    ) -> None:
        self._upstream = upstream
        self._model = model
        self._voices = tuple(voices)
        self._ids = frozenset(voice.id for voice in voices)
        self._speech = speech

    @property
    def model(self) -> Model:
        """What this engine can do."""
        return self._model

    def voices(self) -> Sequence[Voice]:
        """Those that were configured, or that the upstream listed when the engine was opened."""
        return self._voices

    def fileno(self) -> int:
        """See `WaitingEngine`."""
        return self._upstream.fileno()

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak `utterance`. Raises `Busy` when every lane is taken or the upstream is busy, else as `Engine` says."""
        if utterance.voice not in self._ids:
            raise BadRequest("unknown_voice", voice=utterance.voice)
        asked = Utterance(
            UNSPEAKABLE.sub(" ", utterance.text), utterance.voice, utterance.language, utterance.speed, utterance.seed
        )
        if any(map(str.isalnum, asked.text)):
            yield from self._upstream.stream(lambda: self._speech(asked))

    def close(self) -> None:
        """Cancel what is open."""
        self._upstream.close()


@contextmanager
def opening(upstream: Upstream) -> Iterator[None]:
    """Close `upstream` when an engine over it cannot be opened."""
    try:
        yield
    except BaseException:
        upstream.close()
        raise


def parse_voices(listed: str, model: str, language: str) -> tuple[Voice, ...]:
    """Read `id:name:language:gender, …`, of which all but the id may be left out; raises `ValueError`."""
    return tuple(_voice(entry.strip(), model, language) for entry in listed.split(",") if entry.strip())


def _voice(entry: str, model: str, language: str) -> Voice:
    id, name, spoken, gender, *rest = (*map(str.strip, entry.split(":")), "", "", "")
    if not id or any(rest) or gender not in GENDERS:
        raise ValueError(f"a voice is id:name:language:gender, with a gender of female or male, not {entry!r}")
    return Voice(id, name or friendly(id), model, spoken or language, gender)


def friendly(id: str) -> str:
    """A name made of an id where there is no other: "en_calm-woman" is "En calm woman"."""
    return re.sub(r"[\W_]+", " ", id).strip().capitalize() or id


def distinct(voices: Sequence[Voice]) -> tuple[Voice, ...]:
    """The voices with a name and id of their own; of those that share a name, the later take their id for it."""
    kept: dict[str, Voice] = {}
    names: set[str] = set()
    for voice in voices:
        name = voice.id if voice.name.casefold() in names else voice.name
        if voice.id not in kept and name.casefold() not in names:
            kept[voice.id] = Voice(voice.id, name, voice.model, voice.language, voice.gender, voice.description)
            names.add(name.casefold())
    return tuple(kept.values())


def text_at(content: object, *path: str) -> str:
    """The string at `path` of parsed JSON, whatever that is: empty where there is none."""
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, str) else str(content) if isinstance(content, int) else ""
