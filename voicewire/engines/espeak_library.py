"""espeak-ng behind ctypes: one `Lane` is one copy of the library, suspended inside its own callback.

The library keeps global state and calls back with audio until a text is spoken. Each lane loads a file
of its own, hence has globals of its own, and runs `espeak_Synth` on a greenlet: the callback switches
back to whoever asked, so several texts can be under way on one thread. Source of the declarations:
espeak-ng 1.52, `speak_lib.h` and `espeak_ng.h`.
"""

from __future__ import annotations

import ctypes as c
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import espeakng_loader
from greenlet import getcurrent, greenlet

from voicewire.engines.names import Native
from voicewire.errors import EngineFailed

BUFFER_MS = 60  # the least that espeak keeps to

WORD, PHONEME = 1, 7
_LIST_END = 0
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_UTF8 = 1
_RATE = 1
_OK = 0


class Event(NamedTuple):
    """What espeak says of its audio: `position` counts code points from 1, `sample` from the text's first."""

    type: int
    position: int
    sample: int
    phoneme: bytes


class _Id(c.Union):
    _fields_ = (("number", c.c_int), ("name", c.c_void_p), ("string", c.c_char * 8))


class _Event(c.Structure):
    _fields_ = (
        ("type", c.c_int),
        ("unique_identifier", c.c_uint),
        ("text_position", c.c_int),
        ("length", c.c_int),
        ("audio_position", c.c_int),
        ("sample", c.c_int),
        ("user_data", c.c_void_p),
        ("id", _Id),
    )


class _Voice(c.Structure):
    _fields_ = (
        ("name", c.c_char_p),
        ("languages", c.c_void_p),
        ("identifier", c.c_char_p),
        ("gender", c.c_ubyte),
        ("age", c.c_ubyte),
        ("variant", c.c_ubyte),
        ("xx1", c.c_ubyte),
        ("score", c.c_int),
        ("spare", c.c_void_p),
    )


_Callback = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int, c.POINTER(_Event))
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "espeak_Initialize": (c.c_int, (c.c_int, c.c_int, c.c_char_p, c.c_int)),
    "espeak_SetSynthCallback": (None, (_Callback,)),
    "espeak_SetVoiceByName": (c.c_int, (c.c_char_p,)),
    "espeak_SetParameter": (c.c_int, (c.c_int, c.c_int, c.c_int)),
    "espeak_ListVoices": (c.POINTER(c.POINTER(_Voice)), (c.POINTER(_Voice),)),
    "espeak_Synth": (
        c.c_int,
        (c.c_char_p, c.c_size_t, c.c_uint, c.c_int, c.c_uint, c.c_uint, c.c_void_p, c.c_void_p),
    ),
    "espeak_Terminate": (c.c_int, ()),
    "espeak_ng_SetPhonemeEvents": (c.c_int, (c.c_int, c.c_int)),
}

UNTUNED = ("", 0, 0)  # voice, words a minute, and whether phonemes are in the IPA

Take = Callable[[bytes, list[Event]], bool]
"""Gets PCM and events as they are made; true when the generator should come up for air."""


class Lane:
    """One copy of the library: one text at a time. Raises `EngineFailed` when it cannot be initialised."""

    def __init__(self, library: Path, data: Path) -> None:
        self._library = _load(library)
        self._data = data
        options = _PHONEME_EVENTS | _DONT_EXIT
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, BUFFER_MS, bytes(data), options)
        if self.rate_hz <= 0:
            raise EngineFailed
        self._callback = _Callback(self._heard)  # kept: the library holds no more than its address
        self._library.espeak_SetSynthCallback(self._callback)
        self._tuned = UNTUNED
        self._inside: greenlet | None = None
        self._outside = getcurrent()
        self._stopped = False
        self._problem: BaseException | None = None

    @property
    def voice(self) -> str:
        """The voice that it spoke with last."""
        return self._tuned[0]

    def natives(self) -> list[Native]:
        """List the voices that can speak: some are listed without a dictionary, and would be mute."""
        listed = _natives(self._library.espeak_ListVoices(None))
        return [native for native in listed if _dictionary(self._data, native).exists()]

    def variants(self) -> list[Native]:
        """List the variants, which change the sound of any voice."""
        return _natives(self._library.espeak_ListVoices(c.byref(_Voice(languages=_address(b"variant")))))

    def speak(
        self, text: str, voice: str, rate_wpm: int, take: Take, *, ipa: bool = False
    ) -> Generator[None, None, None]:
        """Speak `text`; pause wherever `take` says so. Closing the generator ends the speech at once.

        With `ipa`, events name phonemes so, pauses and what has no letter there by nothing, instead of in espeak's own.
        """
        self._tune(voice, rate_wpm, int(ipa))
        encoded = text.encode() + b"\0"
        self._take, self._stopped, self._problem = take, False, None
        inside = self._inside = greenlet(self._synthesize)
        try:
            result = self._advance(inside, encoded)
            while not inside.dead:
                yield
                result = self._advance(inside)
            if self._problem is not None:
                raise self._problem
            if result != _OK or self._stopped:
                raise EngineFailed
        finally:
            self.stop()

    def stop(self) -> None:
        """End what is being spoken, if anything is."""
        self._stopped = True
        while self._inside:  # a greenlet is true while it has begun and not ended
            self._advance(self._inside)
        self._inside = None

    def close(self) -> None:
        """Give the library's memory back."""
        self.stop()
        self._library.espeak_Terminate()

    def _tune(self, voice: str, rate_wpm: int, ipa: int) -> None:
        if (voice, rate_wpm, ipa) == self._tuned:
            return
        if voice != self.voice:
            self._tuned = UNTUNED
            if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
                raise EngineFailed
        self._library.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._library.espeak_ng_SetPhonemeEvents(1, ipa)
        self._tuned = voice, rate_wpm, ipa

    def _advance(self, inside: greenlet, *arguments: bytes) -> Any:  # what espeak_Synth returned, once it has
        self._outside = inside.parent = getcurrent()
        return inside.switch(*arguments)

    def _synthesize(self, text: bytes) -> int:
        result: int = self._library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8, None, None)
        return result

    def _heard(self, pcm: int | None, samples: int, events: Any) -> int:
        if self._stopped:
            return 1
        try:
            made = c.string_at(pcm, 2 * samples) if pcm and samples > 0 else b""
            if self._take(made, _events(events)):
                self._outside.switch()
        except BaseException as problem:  # noqa: BLE001 cannot cross a C frame: `speak` raises it on the other side
            self._problem, self._stopped = problem, True
        return int(self._stopped)


def open_lanes(count: int) -> list[Lane]:
    """Open `count` lanes, or a single one where the library cannot be copied."""
    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    try:
        with tempfile.TemporaryDirectory(prefix="voicewire-") as folder:
            # A loaded file may be deleted: nothing is left behind, however the process ends.
            return [Lane(_copy(library, Path(folder), number), data) for number in range(count)]
    except OSError:  # no room, or a folder from which nothing may be loaded
        return [Lane(library, data)]


def _copy(library: Path, folder: Path, number: int) -> Path:
    return Path(shutil.copyfile(library, folder / f"espeak{number}{library.suffix}"))


def _load(library: Path) -> c.CDLL:
    loaded = c.CDLL(str(library))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _events(events: Any) -> list[Event]:
    read: list[Event] = []
    while (type := (event := events[len(read)]).type) != _LIST_END:
        read.append(Event(type, event.text_position, event.sample, event.id.string))
    return read


def _address(string: bytes) -> int | None:
    return c.cast(c.c_char_p(string), c.c_void_p).value


def _natives(voices: Any) -> list[Native]:
    read: list[Native] = []
    while voices[len(read)]:
        voice = voices[len(read)].contents
        gender = {1: "male", 2: "female"}.get(voice.gender, "")
        read.append(Native(voice.name.decode().strip(), _languages(voice.languages), voice.identifier.decode(), gender))
    return read


def _dictionary(data: Path, native: Native) -> Path:
    lines = (data / "lang" / native.identifier).read_text("utf-8").splitlines()
    named = [line.split()[1] for line in lines if line.startswith("dictionary ")]
    return data / f"{named[0] if named else native.languages[0].partition('-')[0]}_dict"


def _languages(at: int) -> tuple[str, ...]:
    # A list of: one byte of priority, a string with its zero; then a zero.
    found: list[str] = []
    while c.string_at(at, 1) != b"\0":
        language = c.string_at(at + 1)
        found.append(language.decode())
        at += len(language) + 2
    return tuple(found)
