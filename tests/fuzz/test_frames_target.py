"""Runs the fuzz target on mutations of real messages, seeded, as far as a test's time goes."""

from __future__ import annotations

import random

from tests.fuzz.frames_target import target
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
PIECES = (b"{", b"}", b"[", b'"', b"\\", b"\\ud800", b"1e999", b"-", b"null", b"NaN", b"\0", b"\xff", b"9" * 40)


def mutated(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice(PIECES)
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case _:
                other = chance.choice(SEEDS)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)


def test_mutations_of_real_messages() -> None:
    chance = random.Random(20_261_121)
    for _ in range(30_000):
        target(mutated(chance))
