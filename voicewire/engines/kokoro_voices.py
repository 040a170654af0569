"""The voices of Kokoro-82M, as published, and how a voice or a blend of voices is asked for: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from voicewire.errors import BadRequest
from voicewire.types import Voice

DEFAULT_VOICE = "af_heart"
BLEND_PARTS_MAX = 8
BLEND_WEIGHT_MAX = 100.0


class Language(NamedTuple):
    """A language of the model: the first letter of its voices' ids, BCP 47 and its name."""

    letter: str
    tag: str
    name: str


LANGUAGES = (
    Language("a", "en-US", "American English"),
    Language("b", "en-GB", "British English"),
    Language("e", "es", "Spanish"),
    Language("f", "fr-FR", "French"),
    Language("h", "hi", "Hindi"),
    Language("i", "it", "Italian"),
    Language("j", "ja", "Japanese"),
    Language("p", "pt-BR", "Brazilian Portuguese"),
    Language("z", "zh", "Mandarin Chinese"),
)
_GENDERS = {"f": "female", "m": "male"}

# id, friendly name, what the publisher says of it (a grade from A to F, by target quality and hours of training).
_PUBLISHED = (
    ("af_heart", "Heart", "the model's best voice, grade A"),
    ("af_bella", "Bella", "lively, grade A-"),
    ("af_nicole", "Nicole", "close to the microphone, whispering, grade B-"),
    ("af_aoede", "Aoede", "grade C+"),
    ("af_kore", "Kore", "grade C+"),
    ("af_sarah", "Sarah", "grade C+"),
    ("af_alloy", "Alloy", "grade C"),
    ("af_nova", "Nova", "grade C"),
    ("af_sky", "Sky", "trained on minutes of speech, grade C-"),
    ("af_jessica", "Jessica", "grade D"),
    ("af_river", "River", "grade D"),
    ("am_fenrir", "Fenrir", "grade C+"),
    ("am_michael", "Michael", "grade C+"),
    ("am_puck", "Puck", "grade C+"),
    ("am_echo", "Echo", "grade D"),
    ("am_eric", "Eric", "grade D"),
    ("am_liam", "Liam", "grade D"),
    ("am_onyx", "Onyx", "grade D"),
    ("am_santa", "Santa", "trained on minutes of speech, grade D-"),
    ("am_adam", "Adam", "grade F+"),
    ("bf_emma", "Emma", "the best British voice, grade B-"),
    ("bf_isabella", "Isabella", "grade C"),
    ("bf_alice", "Alice", "grade D"),
    ("bf_lily", "Lily", "grade D"),
    ("bm_fable", "Fable", "grade C"),
    ("bm_george", "George", "grade C"),
    ("bm_lewis", "Lewis", "grade D+"),
    ("bm_daniel", "Daniel", "grade D"),
    ("ef_dora", "Dora", "not graded"),
    ("em_alex", "Alex", "not graded"),
    ("em_santa", "Papá Noel", "not graded"),
    ("ff_siwis", "Siwis", "trained on the SIWIS recordings, grade B-"),
    ("hf_alpha", "Alpha", "grade C"),
    ("hf_beta", "Beta", "grade C"),
    ("hm_omega", "Omega", "grade C"),
    ("hm_psi", "Psi", "grade C"),
    ("if_sara", "Sara", "grade C"),
    ("im_nicola", "Nicola", "grade C"),
    ("jf_alpha", "Arufa", "grade C+"),
    ("jf_gongitsune", "Gongitsune", "a teller of tales, grade C"),
    ("jf_tebukuro", "Tebukuro", "a teller of tales, grade C"),
    ("jf_nezumi", "Nezumi", "a teller of tales, grade C-"),
    ("jm_kumo", "Kumo", "a teller of tales, grade C-"),
    ("pf_dora", "Dora do Brasil", "not graded"),
    ("pm_alex", "Alex do Brasil", "not graded"),
    ("pm_santa", "Papai Noel", "not graded"),
    ("zf_xiaobei", "Xiaobei", "grade D"),
    ("zf_xiaoni", "Xiaoni", "grade D"),
    ("zf_xiaoxiao", "Xiaoxiao", "grade D"),
    ("zf_xiaoyi", "Xiaoyi", "grade D"),
    ("zm_yunjian", "Yunjian", "grade D"),
    ("zm_yunxi", "Yunxi", "grade D"),
    ("zm_yunxia", "Yunxia", "grade D"),
    ("zm_yunyang", "Yunyang", "grade D"),
)
PUBLISHED_IDS = tuple(id for id, _, _ in _PUBLISHED)


def catalogue(model: str, ids: Iterable[str], letters: Iterable[str]) -> list[Voice]:
    """Describe those of `ids` whose language is in `letters`, the published ones first.

    A voice that is not published, such as one's own mix in the folder, is listed under its id.
    """
    present = {id for id in ids if id[:1] in set(letters) and says_language(id)}
    own = [(id, id, "not one of the published voices") for id in sorted(present - set(PUBLISHED_IDS))]
    return [_voice(model, *row) for row in (*_PUBLISHED, *own) if row[0] in present]


def says_language(id: str) -> bool:
    """Whether `id` begins as the model's voices do, with the letter of a language and that of a gender."""
    return re.fullmatch(r"[abefhijpz][fm]_\w+", id) is not None


def _voice(model: str, id: str, name: str, remark: str) -> Voice:
    language, gender = language_of(id), _GENDERS[id[1]]
    return Voice(id, name, model, language.tag, gender, f"{language.name}, {gender}; {remark}")


def language_of(voice: str) -> Language:
    """Return the language in which the voice was recorded."""
    return next(language for language in LANGUAGES if language.letter == voice[0])


def language_for(tag: str, voice: str) -> Language:
    """Return the language that the BCP 47 `tag` asks for, that of `voice` where it leaves the choice.

    Raises `BadRequest` for a language that the model does not speak.
    """
    own = language_of(voice)
    wanted = tag.replace("_", "-").lower()
    known = [language for language in LANGUAGES if language.tag.lower() == wanted]
    alike = [language for language in (own, *LANGUAGES) if _family(language.tag) == _family(wanted)]
    if wanted and not alike:
        raise BadRequest("bad_message", problem=f"this model does not speak {tag!r}")
    return [*known, *alike, own][0]


def _family(tag: str) -> str:
    return tag.lower().split("-")[0]


class Part(NamedTuple):
    """One voice of a blend and its share; the shares of a blend add up to 1."""

    voice: str
    share: float


_PART = re.compile(r"\s*(?P<voice>\w+)\s*(?:\(\s*(?P<weight>\d+(?:\.\d+)?|\.\d+)\s*\))?\s*", re.ASCII)


def parse_blend(text: str) -> list[Part]:
    """Read `af_bella`, `af_bella+af_sky`, `af_bella,af_sky` or `af_bella(2)+af_sky(1)`.

    Raises `BadRequest` when it is none of these, or too long. Whether the voices exist is not asked here.
    """
    parts = re.split(r"[+,]", text)
    if len(parts) > BLEND_PARTS_MAX:
        raise BadRequest("bad_message", problem=f"a blend has at most {BLEND_PARTS_MAX} voices")
    found = [_PART.fullmatch(part) for part in parts]
    if len(parts) == 1 and found[0] is None:
        raise BadRequest("unknown_voice", voice=text)
    weighted = [(part["voice"], float(part["weight"] or 1)) for part in found if part]
    if len(weighted) < len(parts) or not all(0 < weight <= BLEND_WEIGHT_MAX for _, weight in weighted):
        problem = f"a blend of voices reads a(2)+b(1), with weights above 0 and up to {BLEND_WEIGHT_MAX:g}"
        raise BadRequest("bad_message", problem=problem)
    total = sum(weight for _, weight in weighted)
    return [Part(voice, weight / total) for voice, weight in weighted]
