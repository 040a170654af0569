"""The friendly names of espeak's voices, and which voice speaks which language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from voicewire.types import Voice


class Native(NamedTuple):
    """A voice or a variant as espeak lists it. `languages`: its own first."""

    name: str
    languages: tuple[str, ...]
    identifier: str  # the path of its file, such as "gmw/en-US" or "!v/f3"
    gender: str


DEFAULT = "en-us"

# The voices shown first, the best for each big language before its others: voice, variant, name.
_CURATED = (
    ("en-us", "", "Sam"), ("en-us", "f2", "Ava"), ("en-us", "m3", "Jack"), ("en-us", "f4", "Nora"),
    ("en-gb", "", "George"), ("en-gb", "f2", "Emma"),
    ("es", "", "Mateo"), ("es", "f2", "Lucía"), ("es-419", "", "Diego"), ("es-419", "f2", "Sofía"),
    ("fr-fr", "", "Louis"), ("fr-fr", "f2", "Chloé"),
    ("de", "", "Lukas"), ("de", "f2", "Anna"),
    ("it", "", "Luca"), ("it", "f2", "Giulia"),
    ("pt-br", "", "João"), ("pt-br", "f2", "Beatriz"), ("pt", "", "Tiago"), ("pt", "f2", "Inês"),
    ("nl", "", "Daan"), ("nl", "f2", "Sanne"),
    ("pl", "", "Jakub"), ("pl", "f2", "Zofia"),
    ("ru", "", "Ivan"), ("ru", "f2", "Darya"),
    ("uk", "", "Taras"), ("uk", "f2", "Oksana"),
    ("tr", "", "Emre"), ("tr", "f2", "Elif"),
    ("ar", "", "Omar"), ("ar", "f2", "Layla"),
    ("hi", "", "Arjun"), ("hi", "f2", "Priya"),
    ("cmn", "", "Wei"), ("cmn", "f2", "Mei"),
    ("ja", "", "Ren"), ("ja", "f2", "Sakura"),
    ("ko", "", "Minjun"), ("ko", "f2", "Jiwoo"),
    ("vi", "", "Minh"), ("vi", "f2", "Linh"),
    ("id", "", "Budi"), ("id", "f2", "Sari"),
    ("sv", "", "Erik"), ("sv", "f2", "Astrid"),
)  # fmt: skip

# espeak's own codes that are not BCP 47, or say less than it knows.
_TAGS = {
    "ca-ba": "ca-x-balear", "ca-nw": "ca-x-nordocc", "ca-va": "ca-valencia", "en-us-nyc": "en-US-x-nyc",
    "es": "es-ES", "piqd": "tlh-Piqd", "pt": "pt-PT", "py": "art-x-pyash", "ru-cl": "ru-x-classic",
}  # fmt: skip

# What people ask for, and what espeak calls it.
_ALIASES = {
    "en-au": "en-gb", "en-ie": "en-gb", "en-in": "en-gb", "en-nz": "en-gb", "en-za": "en-gb", "in": "id", "iw": "he",
    "mo": "ro", "nn": "nb", "no": "nb", "sh": "hr", "tlh": "piqd", "zh": "cmn", "zh-hant-hk": "yue", "zh-hk": "yue",
    "zh-mo": "yue", "zh-yue": "yue",
}  # fmt: skip


class Directory:
    """Every voice of one espeak: lists them, and finds the one that is meant."""

    def __init__(self, natives: Sequence[Native], variants: Sequence[Native], model: str) -> None:
        speakers = Counter(_own(native) for native in natives)
        self._natives = {_id(native, alone=speakers[_own(native)] == 1): native for native in natives}
        self._variants = {variant.identifier.removeprefix("!v/").lower(): variant for variant in variants}
        self.voices = tuple(self._curated(model) + self._plain(model))

    def find(self, voice: str, language: str = "") -> str | None:
        """Return what espeak calls `voice` ("en-us", "en-us+f3", "gmw/en-US"), or None when it has no such voice.

        Without a voice it is the best for `language`; a voice of another language lends its variant to it.
        """
        base, _, variant = (voice if voice or language else DEFAULT).lower().partition("+")
        native = self._native(base)
        if language and (not base or (native and not _related(native, language))):
            native = self._speaker(language) or native
        if native is None or (variant and variant not in self._variants):
            return None
        return native.identifier + (f"+{self._variants[variant].identifier.removeprefix('!v/')}" if variant else "")

    def _native(self, base: str) -> Native | None:
        by_path = (native for native in self._natives.values() if native.identifier.lower() == base)
        return self._natives.get(base) or next(by_path, None)

    def _speaker(self, language: str) -> Native | None:
        subtags = language.lower().replace("_", "-").split("-")
        for length in range(len(subtags), 0, -1):
            tag = "-".join(subtags[:length])
            tag = _ALIASES.get(tag, tag)
            found = self._tagged(tag) or self._native(tag)
            if found:
                return found
        return None

    def _tagged(self, tag: str) -> Native | None:
        # In the order of the catalogue: "en" is the first English voice shown.
        shown = [(self._natives[voice.id.partition("+")[0]], voice.language.lower()) for voice in self.voices]
        exact = (native for native, own in shown if tag == own)
        wider = (native for native, own in shown if own.startswith(tag + "-"))
        other = (native for native, _ in shown if tag in native.languages)
        return next(exact, None) or next(wider, None) or next(other, None)

    def _curated(self, model: str) -> list[Voice]:
        return [
            self._voice(base, variant, name, model)
            for base, variant, name in _CURATED
            if base in self._natives and (not variant or variant in self._variants)
        ]

    def _plain(self, model: str) -> list[Voice]:
        shown = {base for base, _, _ in _CURATED}
        rest = sorted(self._natives.items(), key=lambda entry: entry[1].name)
        return [self._voice(base, "", native.name, model) for base, native in rest if base not in shown]

    def _voice(self, base: str, variant: str, name: str, model: str) -> Voice:
        native = self._natives[base]
        gender = self._variants[variant].gender if variant else native.gender
        kind = f"{gender} voice".strip().capitalize()
        speech = native.name.replace(", latin as English", "")
        return Voice(
            id=f"{base}+{variant}" if variant else base,
            name=name,
            model=model,
            language=bcp47(base),
            gender=gender,
            description=f"{kind} for {speech}, clear and quick rather than human.",
        )


def bcp47(code: str) -> str:
    """Write espeak's code of a language as a BCP 47 tag, in its usual case."""
    first, *rest = _TAGS.get(code, code).split("-")
    cased = [first.lower()]
    for subtag in rest:
        private = "x" in cased
        region = len(subtag) == 2 and not private
        script = len(subtag) == 4 and subtag.isalpha() and not private
        cased.append(subtag.upper() if region else subtag.title() if script else subtag.lower())
    return "-".join(cased)


def _id(native: Native, *, alone: bool) -> str:
    return _own(native) if alone else native.identifier.rpartition("/")[2].lower()


def _own(native: Native) -> str:
    return native.languages[0].lower()


def _related(native: Native, language: str) -> bool:
    return _primary(language) in map(_primary, native.languages)


def _primary(language: str) -> str:
    primary = language.lower().replace("_", "-").partition("-")[0]
    return _ALIASES.get(primary, primary)
