"""What every engine owes its callers. An engine's tests subclass `EngineContract` and give it the fixture `engine`.

class TestTone(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = open_engine()
        yield engine
        engine.close()
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from voicewire.engines.base import Engine, WaitingEngine
from voicewire.errors import BadRequest
from voicewire.types import Chunk, Pcm, Phoneme, Utterance, Word, WordTimes


class Spoken(NamedTuple):
    """A whole utterance, its chunks already checked."""

    pcm: Pcm
    words: tuple[Word, ...]


def speak(engine: Engine, text: str, voice: str = "", language: str = "", speed: float = 1.0) -> Spoken:
    """Speak `text` to the end and check every promise that a `Chunk` makes."""
    utterance = Utterance(text, voice or engine.model.default_voice, language, speed)
    chunks = list(heard(engine, engine.synthesize(utterance)))
    assert not any(chunk.phonemes for chunk in chunks), "nobody asked for them"
    return checked(text, chunks)


def pronounce(engine: Engine, text: str, voice: str = "", speed: float = 1.0) -> tuple[Spoken, list[Phoneme]]:
    """Speak `text` as `speak` does, and ask for its phonemes."""
    utterance = Utterance(text, voice or engine.model.default_voice, "", speed, phonemes=True)
    chunks = list(heard(engine, engine.synthesize(utterance)))
    spoken, phonemes = checked(text, chunks), [phoneme for chunk in chunks for phoneme in chunk.phonemes]
    check_phonemes(phonemes, spoken.words)
    return spoken, phonemes


def heard(engine: Engine, stream: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks of `stream`, but for those by which an engine says that it waits; the caller waits then."""
    for chunk in stream:
        if waits(engine, chunk):
            await_something(engine)
        else:
            yield chunk


def waits(engine: Engine, chunk: Chunk) -> bool:
    """Whether `chunk` says that there is nothing yet."""
    return isinstance(engine, WaitingEngine) and not len(chunk.pcm) and not chunk.words


def await_something(engine: Engine) -> None:
    """Wait until an open utterance of `engine` has something, or has ended."""
    assert isinstance(engine, WaitingEngine)
    assert select.select([engine], [], [], 30)[0], "nothing came, and nobody ended it"


def checked(text: str, chunks: Sequence[Chunk]) -> Spoken:
    """Check that chunks keep what `Chunk` promises, and join them."""
    at = 0
    for chunk in chunks:
        assert chunk.pcm.dtype == np.int16
        assert chunk.pcm.ndim == 1
        assert len(chunk.pcm) > 0
        begins = [*(word.begins for word in chunk.words), *(phoneme.begins for phoneme in chunk.phonemes)]
        inside = range(at, at + len(chunk.pcm))
        assert all(sample in inside for sample in begins), "a word or phoneme is in the chunk in which its audio begins"
        at += len(chunk.pcm)
    words = tuple(word for chunk in chunks for word in chunk.words)
    check_words(text, words, at)
    return Spoken(np.concatenate([chunk.pcm for chunk in chunks] or [np.zeros(0, np.int16)]), words)


def check_phonemes(phonemes: Sequence[Phoneme], words: Sequence[Word]) -> None:
    """Check that phonemes have a letter, ascend, do not overlap, and that each is inside of the time of words."""
    edges = {word.begins for word in words} ^ {word.ends for word in words}  # where no two words touch
    stretches = [*zip(sorted(edges)[::2], sorted(edges)[1::2], strict=True)]
    for phoneme in phonemes:
        assert any(map(str.isalnum, phoneme.symbol))
        assert phoneme.begins < phoneme.ends
        assert any(begins <= phoneme.begins and phoneme.ends <= ends for begins, ends in stretches)
    assert all(before.ends <= after.begins for before, after in pairwise(phonemes))


def check_words(text: str, words: Sequence[Word], samples: int) -> None:
    """Check that words are inside text and audio, ascend, and do not overlap."""
    for word in words:
        assert 0 <= word.start < word.stop <= len(text)
        assert 0 <= word.begins < word.ends <= samples
        assert text[word.start : word.stop].strip() == text[word.start : word.stop]
    for before, after in pairwise(words):
        assert before.stop <= after.start
        assert before.ends <= after.begins


def check_same_words(words: Sequence[Word], others: Sequence[Word], rate_hz: int) -> None:
    """Check that both are the same words within 50 ms: an engine may dither, no more."""
    assert [word[:2] for word in words] == [word[:2] for word in others]
    for word, other in zip(words, others, strict=True):
        assert abs(word.begins - other.begins) <= rate_hz // 20
        assert abs(word.ends - other.ends) <= rate_hz // 20


def named(text: str, words: Sequence[Word]) -> list[str]:
    """The characters that words name."""
    return [text[word.start : word.stop] for word in words]


def _in(phoneme: Phoneme, word: Word) -> bool:
    return word.begins <= phoneme.begins and phoneme.ends <= word.ends


class EngineContract:
    """Subclass me; what an engine cannot say, it may override with its own."""

    sentence = "The quick brown fox, as they say, jumps over the lazy dog."
    sentence_words = ("The", "quick", "brown", "fox", "as", "they", "say", "jumps", "over", "the", "lazy", "dog")
    others = ("Well, hello there.", "It costs four dollars today.", "No.", "Birds fly high above the old town.")

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        raise NotImplementedError

    def test_the_model_describes_itself(self, engine: Engine) -> None:
        model = engine.model
        assert model.id
        assert model.name
        assert model.rate_hz > 0
        assert model.lanes >= 1
        assert model.max_chars >= 1

    def test_voices_have_unique_ids_and_names_and_include_the_default(self, engine: Engine) -> None:
        voices = engine.voices()
        assert len({voice.id for voice in voices}) == len(voices)
        assert len({voice.name for voice in voices}) == len(voices)
        assert engine.model.default_voice in {voice.id for voice in voices}
        for voice in voices:
            assert voice.model == engine.model.id
            assert voice.language
            assert voice.name
            assert voice.gender in {"female", "male", ""}

    def test_a_sentence_is_heard_and_every_word_is_placed(self, engine: Engine) -> None:
        spoken = speak(engine, self.sentence)
        assert np.abs(spoken.pcm.astype(np.int32)).max() > 300
        assert np.abs(spoken.pcm.astype(np.int32)).max() < 32768
        if engine.model.words is not WordTimes.NONE:
            assert named(self.sentence, spoken.words) == list(self.sentence_words)

    def test_phonemes_come_to_who_asks_and_change_no_sample_and_no_word(self, engine: Engine) -> None:
        for text in (self.sentence, *self.others):
            plain, (asked, phonemes) = speak(engine, text), pronounce(engine, text)
            assert bool(phonemes) == engine.model.phonemes
            check_same_words(asked.words, plain.words, engine.model.rate_hz)
            assert abs(len(asked.pcm) - len(plain.pcm)) <= engine.model.rate_hz // 20
            if phonemes:
                unspoken = [word for word in asked.words if not any(_in(phoneme, word) for phoneme in phonemes)]
                assert unspoken == [], "words without a phoneme"

    @pytest.mark.parametrize("text", ["$4.50, doesn't it?", "“Quoted” (really)", "a\nb", "tab\tand  spaces", "U.S.A."])
    def test_awkward_text_covers_every_letter_and_digit(self, engine: Engine, text: str) -> None:
        spoken = speak(engine, text)
        covered = {at for word in spoken.words for at in range(word.start, word.stop)}
        if engine.model.words is not WordTimes.NONE:
            assert {at for at, character in enumerate(text) if character.isalnum()} <= covered

    @pytest.mark.parametrize(
        "text", ["", " ", "\n\n", "\0", "…", "\ud800", "a\0b", "\ud83d!", "\x01\x1b[0m", "e\u0301" * 30]
    )
    def test_hostile_text_ends_without_an_error(self, engine: Engine, text: str) -> None:
        speak(engine, text)

    def test_the_longest_text_is_spoken_whole(self, engine: Engine) -> None:
        text = ("word " * engine.model.max_chars)[: engine.model.max_chars].strip()
        spoken = speak(engine, text)
        if engine.model.words is not WordTimes.NONE:
            assert len(spoken.words) == len(text.split())

    def test_an_unknown_voice_is_refused(self, engine: Engine) -> None:
        with pytest.raises(BadRequest) as caught:
            speak(engine, "Hello.", voice="no such voice")
        assert caught.value.row_code == "unknown_voice"
        assert len(speak(engine, "Hello.").pcm) > 0

    def test_a_higher_speed_takes_less_time(self, engine: Engine) -> None:
        slow, plain, fast = (len(speak(engine, self.sentence, speed=speed).pcm) for speed in (0.5, 1.0, 2.0))
        assert slow > 1.5 * plain
        assert plain > 1.5 * fast

    def test_words_come_at_the_same_places_every_time(self, engine: Engine) -> None:
        first, second = speak(engine, self.sentence), speak(engine, self.sentence)
        check_same_words(first.words, second.words, engine.model.rate_hz)

    def test_open_utterances_do_not_disturb_each_other(self, engine: Engine) -> None:
        texts = [(self.sentence, *self.others)[lane % 5] for lane in range(engine.model.lanes)]
        alone = [speak(engine, text).words for text in texts]
        voice = engine.model.default_voice
        streams = {lane: engine.synthesize(Utterance(text, voice)) for lane, text in enumerate(texts)}
        chunks: dict[int, list[Chunk]] = {lane: [] for lane in streams}
        while streams:
            got = {lane: next(streams[lane], None) for lane in reversed(streams)}
            for lane, chunk in got.items():
                if chunk is None:
                    del streams[lane]
                elif not waits(engine, chunk):
                    chunks[lane].append(chunk)
            if all(chunk is not None and waits(engine, chunk) for chunk in got.values()):
                await_something(engine)
        for lane, text in enumerate(texts):
            check_same_words(checked(text, chunks[lane]).words, alone[lane], engine.model.rate_hz)

    def test_closing_an_utterance_frees_its_lane(self, engine: Engine) -> None:
        for _ in range(3):
            utterance = Utterance(self.sentence, engine.model.default_voice)
            streams = [engine.synthesize(utterance) for _ in range(engine.model.lanes)]
            for stream in streams[1:]:  # the first is closed before it has begun
                next(stream)
            for stream in streams:
                stream.close()
        assert len(speak(engine, self.sentence).pcm) > 0
