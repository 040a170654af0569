import asyncio
import statistics
import time

import pytest

from voicewire.auth.passwords import PASSWORD_CHARS, Passwords, Work, password_problem
from voicewire.errors import Busy

CHEAP = Work(1, 64)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


async def test_the_right_password_is_right_and_no_other_is(passwords: Passwords) -> None:
    kept = await passwords.hash("a riddle of eels")
    assert kept.startswith("$argon2id$")
    assert (await passwords.check("a riddle of eels", kept)).right
    for other in ("a riddle of eelS", "a riddle of eels ", "", "x" * 10_000, "\ud800"):
        assert not (await passwords.check(other, kept)).right


async def test_two_ways_to_compose_a_letter_are_one_password(passwords: Passwords) -> None:
    kept = await passwords.hash("schl\u00fcsselbund")
    assert (await passwords.check("schlu\u0308sselbund", kept)).right


@pytest.mark.parametrize("kept", [None, "", "plain text", "$argon2id$v=19$m=1,t=1,p=1$$"])
async def test_nobody_has_a_password(passwords: Passwords, kept: str | None) -> None:
    assert await passwords.check("a riddle of eels", kept) == (False, None)


async def test_a_hash_made_with_less_work_is_renewed(passwords: Passwords) -> None:
    kept = await passwords.hash("a riddle of eels")
    stronger = Passwords(Work(2, 128))
    assert await stronger.check("another riddle", kept) == (False, None)
    right, renewed = await stronger.check("a riddle of eels", kept)
    assert right
    assert renewed
    assert "m=128,t=2" in renewed
    assert await stronger.check("a riddle of eels", renewed) == (True, None)


async def test_beyond_the_bound_callers_are_refused_and_the_rest_is_answered() -> None:
    passwords = Passwords(Work(2, 1024), waiting_max=6)
    answers = await asyncio.gather(*(passwords.hash(f"password {n}") for n in range(20)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, Busy)]
    assert len(refused) == 14
    assert all(each.retry_after_ms for each in refused)
    assert len(await asyncio.gather(*(passwords.hash("once more, please") for _ in range(6)))) == 6
    passwords.close()


async def test_a_caller_who_goes_away_frees_its_place() -> None:
    passwords = Passwords(CHEAP, waiting_max=1)
    gone = asyncio.create_task(passwords.hash("one of the many"))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await passwords.hash("one of the many")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await passwords.hash("one of the many")


async def test_a_stranger_is_as_much_work_as_a_person() -> None:
    """Processor time, not waiting; a factor of two is far from the hundreds that no work gives."""
    passwords = Passwords(Work(2, 8 * 1024))
    kept = await passwords.hash("a riddle of eels")
    spent: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(20):
        known = bool(turn % 2)
        before = time.process_time()
        await passwords.check("not the password", kept if known else None)
        spent[known].append(time.process_time() - before)
    known_s, unknown_s = (statistics.median(spent[known]) for known in (True, False))
    assert 0.5 < unknown_s / known_s < 2


@pytest.mark.parametrize(
    "password",
    [
        "", "nine char", "x" * (PASSWORD_CHARS[1] + 1), "1234567890", "Password12345", "aaaaaaaaaaaa", "abababababab",
        "VOICEWIRE2026!", "ada.lovelace", "Ada.Lovelace99", "ada.lovelace@example.org", "welcome!!!!!", "QWERTYUIOP",
    ],
)  # fmt: skip
def test_what_is_tried_first_is_no_password(password: str) -> None:
    assert password_problem(password, "ada.lovelace@example.org")


@pytest.mark.parametrize(
    "password", ["a riddle of eels", "x7#kkP2qLm", "пароль с пробелами", "7391846205", "🐟🐠🐡🐟🐠🐡🐟🐠🐡🦈"]
)
def test_any_other_password_is_one(password: str) -> None:
    assert not password_problem(password, "ada.lovelace@example.org")
