"""What the engines have in common whose audio comes from somebody else's server: voices, texts, lanes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from voicewire.engines.texts import plain, sayable
from voicewire.engines.upstream import Speech, Upstream
from voicewire.errors import BadRequest
from voicewire.types import Chunk, Model, Utterance, Voice

LANES = 8
TIMEOUT_S = 20.0
MAX_CHARS = 400


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
        asked = Utterance(plain(utterance.text), utterance.voice, utterance.language, utterance.speed, utterance.seed)
        if sayable(asked.text):
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


def text_at(content: object, *path: str) -> str:
    """The string at `path` of parsed JSON, whatever that is: empty where there is none."""
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, str) else str(content) if isinstance(content, int) else ""
