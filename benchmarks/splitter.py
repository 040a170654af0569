"""Claim: blocks cost next to nothing: 5 million characters a second, fed as a language model writes them.

One reference is the bare sentence segmenter, which gets the whole text at once, the other what a call that only
keeps its token costs on this machine.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence

import sentencex

from benchmarks.harness import report
from voicewire.blocks import Splitter
from voicewire.types import Block

CHARS = 300_000  # a round is short, so that some rounds have the core for themselves
TOKEN_CHARS = 4
ROUNDS = 30
TARGET_CHARS_PER_S = 5_000_000
SENTENCES_PER_PARAGRAPH = (3, 7)
# fmt: off
WORDS = (
    "the", "of", "and", "to", "in", "that", "was", "his", "with", "for", "had", "her", "not", "but", "which", "from",
    "this", "they", "were", "their", "been", "have", "would", "there", "what", "could", "when", "them", "some",
    "into", "time", "more", "other", "about", "little", "before", "should", "people", "through", "after", "great",
    "never", "against", "house", "morning", "children", "different", "something", "question", "government",
    "whatever", "company", "remember", "important",
)
# fmt: on
NAMED = 0.25  # sentences with a name or number, most of which hold a full stop that ends nothing
NAMES = ("Dr. Marsh", "Mrs. Okafor", "the U.S. Army", "Anna", "J. R. Hale", "Vienna", "version 3.14")


def sentence(rng: random.Random) -> str:
    """About 90 characters, with the marks that real sentences have."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(12, 20))]
    if rng.random() < NAMED:
        words[rng.randrange(1, len(words))] = rng.choice(NAMES)
    comma = rng.randrange(2, len(words) - 2)
    words[comma] += ","
    words[0] = words[0].capitalize()
    return " ".join(words) + rng.choice(".....?!")


def text_of(chars: int, rng: random.Random) -> str:
    """Paragraphs of sentences, `chars` code points."""
    paragraphs: list[str] = []
    size = 0
    while size < chars:
        paragraphs.append(" ".join(sentence(rng) for _ in range(rng.randint(*SENTENCES_PER_PARAGRAPH))))
        size += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)[:chars]


class Keeper:
    """What every splitter has to do at least: take a token, and say that there is nothing yet."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def push(self, text: str) -> list[Block]:
        self._parts.append(text)
        return []

    def end(self) -> list[Block]:
        return []


def split(tokens: list[str], splitter: Splitter | Keeper) -> int:
    """Feed `tokens`; return how many blocks they made."""
    push = splitter.push
    blocks = 0
    for token in tokens:
        blocks += len(push(token))
    return blocks + len(splitter.end())


def best_chars_per_s(works: Sequence[Callable[[], object]], chars: int) -> list[float]:
    """The best of some rounds of each, in turns, by the time of this core: what the code costs, not the neighbours."""
    best_s = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for index, work in enumerate(works):
            gc.collect()
            begun = time.process_time()
            work()
            best_s[index] = min(best_s[index], time.process_time() - begun)
    return [chars / spent_s for spent_s in best_s]


def main() -> None:
    text = text_of(CHARS, random.Random(2))
    tokens = [text[at : at + TOKEN_CHARS] for at in range(0, len(text), TOKEN_CHARS)]
    ours, reference, reference_push = best_chars_per_s(
        [
            lambda: split(tokens, Splitter()),
            lambda: sentencex.segment("en", text),
            lambda: split(tokens, Keeper()),
        ],
        len(text),
    )
    report(
        name="splitter",
        chars_per_s=round(ours),
        reference="the bare segmenter, given the whole text at once",
        reference_chars_per_s=round(reference),
        ratio=ours / reference,
        reference_push="a push that only keeps its token",
        reference_push_chars_per_s=round(reference_push),
        ratio_push=ours / reference_push,
        target_chars_per_s=TARGET_CHARS_PER_S,
        blocks=split(tokens, Splitter()),
        token_chars=TOKEN_CHARS,
    )


if __name__ == "__main__":
    main()
