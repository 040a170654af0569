"""The Kokoro engine on the real packages, with a narrow model of random weights."""

from __future__ import annotations

import io
import re
import shutil
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contracts.engine_contract import EngineContract, Spoken, checked, named, speak
from tests.engines.kokoro_folder import VOICES, make_folder
from voicewire.engines.base import Engine
from voicewire.engines.kokoro import KokoroEngine, open_engine
from voicewire.engines.kokoro_g2p import missing_packages
from voicewire.engines.kokoro_model import Folder
from voicewire.engines.kokoro_telling import CHUNK_SAMPLES
from voicewire.errors import BadRequest, EngineFailed
from voicewire.types import Chunk, Utterance

MISSING = [name for name in ("torch", "kokoro") if find_spec(name) is None]
needs_kokoro = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
pytestmark = [pytest.mark.kokoro, needs_kokoro]

TEXTS = {
    "af_heart": ("I paid $4.50, didn't I?", ["I", "paid", "$4.50", "didn't", "I"]),
    "bm_george": ("The colour of 1,234.56 e-mails…", ["The", "colour", "of", "1,234.56", "e-mails"]),
    "ef_dora": ("Pagué 4,50 € del café (1984).", ["Pagué", "4,50", "€", "del", "café", "1984"]),
    "ff_siwis": ("L'ami a 21 ans : vingt-trois !", ["L'ami", "a", "21", "ans", "vingt-trois"]),
    "hf_alpha": ("चाय के 4.50 रुपये। नमस्ते!", ["चाय", "के", "4.50", "रुपये", "नमस्ते"]),
    "if_sara": ("«L'amico», nel 1984.", ["L'amico", "nel", "1984"]),
    "pf_dora": ("São Paulo às 10h; R$ 4,50.", ["São", "Paulo", "às", "10h", "R$", "4,50"]),
    "jf_alpha": ("私は3.5キロ、Appleを。", ["私", "は", "3.5", "キロ", "Apple", "を"]),
    "zf_xiaobei": ("我花了3.5元，hello！", ["我", "花", "了", "3.5", "元", "hello"]),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("kokoro") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> KokoroEngine:
    return open_engine(str(folder), max_chars=60, precision="fp32")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def needs(voice: str) -> Any:
    missing = missing_packages(voice[0])
    return pytest.param(voice, marks=pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}"))


def reopened(model: KokoroEngine, *, pass_phonemes: int = 510) -> KokoroEngine:
    """Another engine on the same network: opening one takes seconds."""
    return KokoroEngine(model.network, VOICES, pass_phonemes=pass_phonemes)


def said(engine: Engine, text: str = "Hello there, world.", **asked: Any) -> Spoken:
    utterance = Utterance(text, asked.pop("voice", "af_heart"), **asked)
    return checked(text, list(engine.synthesize(utterance)))


class TestKokoro(EngineContract):
    @pytest.fixture
    def engine(self, model: KokoroEngine) -> Iterator[Engine]:
        yield model  # noqa: PT022 - the contract's fixture is a generator


@pytest.mark.parametrize("voice", list(map(needs, TEXTS)))
def test_words_are_those_of_the_text_in_every_language(model: KokoroEngine, voice: str) -> None:
    text, words = TEXTS[voice]
    assert named(text, said(model, text, voice=voice).words) == words


def test_a_word_lasts_as_long_as_its_phonemes(model: KokoroEngine) -> None:
    words = said(model, "I paid $1,234,567.89 now.").words
    lengths = [word.ends - word.begins for word in words]
    assert lengths[2] > 5 * max(lengths[0], lengths[1], lengths[3])


def test_punctuation_and_the_ends_belong_to_no_word(model: KokoroEngine) -> None:
    spoken = said(model, "One, two… three.")
    first, second, third = spoken.words
    assert second.begins - first.ends >= 600  # a comma and a space, at least a frame
    assert third.begins - second.ends >= 600
    assert len(spoken.pcm) - third.ends >= 600


def test_a_language_can_be_asked_for(model: KokoroEngine) -> None:
    text = "Pan 4,50"
    assert len(said(model, text, language="es-MX").pcm) != len(said(model, text).pcm)
    with pytest.raises(BadRequest, match="does not speak 'de'"):
        said(model, text, language="de")


def test_text_beyond_a_pass_is_spoken_whole(model: KokoroEngine) -> None:
    text = "Every word of this long sentence counts, and so does every pause between them. " * 8
    spoken = said(model, text, speed=2.0)
    assert named(text, spoken.words) == re.findall(r"\w+", text)
    assert len(spoken.pcm) > 600 * 510  # more phonemes than one pass takes, a frame each at least


def test_small_passes_lose_nothing_and_a_word_cut_in_two_is_one(model: KokoroEngine) -> None:
    engine = reopened(model, pass_phonemes=7)
    text = "Incomprehensibilities, no doubt."
    assert named(text, said(engine, text).words) == ["Incomprehensibilities", "no", "doubt"]


def test_chunks_are_at_most_a_second(model: KokoroEngine) -> None:
    chunks = list(model.synthesize(Utterance("A sentence of some length, spoken slowly.", "af_heart", speed=0.5)))
    assert len(chunks) > 1
    assert {len(chunk.pcm) for chunk in chunks[:-1]} == {CHUNK_SAMPLES}
    assert 0 < len(chunks[-1].pcm) <= CHUNK_SAMPLES


def test_a_seed_gives_the_same_bytes_and_another_seed_others(model: KokoroEngine) -> None:
    first, again, other = (said(model, seed=seed).pcm for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert len(first) == len(other)
    assert not np.array_equal(first, other)


def test_without_a_seed_a_text_sounds_the_same_wherever_the_weights_are(
    model: KokoroEngine, folder: Path, tmp_path: Path
) -> None:
    first = said(model).pcm
    said(model, "Something else, meanwhile.", seed=99)
    assert np.array_equal(first, said(model).pcm)
    copy = open_engine(str(shutil.copytree(folder, tmp_path / "copy")), precision="fp32")
    assert np.array_equal(first, said(copy).pcm)
    assert copy.model.version == model.model.version != ""


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_any_integer_is_a_seed(model: KokoroEngine, seed: int) -> None:
    assert len(said(model, "Hi.", seed=seed).pcm) > 0


def test_speed_scales_the_time(model: KokoroEngine) -> None:
    lengths = [len(said(model, speed=speed).pcm) for speed in (0.5, 0.75, 1.0, 1.5, 2.0)]
    assert lengths == sorted(set(lengths), reverse=True)


@pytest.mark.parametrize("speed", [0.4, 2.1, float("nan")])
def test_a_speed_out_of_range_is_refused(model: KokoroEngine, speed: float) -> None:
    with pytest.raises(BadRequest, match="speed"):
        said(model, speed=speed)


def test_a_blend_is_the_weighted_mean_of_its_voices(model: KokoroEngine) -> None:
    heart, sky = (said(model, voice=voice).pcm for voice in ("af_heart", "af_sky"))
    mean = said(model, voice="af_heart+af_sky").pcm
    assert np.array_equal(mean, said(model, voice="af_heart,af_sky").pcm)
    assert np.array_equal(mean, said(model, voice="af_sky(2) + af_heart(2)").pcm)
    assert not np.array_equal(mean, said(model, voice="af_heart(3)+af_sky(1)").pcm)
    assert not np.array_equal(mean, heart)
    assert not np.array_equal(mean, sky)
    assert np.array_equal(heart, said(model, voice=" af_heart(2) ").pcm)


def test_a_blend_of_a_voice_that_is_not_there_names_it(model: KokoroEngine) -> None:
    with pytest.raises(BadRequest, match="'af_nova'"):
        said(model, voice="af_heart+af_nova")


def test_the_voices_are_those_in_the_folder(model: KokoroEngine) -> None:
    assert {voice.id for voice in model.voices()} == {id for id in VOICES if not missing_packages(id[0])}
    assert model.voices()[0].id == model.model.default_voice == "af_heart"
    assert model.model.languages[:3] == ("en-US", "en-GB", "es")
    assert model.model.blends


@pytest.mark.parametrize("voice", ["mine", "xf_other", "mine+af_heart", "af_heart+mine"])
def test_a_file_whose_name_says_no_language_is_no_voice(model: KokoroEngine, voice: str) -> None:
    engine = KokoroEngine(model.network, [*VOICES, "mine", "xf_other"])
    assert {each.id for each in engine.voices()} <= set(VOICES)
    with pytest.raises(BadRequest) as caught:
        said(engine, voice=voice)
    assert caught.value.row_code == "unknown_voice"


@pytest.mark.parametrize(("voice", "package"), [("jf_alpha", "fugashi"), ("zf_xiaobei", "jieba")])
def test_a_language_without_its_packages_names_them(
    model: KokoroEngine, monkeypatch: pytest.MonkeyPatch, voice: str, package: str
) -> None:
    monkeypatch.setattr("voicewire.engines.kokoro_g2p.find_spec", lambda _: None)
    engine = reopened(model)
    assert voice not in {each.id for each in engine.voices()}
    with pytest.raises(BadRequest, match=package):
        said(engine, voice=voice)


def test_closing_stops_the_work(model: KokoroEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    speak_once = model.network.speak

    def counted(*arguments: Any) -> Any:
        nonlocal passes
        passes += 1
        return speak_once(*arguments)

    monkeypatch.setattr(model.network, "speak", counted)
    engine = reopened(model, pass_phonemes=12)
    stream = engine.synthesize(Utterance("One two three four five six seven eight nine ten.", "af_heart"))
    assert isinstance(next(stream), Chunk)
    stream.close()
    assert passes == 1
    assert len(speak(engine, "Still here.").pcm) > 0


def test_bf16_keeps_durations_and_nearly_the_sound(model: KokoroEngine, folder: Path) -> None:
    fast = open_engine(str(folder), precision="bf16")
    exact, near = said(model), said(fast)
    assert exact.words == near.words
    assert len(exact.pcm) == len(near.pcm)
    assert not np.array_equal(exact.pcm, near.pcm)
    difference = exact.pcm.astype(float) - near.pcm
    assert np.sqrt(np.mean(difference**2)) < 0.1 * np.sqrt(np.mean(exact.pcm.astype(float) ** 2))
    assert fast.model.version != model.model.version


@pytest.fixture
def last_layer(model: KokoroEngine) -> Iterator[Any]:
    """The bias of the generator's last layer, put back afterwards."""
    bias = model.network.net.decoder.generator.conv_post.bias.data
    before = bias.clone()
    yield bias
    bias.copy_(before)


def test_loud_audio_is_clipped_not_wrapped(model: KokoroEngine, last_layer: Any) -> None:
    last_layer.fill_(3.0)
    pcm = said(model).pcm
    assert np.abs(pcm.astype(int)).max() == 32767
    assert np.mean(np.abs(pcm) == 32767) > 0.01


def test_audio_that_is_not_a_number_fails_the_engine(model: KokoroEngine, last_layer: Any) -> None:
    last_layer.fill_(float("nan"))
    with pytest.raises(EngineFailed):
        said(model)


def test_weights_that_lack_a_part_are_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    copy = shutil.copytree(folder, tmp_path / "lacking")
    weights = torch.load(copy / "kokoro-v1_0.pth", weights_only=True)
    del weights["bert"]["module.embeddings.word_embeddings.weight"]
    torch.save(weights, copy / "kokoro-v1_0.pth")
    with pytest.raises(ValueError, match=r"lacks 1 tensors, first bert\.embeddings\.word_embeddings\.weight"):
        open_engine(str(copy))
    assert Folder(copy).fingerprint() != Folder(folder).fingerprint()


@pytest.mark.parametrize(
    ("gone", "told"), [("config.json", "config.json"), ("kokoro-v1_0.pth", "weights"), ("voices", "af_heart.pt")]
)
def test_a_folder_that_lacks_something_says_what(folder: Path, tmp_path: Path, gone: str, told: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "lacking", ignore=shutil.ignore_patterns(gone))
    with pytest.raises(FileNotFoundError, match=told):
        open_engine(str(copy))


def test_no_folder_no_engine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_engine(str(tmp_path / "nowhere"))


def broken_voice(kind: str) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({} if kind == "a dictionary" else torch.zeros(3 if kind == "short" else (510, 1, 256)), file)
    return {"empty": b"", "text": b"not a voice", "cut": file.getvalue()[:-200]}.get(kind, file.getvalue())


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "short", "a dictionary"])
def test_a_broken_voice_fails_alone_and_the_others_still_speak(
    model: KokoroEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "af_sky.pt").write_bytes(broken_voice(kind))
    shutil.copy(folder / "voices" / "af_heart.pt", tmp_path)
    monkeypatch.setattr(model.network, "voice_file", lambda voice: tmp_path / f"{voice}.pt")
    monkeypatch.setattr(model.network, "packs", {})
    broken, whole = Utterance("Hello.", "af_sky"), Utterance("Hello.", "af_heart")
    parts = list(model.synthesize_batch([broken, whole]))
    assert [type(part) for nth, part in parts if nth == 0] == [EngineFailed]
    assert sum(len(part.pcm) for nth, part in parts if nth == 1 and isinstance(part, Chunk)) > 0


def test_the_hub_is_asked_through_its_own_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as hub

    cache = tmp_path / "models--hexgrad--Kokoro-82M"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    engine = open_engine()
    assert len([voice for voice in engine.voices() if voice.language.startswith("en")]) == 28
    assert len(said(engine).pcm) > 0
    with pytest.raises(EngineFailed):
        said(engine, voice="af_nova")  # published, but not in this cache
