"""Mail, by real SMTP servers on ports of their own: one that takes it, and several that do not."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from voicewire.accounts.letters import Letters
from voicewire.accounts.mail import FileCarrier, Letter, Mailer, NotSent, Refused, open_carrier
from voicewire.accounts.smtp import SmtpCarrier
from voicewire.errors import Busy

TOKEN = "token-of-a-link-that-is-secret"
ADDRESS = "https://speech.example.org"


class Inbox:
    """What a mail server was given; `answers` come first, one for each attempt."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.attempts = 0
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.attempts += 1
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


@asynccontextmanager
async def smtp_server(inbox: Inbox, **options: Any) -> AsyncIterator[int]:
    """A real mail server; yields its port."""
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(inbox, hostname="mail.example.org", loop=loop, **options)

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def running(mailer: Mailer) -> AsyncIterator[Mailer]:
    tasks = [asyncio.create_task(mailer.run()) for _ in range(2)]
    try:
        yield mailer
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def letter() -> Letter:
    return Letters(ADDRESS).verify("ada@example.org", TOKEN)


def mailer(port: int, pauses_s: tuple[float, ...] = (0.01, 0.01), timeout_s: float = 5.0) -> Mailer:
    carrier = SmtpCarrier(f"smtp://127.0.0.1:{port}", timeout_s, total_s=timeout_s * 2)
    return Mailer(carrier, "voicewire <voice@example.org>", pauses_s)


async def test_a_letter_arrives_as_text_and_as_html() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port, running(mailer(port)) as sending:
        sending.post(letter())
        await sending.drain()
    (mail,) = inbox.mails
    assert mail["To"] == "ada@example.org"
    assert mail["From"] == "voicewire <voice@example.org>"
    assert mail["Subject"] == "Confirm your address"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.org>")
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    link = f"{ADDRESS}/account/#verify={TOKEN}"
    assert link in text.get_content().split()
    assert f'href="{link}"' in html.get_content()
    assert sending.sent == 1


@pytest.mark.parametrize("answers", [("451 later", "421 too busy")])
async def test_what_is_refused_for_now_is_sent_again(answers: tuple[str, ...]) -> None:
    inbox = Inbox(*answers)
    async with smtp_server(inbox) as port, running(mailer(port)) as sending:
        sending.post(letter())
        await sending.drain()
    assert inbox.attempts == 3
    assert len(inbox.mails) == 1


async def test_what_is_refused_for_good_is_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox(f"554 no such person as ada@example.org, {TOKEN}")
    async with smtp_server(inbox) as port, running(mailer(port)) as sending:
        sending.post(letter())
        await sending.drain()
    assert (inbox.attempts, sending.sent, sending.lost) == (1, 0, 1)
    assert "a verify mail could not be sent: status 554" in caplog.text
    assert "ada@" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_server_that_says_nothing_is_given_up_after_all_tries(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running(mailer(port, timeout_s=0.05)) as sending:
        sending.post(letter())
        await sending.drain()
    server.close()
    await server.wait_closed()
    assert attempts == 3
    assert sending.lost == 1
    assert TOKEN not in caplog.text


async def test_what_is_in_hand_when_the_server_stops_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with smtp_server(Inbox()) as port:
        pass
    sending = mailer(port, pauses_s=(60.0,))
    async with running(sending):
        sending.post(letter())
        await sending.drain(within_s=0.3)
        assert sending.waiting == 1
    assert "1 mails were not sent" in caplog.text


async def test_a_letter_outlasts_a_server_that_is_away() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        pass
    sending = mailer(port, pauses_s=(0.05,) * 50)
    async with running(sending):
        sending.post(letter())
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(inbox, hostname="a.example", loop=loop), "127.0.0.1", port)
        await sending.drain()
        server.close()
        await server.wait_closed()
    assert len(inbox.mails) == 1


async def test_too_many_letters_are_refused_and_none_of_the_others_is_lost() -> None:
    inbox = Inbox()
    async with smtp_server(inbox) as port:
        sending = Mailer(SmtpCarrier(f"smtp://127.0.0.1:{port}"), "a@example.org", waiting_max=3)
        for _ in range(3):
            sending.post(letter())
        with pytest.raises(Busy):
            sending.post(letter())
        async with running(sending):
            await sending.drain()
    assert len(inbox.mails) == 3


class Pickup:
    """A carrier that is told what to do: for what a mail server cannot be made to do."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    async def carry(self, _message: EmailMessage, /) -> None:
        self.act()


@pytest.mark.parametrize(("failure", "tries"), [(Refused(550), 1), (NotSent("OSError"), 3)])
async def test_each_kind_of_failure_has_its_tries(failure: Exception, tries: int) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise failure

    async with running(Mailer(Pickup(fail), "a@example.org", (0, 0))) as sending:
        sending.post(letter())
        await sending.drain()
    assert len(tried) == tries


async def test_a_password_goes_to_this_machine_only_without_tls() -> None:
    inbox, shown = Inbox(), []

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _kind: str, given: LoginPassword) -> AuthResult:
        shown.append((given.login, given.password))
        return AuthResult(success=True)

    async with smtp_server(inbox, authenticator=check, auth_require_tls=False) as port:
        here = SmtpCarrier(f"smtp://me:p%40ss@127.0.0.1:{port}")
        await here.carry(_plain())
        assert shown == [(b"me", b"p@ss")]
        elsewhere = SmtpCarrier(f"smtp://me:p%40ss@127.0.0.1.nip.invalid:{port}")
        elsewhere._host = "localhost."  # another name of this machine, which does not count as one
        with pytest.raises(NotSent):
            await elsewhere.carry(_plain())
    assert len(shown) == len(inbox.mails) == 1


def _plain() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "a"
    message.set_content("text")
    return message


async def test_without_a_server_mails_are_files_for_the_owner_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        carrier = open_carrier("", tmp_path)
    assert str(tmp_path / "mail") in caplog.text
    async with running(Mailer(carrier, "a@example.org")) as sending:
        sending.post(letter())
        await sending.drain()
    (file,) = (tmp_path / "mail").iterdir()
    assert file.suffix == ".eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert f"  {ADDRESS}/account/#verify={TOKEN}\n" in file.read_text()
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert mail["To"] == "ada@example.org"


async def test_only_the_latest_files_are_kept(tmp_path: Path) -> None:
    carrier = FileCarrier(tmp_path, files_max=3)
    for number in range(6):
        message = _plain()
        message["X-Number"] = str(number)
        await carrier.carry(message)
    kept = [email.message_from_bytes(path.read_bytes())["X-Number"] for path in sorted(tmp_path.iterdir())]
    assert kept == ["3", "4", "5"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\r\nBcc: eve@example.org", "“Ω”"])
async def test_names_that_people_choose_stay_text(name: str, tmp_path: Path) -> None:
    async with running(Mailer(FileCarrier(tmp_path), "a@example.org")) as sending:
        sending.post(Letters(ADDRESS).join("ada@example.org", "token", name, name))
        await sending.drain()
    (file,) = tmp_path.iterdir()
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail["Bcc"] is None
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()
