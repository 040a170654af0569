"""Every error a client can see, in one table: code → message, HTTP status, close code, retryable.

The exception classes say what the caller can do about it. An exception carries fields, never prose;
each transport translates it once, through `describe`.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple


class Row(NamedTuple):
    """One line of the table. `close` is the WebSocket close code when the error ends the socket."""

    message: str
    status: int
    close: int
    retryable: bool


TABLE: dict[str, Row] = {
    "bad_message": Row("the message is not valid: {problem}", 400, 4500, False),
    "unknown_context": Row("there is no open context {context!r}", 404, 4500, False),
    "duplicate_context": Row("the context {context!r} is already open", 409, 4500, False),
    "unknown_call": Row("there is no call {call!r}", 404, 4500, False),
    "too_many_contexts": Row("at most {limit} contexts may be open at once", 429, 4029, True),
    "text_too_long": Row("the text is longer than {limit} characters", 413, 4500, False),
    "unknown_model": Row("there is no model {model!r}", 404, 4500, False),
    "unknown_voice": Row("there is no voice {voice!r}", 404, 4500, False),
    "unsupported_format": Row("the format is not supported: {problem}", 400, 4500, False),
    "unauthorized": Row("the credential is missing, wrong or expired", 401, 4501, False),
    "issuer_failed": Row("the sign-in service cannot be used now: {problem}", 503, 4013, True),
    "forbidden": Row("this credential may not do that: {problem}", 403, 4503, False),
    "terms_required": Row("the terms, version {version!r}, must be accepted first", 403, 4503, False),
    "no_hello": Row("the first message must be hello or resume, within {limit} s", 401, 4504, False),
    "rate_limited": Row("too many requests", 429, 4029, True),
    "too_many_streams": Row("at most {limit} streams may run at once", 429, 4029, True),
    "insufficient_credit": Row("the credit is used up", 402, 4502, False),
    "payment_required": Row("the plan {plan!r} has to be paid for", 402, 4502, False),
    "busy": Row("too much is asked for, or a part of the server is away", 503, 4013, True),
    "draining": Row("the server is being replaced; connect again", 503, 1012, True),
    "engine_failed": Row("the engine could not speak this text", 502, 4013, True),
    "slow_consumer": Row("the audio was not read in time", 408, 4008, True),
    "resume_gone": Row("what was begun cannot be continued without a hole", 410, 4500, False),
    "link_gone": Row("this link was used before, or is too old", 410, 4500, False),
    "resumed_elsewhere": Row("the session goes on over another connection", 409, 4009, False),
    "too_large": Row("the message is larger than {limit} bytes", 413, 1009, False),
    "not_found": Row("there is nothing at this address", 404, 4500, False),
    "method_not_allowed": Row("this address does not take that method", 405, 4500, False),
    "range_not_satisfiable": Row("the file has {size} bytes", 416, 4500, False),
    "upgrade_required": Row("this address speaks WebSocket only", 426, 4500, False),
    "conflict": Row("that is there already", 409, 4500, False),
    "internal": Row("the server made a mistake", 500, 4013, True),
}


RETRY_MS = 1_000  # what a caller is told to wait where nobody knows better


SECRET_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(vw_[a-z]+_\w+?)_[\w-]{20,}"), r"\1_…"),  # an API key keeps its id
    (re.compile(r"\beyJ[\w-]*\.[\w-]*\.[\w-]*"), "…"),  # a JSON Web Token
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"\\]+"), r"\1 …"),
    # where clients of vendors put one: subprotocols, first messages, addresses
    (re.compile(r"(?i)\b(token|bearer),\s*[^\s,'\"\\]+"), r"\1, …"),
    (re.compile(r"(openai-insecure-api-key)\.[^\s,'\"\\]+"), r"\1.…"),
    (
        re.compile(
            r"(?i)\b(xi[-_]api[-_]key|authorization|access_token|api_key)(\W?\W?\s?[=:][\s\\'\"]{0,3})[^\s,&'\"\\]+"
        ),
        r"\1\2…",
    ),
    (re.compile(r"://[^\s/@]*@"), "://…@"),
)
"""What is a secret by its form, and what is said instead."""


def without_secrets(text: str) -> str:
    """Return `text` without what has the form of a secret: it may have come in at a wrong place."""
    for form, instead in SECRET_FORMS:
        text = form.sub(instead, text)
    return text


class VoicewireError(Exception):
    """The root. `code` is a key of `TABLE`; `fields` fill its message."""

    code: ClassVar[str] = "internal"
    wording: ClassVar[str] = ""  # instead of the table's, where that reads badly

    def __init__(self, code: str = "", /, *, retry_after_ms: int | None = None, **fields: object) -> None:
        self.row_code = code or self.code
        self.fields = fields
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)

    @property
    def row(self) -> Row:
        return TABLE[self.row_code]

    @property
    def message(self) -> str:
        """The client's message, in one sentence without secrets."""
        return without_secrets((self.wording or self.row.message).format(**self.fields))


class BadRequest(VoicewireError):
    """The caller must say something else."""

    code = "bad_message"


class Unspoken(BadRequest):
    """The caller must ask for another language than `voice`."""

    code = "unknown_voice"
    wording = "no voice speaks {voice}"


class UnsupportedFormat(BadRequest):
    """The caller must ask for another audio format."""

    code = "unsupported_format"


class Unauthorized(VoicewireError):
    """The caller must show another credential."""

    code = "unauthorized"


class Forbidden(VoicewireError):
    """The caller is known, and may not."""

    code = "forbidden"


class OverQuota(VoicewireError):
    """The caller must wait, pay, or open fewer streams."""

    code = "rate_limited"


class Busy(VoicewireError):
    """The caller may try again after `retry_after_ms`."""

    code = "busy"


class Unstaffed(Busy):
    """Whoever had the block has nobody to make it, or ends: it is as good as new for others."""


class EngineFailed(VoicewireError):
    """The engine gave up on this block; the caller may try again or say something else."""

    code = "engine_failed"


class Gone(VoicewireError):
    """What the caller wants to continue is no longer here."""

    code = "resume_gone"
