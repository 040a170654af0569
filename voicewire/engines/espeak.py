"""The espeak-ng engine: real speech in more than a hundred languages, about 1,000 times faster than it is heard."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

import numpy as np

from voicewire.engines.espeak_library import PHONEME, WORD, Event, Lane, open_lanes
from voicewire.engines.espeak_phonemes import Sounds
from voicewire.engines.names import DEFAULT, Directory
from voicewire.errors import BadRequest, Busy
from voicewire.spans import word_spans
from voicewire.timing import Placer
from voicewire.types import Chunk, Model, Phoneme, Utterance, Voice, Word

LANES = 4
RATE_WPM = 175  # espeak's own, at speed 1
RATES_WPM = (80, 450)
FIRST_S, LONGEST_S = 0.12, 1.0  # a second chunk, and any later one

# espeak's durations do not follow its rate in every language; exponents below and above speed 1 bring
# them within a tenth, but for Russian and Ukrainian below 0.55, where its lowest rate is too high.
_STRETCH = {
    "cmn": (0.87, 0.87),
    "es": (1.0, 1.2),
    "fr": (1.0, 1.15),
    "hi": (1.0, 1.12),
    "id": (1.0, 1.1),
    "it": (1.0, 1.22),
    "ko": (1.0, 1.12),
    "ru": (1.26, 1.35),
    "uk": (1.26, 1.05),
}

# espeak 1.52 crashes where these languages have to name these characters; nothing else is lost with them.
_HYPHEN = r"(?<![^\W_])(?<!\s)-(?=\w)"  # behind punctuation
_DEADLY = {"ar": re.compile("[\u2800-\u28ff]"), "da": re.compile(_HYPHEN), "vi": re.compile(f"`|{_HYPHEN}")}

_UNSPEAKABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # U+0001 starts an espeak command


class EspeakEngine:
    """Up to `lanes` utterances at a time, each on its own copy of the library."""

    def __init__(self, lanes: int = LANES, model_id: str = "espeak") -> None:
        self._lanes = open_lanes(lanes)
        self._free = list(self._lanes)
        first = self._lanes[0]
        self._directory = Directory(first.natives(), first.variants(), model_id)
        self._model = Model(
            id=model_id,
            name="eSpeak NG",
            rate_hz=first.rate_hz,
            default_voice=DEFAULT,
            description="Speaks more than a hundred languages at once, clear rather than human.",
            lanes=len(self._lanes),
            phonemes=True,
            languages=tuple(dict.fromkeys(voice.language for voice in self._directory.voices)),
        )

    @property
    def model(self) -> Model:
        """What this engine can do."""
        return self._model

    def voices(self) -> Sequence[Voice]:
        """The best voices of the big languages, then one for every language."""
        return self._directory.voices

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak `utterance`. Raises `Busy` when every lane is taken, else as `Engine` says.

        A voice is `en-us`, `en-us+f3` for a variant of it, or espeak's own identifier, `gmw/en-US`.
        """
        voice = self._directory.find(utterance.voice, utterance.language)
        if voice is None:
            raise BadRequest("unknown_voice", voice=utterance.voice or utterance.language)
        lane = self._take_lane(voice)
        try:
            yield from _speak(lane, utterance, voice)
        finally:
            self._free.append(lane)

    def close(self) -> None:
        """End what is being spoken and give the library's memory back."""
        for lane in self._lanes:
            lane.close()

    def _take_lane(self, voice: str) -> Lane:
        if not self._free:
            raise Busy
        # A change of voice costs 0.1 to 7 ms; of the lanes that need none, the last one used is still in the caches.
        tuned = (lane for lane in reversed(self._free) if lane.voice == voice)
        lane = next(tuned, self._free[0])
        self._free.remove(lane)
        return lane


def open_engine(lanes: int = LANES, model_id: str = "espeak") -> EspeakEngine:
    """Open the engine; where the library cannot be copied it has one lane."""
    return EspeakEngine(lanes, model_id)


def _speak(lane: Lane, utterance: Utterance, voice: str) -> Generator[Chunk, None, None]:
    text = speakable(utterance.text, voice)
    if not text.strip():
        return
    assembly = Assembly(text, lane.rate_hz, phonemes=utterance.phonemes)
    for _ in lane.speak(text, voice, rate_wpm(voice, utterance.speed), assembly.take, ipa=utterance.phonemes):
        yield assembly.cut()
    assembly.finish()
    while assembly.ready:
        yield assembly.cut()


def speakable(text: str, voice: str) -> str:
    """Blank, character for character, what must not reach espeak's `voice`."""
    text = _UNSPEAKABLE.sub(" ", text)
    deadly = _DEADLY.get(_language(voice))
    return deadly.sub(" ", text) if deadly else text


def rate_wpm(voice: str, speed: float) -> int:
    """Return the rate at which espeak's `voice` speaks `speed` times as fast as by itself."""
    low, high = RATES_WPM
    exponents = _STRETCH.get(_language(voice), (1.0, 1.0))
    stretched: float = speed ** exponents[speed > 1]
    return min(high, max(low, round(RATE_WPM * stretched)))


def _language(voice: str) -> str:
    return voice.rpartition("/")[2].partition("+")[0].partition("-")[0]


class Assembly:
    """Gathers the pieces of one utterance and cuts them into chunks that keep their words whole."""

    def __init__(self, text: str, rate_hz: int, *, phonemes: bool = False) -> None:
        self._rate_hz = rate_hz
        self._placer = Placer(word_spans(text))
        self._pcm = bytearray()
        self._words: list[Word] = []
        self._sounds = Sounds() if phonemes else None  # then events are in the IPA, which has nothing for a pause
        self._phonemes: list[Phoneme] = []
        self._passed = 0  # samples already cut off
        self._target_s = 0.0
        self._ended = False

    def take(self, pcm: bytes, events: list[Event]) -> bool:
        """Add audio and what espeak says of it; true when a chunk is `ready`."""
        self._pcm += pcm
        for event in events:
            self._place(event)
        self._gather()
        return self.ready

    def finish(self) -> None:
        """The utterance is spoken: what is left may go."""
        total = self._passed + len(self._pcm) // 2
        self._placer.finish(total)
        if self._sounds:
            self._sounds.stop(total)
        self._gather()
        self._ended = True

    @property
    def ready(self) -> bool:
        """Whether a chunk is worth handing over: the first with the first word, later ones ever longer."""
        waiting = self._edge() - self._passed
        if self._ended:
            return waiting > 0
        begun = bool(self._words) or self._passed > 0
        return begun and waiting > 0 and waiting >= self._target_s * self._rate_hz

    def cut(self) -> Chunk:
        """Cut off the next chunk, at most a second of it."""
        samples = min(self._edge() - self._passed, int(LONGEST_S * self._rate_hz))
        self._target_s = min(LONGEST_S, max(FIRST_S, 2 * self._target_s))
        pcm = np.frombuffer(self._pcm[: 2 * samples], np.int16)
        del self._pcm[: 2 * samples]
        self._passed += samples
        words = tuple(word for word in self._words if word.begins < self._passed)
        del self._words[: len(words)]
        phonemes = tuple(phoneme for phoneme in self._phonemes if phoneme.begins < self._passed)
        del self._phonemes[: len(phonemes)]
        return Chunk(pcm, words, phonemes)

    def _gather(self) -> None:
        self._words += self._placer.taken()
        if self._sounds:
            self._phonemes += self._sounds.taken()

    def _edge(self) -> int:
        received = self._passed + len(self._pcm) // 2
        if self._ended:
            return received
        word, sound = self._placer.held, self._sounds.held if self._sounds else None
        return min(received if word is None else word, received if sound is None else sound)

    def _place(self, event: Event) -> None:
        if event.type == WORD:
            self._placer.word(event.position - 1, event.sample)
            if self._sounds:
                self._sounds.stop(event.sample)
        elif event.type == PHONEME:
            self._pronounce(event)

    def _pronounce(self, event: Event) -> None:
        if self._sounds:
            self._sounds.sound(event.phoneme, event.sample)
        if event.phoneme.startswith(b"_") or (self._sounds and not event.phoneme):
            self._placer.silence(event.sample)
        else:
            self._placer.sound(event.sample)
