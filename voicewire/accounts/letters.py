"""What our mails say. Links carry their secret behind `#`, which browsers send to no server, so no log has it."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from voicewire.accounts.mail import Letter

PAGE = "/account/"


class Says(NamedTuple):
    """A mail's text: paragraphs before and after what is to be followed."""

    subject: str
    before: tuple[str, ...]
    link: str = ""
    action: str = ""
    after: tuple[str, ...] = ()


class Letters:
    """The mails of a server that people reach at `address`."""

    def __init__(self, address: str) -> None:
        self._page = address.rstrip("/") + PAGE
        self._host = address.split("//", 1)[-1].rstrip("/")

    def verify_link(self, token: str) -> str:
        """Where an address is confirmed."""
        return f"{self._page}#verify={token}"

    def password_link(self, token: str) -> str:
        """Where a new password is set."""
        return f"{self._page}#password={token}"

    def join_link(self, token: str) -> str:
        """Where an invitation is accepted."""
        return f"{self._page}#join={token}"

    def verify(self, to: str, token: str) -> Letter:
        """Ask someone who signed up whether the address is theirs."""
        says = Says(
            "Confirm your address",
            (
                "Hello,",
                f"someone, most likely you, asked for a voicewire account on {self._host} with this address.",
                "To finish it, open this page and give the password that was chosen. It is good once, and for a day:",
            ),
            self.verify_link(token),
            "Confirm my address",
            ("If it was not you, do nothing: without that password no account is made.",),
        )
        return _letter("verify", to, says)

    def known(self, to: str) -> Letter:
        """Tell someone who signed up again that there is an account."""
        says = Says(
            "You have an account",
            (
                "Hello,",
                f"someone, most likely you, tried to make a voicewire account on {self._host} with this address.",
                "There is one already, and it is as it was. You can log in here, or have your password set anew:",
            ),
            self._page,
            "Log in",
            ("If it was not you, there is nothing to do.",),
        )
        return _letter("known", to, says)

    def password(self, to: str, token: str) -> Letter:
        """Let someone set a new password."""
        says = Says(
            "Set a new password",
            (
                "Hello,",
                f"someone, most likely you, forgot the password of your voicewire account on {self._host}.",
                "To set a new one, open this page. It is good once, and for an hour:",
            ),
            self.password_link(token),
            "Set a new password",
            ("If it was not you, do nothing: your password stays as it is.",),
        )
        return _letter("password", to, says)

    def password_changed(self, to: str) -> Letter:
        """Tell someone that the password was changed."""
        says = Says(
            "Your password was changed",
            (
                "Hello,",
                f"the password of your voicewire account on {self._host} was changed just now.",
                "Whoever was logged in elsewhere is not any more. If it was not you, set a new one at once:",
            ),
            self._page,
            "Go to my account",
        )
        return _letter("password-changed", to, says)

    def join(self, to: str, token: str, tenant: str, inviter: str) -> Letter:
        """Ask someone to be a member of a tenant."""
        says = Says(
            f"Join {tenant}",
            (
                "Hello,",
                f'{inviter} would like you to be a member of "{tenant}" on {self._host}.',
                "To accept, open this page and log in. It is good once, and for a week:",
            ),
            self.join_link(token),
            "Join",
            ("If you do not want to, do nothing: nobody is told that you have an account.",),
        )
        return _letter("join", to, says)


def _letter(purpose: str, to: str, says: Says) -> Letter:
    subject = " ".join(says.subject.split())  # names that people chose may hold line ends
    return Letter(purpose, to, subject, _text(says), _html(says))


def _text(says: Says) -> str:
    parts = [*says.before, *([f"  {says.link}"] if says.link else []), *says.after, "-- \nvoicewire"]
    return "\n\n".join(parts) + "\n"


def _html(says: Says) -> str:
    before, after = _paragraphs(says.before), _paragraphs(says.after)
    link = escape(says.link)
    button = (
        f'<p><a href="{link}" style="display:inline-block;padding:.7em 1.2em;border-radius:.4em;'
        f'background:#1a5fb4;color:#fff;text-decoration:none">{escape(says.action)}</a></p>'
        f'<p style="color:#666;font-size:.9em">{link}</p>'
    )
    style = "font-family:system-ui,sans-serif;line-height:1.5;max-width:36em;margin:2em auto;padding:0 1em;color:#222"
    body = before + (button if says.link else "") + after
    return (
        f'<!doctype html><html lang="en"><body style="{style}">{body}<p style="color:#666">voicewire</p></body></html>'
    )


def _paragraphs(texts: tuple[str, ...]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)
