"""Who may begin a call: Twilio's signatures, and one-time tokens that are good for one call."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served
from tests.telephony.app import application, new_call
from tests.telephony.carrier import SECRET, WAIT_S, Phone, connected, post, public, ring, token_of
from voicewire.server.telephony.signatures import SETTINGS, SIGNATURE, algorithm_of, sign, signed_by

URL = "https://example.com/myapp"


def test_a_signature_that_was_published_is_taken() -> None:
    """The example of Twilio's documentation: "Validating Signatures from Twilio"."""
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+12349013030", "Digits": "1234", "From": "+12349013030",
            "To": "+18005551212"}  # fmt: skip
    assert sign("12345", url, form.items()) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    shown = {SIGNATURE: "0/KCTR6DLpKmkAf8muzZqo1nDgQ="}
    assert signed_by("12345", shown, url, form.items())
    assert signed_by("12345", shown, "https://mycompany.com:443/myapp.php?foo=1&bar=2", form.items())
    for wrong in ({**form, "Digits": "1235"}, {**form, "More": "1"}, {}):
        assert not signed_by("12345", shown, url, wrong.items())
    assert not signed_by("", shown, url, form.items())
    assert not signed_by("12346", shown, url, form.items())
    assert not signed_by("12345", shown, url.replace("https", "http"), form.items())


def test_the_hash_is_the_one_that_the_settings_name() -> None:
    assert (algorithm_of(""), algorithm_of("key=SK1,algorithm=HMAC_SHA256")) == ("sha1", "sha256")
    assert algorithm_of("algorithm=none") is None
    newer = {SIGNATURE: sign(SECRET, URL, (), "sha256"), SETTINGS: "key=SK1,algorithm=HMAC_SHA256"}
    assert signed_by(SECRET, newer, URL)
    assert not signed_by(SECRET, {**newer, SETTINGS: "key=SK1,algorithm=HMAC_MD5"}, URL)
    assert not signed_by(SECRET, {SIGNATURE: newer[SIGNATURE]}, URL)


async def test_only_what_is_signed_is_answered_and_only_once(answering: Served) -> None:
    fields = ring(new_call())
    url = f"{public(answering.url)}/v1/twilio/voice"
    for wrong in ("", "x", sign("another", url, fields), sign(SECRET, url, ring(new_call()))):
        refused = await post(answering.url, fields, wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized"), wrong
    lied = await post(
        answering.url, fields, sign(SECRET, "http://evil.example/v1/twilio/voice", fields), Host="evil.example"
    )
    assert lied.status_code == 401
    first = await post(answering.url, fields)
    assert (first.status_code, first.headers["content-type"].partition(";")[0]) == (200, "text/xml")
    assert (await post(answering.url, fields)).status_code == 401  # replayed
    newer = {"X-Twilio-Webhooks-Signature-Settings": "key=SK1,algorithm=HMAC_SHA256"}
    again = await post(answering.url, fields, sign(SECRET, url, fields, "sha256"), **newer)
    assert again.status_code == 200
    nameless = [(name, value) for name, value in fields if name != "CallSid"]
    assert (await post(answering.url, nameless)).status_code == 400


async def refused(answering: Served, *messages: str | bytes, **headers: str) -> int:
    """Say these on a stream; return the code with which it is closed. Nothing is said on it."""
    url = answering.url.replace("http", "ws") + "/v1/twilio/stream"
    async with connect(url, proxy=None, additional_headers=headers) as socket:
        with suppress(ConnectionClosed):  # it may be closed before all is said
            for message in messages:
                await socket.send(message)
        with pytest.raises(ConnectionClosed) as ended:
            await asyncio.wait_for(socket.recv(), WAIT_S)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code


def start(call: str, token: object) -> str:
    begun = {"callSid": call, "streamSid": "MZ1", "customParameters": {"token": token}}
    return json.dumps({"event": "start", "streamSid": "MZ1", "start": begun})


async def begun(answering: Served, phone: Phone) -> None:
    """Wait until the call is held: what is said first on one connection may be read after what is said on another."""
    async with application(answering) as app:
        await app.say("speak", context="a", to=f"call:{phone.call}", text="Yes.")
        await app.until("done", context="a")


async def test_a_token_is_good_once_for_its_call(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone:
        await begun(answering, phone)
        assert await refused(answering, start(call, token)) == 4501
    stolen = await token_of(answering.url, new_call())
    assert await refused(answering, start(call, stolen)) == 4501
    for wrong in ("", "x" * 43, "x" * 4_000, None, 7, ["x"]):
        assert await refused(answering, start(call, wrong)) == 4501, wrong


async def test_a_stream_that_shows_a_signature_shows_a_good_one(answering: Served) -> None:
    url = public(answering.url).replace("http", "ws") + "/v1/twilio/stream"
    call = new_call()
    token = await token_of(answering.url, call)
    wrong = {"X-Twilio-Signature": sign(SECRET, url.replace("ws", "http"))}
    assert await refused(answering, start(call, token), **wrong) == 4501
    call = new_call()
    token = await token_of(answering.url, call)
    right = {"X-Twilio-Signature": sign(SECRET, url)}
    served = start(call, token)
    assert await refused(answering, served, json.dumps({"event": "stop"}), **right) == 1000


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"event":"mark","mark":{"name":"m1"}}', 4501),
        ('{"event":"dtmf","dtmf":{"digit":"1"}}', 4501),
        ('{"event":"stop"}', 4501),
        ('{"event":"start"}', 4501),
        ("[]", 4500),
        ("", 4500),
        (b"\x00", 4500),
    ],
)
async def test_nothing_is_taken_before_a_start(answering: Served, message: str | bytes, code: int) -> None:
    assert await refused(answering, message) == code


async def test_media_before_a_start_is_not_waited_on_for_ever(answering: Served) -> None:
    assert await refused(answering, *['{"event":"media","media":{"payload":""}}'] * 4) == 4501


async def test_a_call_is_here_once_and_starts_once(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    again = await post(answering.url, [*ring(call), ("Retry", "1")])
    second = again.text.partition('value="')[2].partition('"')[0]
    async with connected(answering.url, call, token) as phone:
        await begun(answering, phone)
        assert await refused(answering, start(call, second)) == 4500
        await phone.start(token)
        await asyncio.wait_for(phone.socket.wait_closed(), WAIT_S)
    assert phone.socket.close_code == 4500
