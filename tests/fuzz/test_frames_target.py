"""Runs the fuzz target on mutations of real messages, seeded, as far as a test's time goes."""

from __future__ import annotations

import random

from tests.fuzz.frames_target import target
from tests.fuzz.mutations import spliced
from voicewire.frames import pack_audio

SEEDS = (
    b'{"type":"hello","ticket":"t"}',
    b'{"type":"resume","session":"s_1","resume_token":"x","received":{"a":{"seq":412}}}',
    b'{"type":"open","context":"a","voice":"v","speed":1.25,"seed":7,"format":{"codec":"opus","rate":24000,"bundle":5}}',
    b'{"type":"speak","context":"a","text":"It costs $4.50 \xf0\x9f\x91\x8d","words":false,"offsets":"utf16"}',
    b'{"type":"text","context":"a","text":"\\u00e9\\ud83d\\udc4d"}',
    b'{"type":"cancel","context":"a","played_ms":1.5e3}',
    b'{"type":"playhead","context":"a","played_ms":20,"paused":true}',
    b'{"type":"words","context":"a","block":0,"words":[[0,2,0,120],[3,8,120,500]]}',
    pack_audio(3, 1, 412, 197_760, [b"abc"]),
    pack_audio(3, 0, 412, 197_760, [b"abc", b"", b"defgh"]),
)


def test_mutations_of_real_messages() -> None:
    chance = random.Random(20_261_121)
    for _ in range(30_000):
        target(spliced(chance, SEEDS, fewest=0))
