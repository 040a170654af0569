"""What carriers ask when the telephone rings, and what operators' own programs ask for instead of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from voicewire.errors import BadRequest, Unauthorized
from voicewire.server.callers import Callers
from voicewire.server.doors.description import OPEN, declared
from voicewire.server.doors.texts import Body
from voicewire.server.telephony.accounts import Account, Accounts
from voicewire.server.telephony.carriers import CARRIERS, NAME, TOKEN_FIELD
from voicewire.server.telephony.signatures import SIGNATURE, signed_by
from voicewire.server.telephony.tokens import TOKEN_S, Grant, Tokens

VOICE_PATH = "/v1/twilio/voice"
STREAM_PATH = "/v1/{carrier}/stream"
FIELDS_MAX = 200
TWIML = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    "<Response><Connect><Stream url={url}>{parameter}</Stream></Connect></Response>"
)
STREAM_URL, TOKEN = (
    "wss://voice.example/v1/twilio/stream",
    "5f0d1c8a3b7e4d2296c1f84ab3d07e9512c6a8f47be03d915f2a6c7d80e4b931",
)
"""Of examples."""
FORM = {
    "schema": {
        "type": "object",
        "required": ["AccountSid", "CallSid"],
        "properties": {"AccountSid": {"type": "string"}, "CallSid": {"type": "string"}},
        "additionalProperties": {"type": "string"},
    },
    "example": {"AccountSid": f"AC{'0' * 32}", "CallSid": f"CA{'0' * 32}", "From": "+15550100", "To": "+15550101"},
}
ASKED: dict[str, Any] = {
    **OPEN,
    "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": FORM}},
    "parameters": [{"name": SIGNATURE, "in": "header", "required": True, "schema": {"type": "string"}}],
}
"""What the description of Twilio's webhook says of its request, which is read as it was signed, byte for byte."""


@dataclass(frozen=True, slots=True)
class VoiceDoor:
    """`url` is where the world reaches this server, `stream_url` the same by wss."""

    accounts: Accounts
    tokens: Tokens
    url: str
    stream_url: str

    def router(self) -> APIRouter:
        router = APIRouter(tags=["calls"])
        twiml = {"schema": {"type": "string"}, "example": _twiml(STREAM_URL, TOKEN)}
        answers = {200: {"description": "TwiML", "content": {"text/xml": twiml}}, **declared("unauthorized")}
        router.add_api_route(
            VOICE_PATH, self.answer, methods=["POST"], response_class=Response, responses=answers, openapi_extra=ASKED
        )
        return router

    async def answer(self, request: Request) -> Response:
        """Connect a call of Twilio's to a stream. For Twilio, which signs: a signed request is answered once."""
        call, account = await self._checked(request)
        token = await self.tokens.create(Grant(account.tenant, call, account.id))
        return Response(_twiml(self.stream_url + STREAM_PATH.format(carrier="twilio"), token), media_type="text/xml")

    async def _checked(self, request: Request) -> tuple[str, Account]:
        """Return the call, and whose it is. Raises `Unauthorized`, also for what was answered before."""
        fields = await _form(request)
        form = dict(fields)
        account = self.accounts.find(form.get("AccountSid", ""))
        query = f"?{request.url.query}" if request.url.query else ""
        if account is None or not signed_by(account.secret, request.headers, self.url + VOICE_PATH + query, fields):
            raise Unauthorized
        if not await self.tokens.first(request.headers[SIGNATURE]):
            raise Unauthorized
        call = form.get("CallSid", "")
        if not NAME.fullmatch(call):
            raise BadRequest(problem="CallSid is missing")
        return call, account


def _twiml(url: str, token: str) -> str:
    parameter = f"<Parameter name={quoteattr(TOKEN_FIELD)} value={quoteattr(token)}/>"
    return TWIML.format(url=quoteattr(url), parameter=parameter)


async def _form(request: Request) -> list[tuple[str, str]]:
    try:
        text = (await request.body()).decode()
        return parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=FIELDS_MAX, errors="strict"
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BadRequest(problem="it is no form") from error


class CallWanted(Body):
    """Which call a token is for; empty: any."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"call": "CA00000000000000000000000000000000"}]})

    call: Annotated[str, Field(max_length=128, pattern=r"^[\w.:/+=-]*$")] = ""


class TokenIssued(BaseModel):
    """A one-time token for a carrier's stream, and where streams are taken."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": TOKEN,
                    "expires_ms": 60_000,
                    "streams": {"twilio": STREAM_URL},
                }
            ]
        }
    )

    token: str
    expires_ms: int
    streams: dict[str, str]


@dataclass(frozen=True, slots=True)
class TokenDoor:
    """Gives tokens to programs that answer carriers by themselves."""

    tokens: Tokens
    callers: Callers
    stream_url: str

    def router(self) -> APIRouter:
        router = APIRouter(tags=["calls"])
        router.add_api_route("/v1/calls", self.issue, methods=["POST"], response_model=TokenIssued)
        return router

    async def issue(self, request: Request, wanted: CallWanted) -> TokenIssued:
        """Give a one-time token with which a carrier's stream of a call belongs to the caller's tenant."""
        principal = await self.callers.require(request, "speak")
        token = await self.tokens.create(Grant(principal.tenant, wanted.call))
        streams = {name: self.stream_url + STREAM_PATH.format(carrier=name) for name in CARRIERS}
        return TokenIssued(token=token, expires_ms=TOKEN_S * 1000, streams=streams)
