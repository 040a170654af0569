"""`calls.toml`: accounts of several tenants at carriers, read, refused, and served from."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conftest import Served
from tests.server.two_tenants import Tenant
from tests.telephony.app import application, new_call
from tests.telephony.carrier import connected, post, public, ring, token_of
from tests.telephony.conftest import ACCOUNTS, VOICE
from tests.telephony.test_signatures import refused, start
from voicewire.auth.principal import HOME_TENANT
from voicewire.config import Config, ConfigError
from voicewire.server.telephony.accounts import ANY, FILE, Account, Accounts
from voicewire.server.telephony.carriers import CARRIERS
from voicewire.server.telephony.signatures import sign
from voicewire.types import Marks

(MINE, MY_SECRET), (THEIRS, THEIR_SECRET) = ACCOUNTS.values()
WITHIN_S = 30
WEBHOOK_SECRET = "whsec_" + "A" * 40


def test_a_row_says_whose_calls_they_are(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        '[[account]]\nid = "AC1"\nsecret = "s"\ntenant = "t_1"\nwebhook = "https://agent.example/calls"\n'
        f'key = "k3j5q2wd"\nwebhook_secret = "{WEBHOOK_SECRET}"\n'
        'model = "espeak"\nvoice = "en"\nlanguage = "en-us"\nmarks = "word"\n'
        '[[account]]\nid = "AC2"\n'
    )
    accounts = Accounts.read(Config(data_dir=tmp_path))
    webhook = "https://agent.example/calls"
    assert accounts.find("AC1") == Account(
        "AC1", "s", "t_1", webhook, "k3j5q2wd", WEBHOOK_SECRET, "espeak", "en", "en-us", Marks.WORD
    )
    assert accounts.find("AC2") == Account("AC2", "", HOME_TENANT)
    assert [each.books_under for each in (accounts.find("AC1"), accounts.find("AC2")) if each] == [
        "k3j5q2wd",
        "calls:AC2",
    ]
    assert accounts.find("AC3") is None
    assert "sec" not in repr(accounts.find("AC1"))


def test_the_settings_are_the_account_of_whoever_is_not_in_the_file(tmp_path: Path) -> None:
    assert Accounts.read(Config(data_dir=tmp_path)).find("AC1") is None
    (tmp_path / FILE).write_text('[[account]]\nid = "AC1"\nsecret = "s"\n')
    accounts = Accounts.read(Config(data_dir=tmp_path, twilio_auth_token="home", call_webhook_secret=WEBHOOK_SECRET))
    assert [row.webhook_secret for row in (accounts.find("AC1"), accounts.find("AC2")) if row] == ["", WEBHOOK_SECRET]
    assert [(row.id, row.secret) for row in (accounts.find("AC1"), accounts.find("AC2")) if row] == [
        ("AC1", "s"),
        (ANY, "home"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[[account]",
        "account = 7",
        "[[account]]\nsecret = 's'",  # whose?
        "[[account]]\nid = 7",
        "[[account]]\nid = 'AC1'\nsecrets = 's'",
        "[[account]]\nid = 'AC1'\nmarks = 'letter'",
        "[[accounts]]\nid = 'AC1'",
        "[[account]]\nid = 'AC1'\nwebhook_secret = 'sixteen letters'",
        "[[account]]\nid = 'AC1'\nwebhook_secret = 'whsec_c2hvcnQ='",
        f"[[account]]\nid = 'AC1'\nwebhook_secret = '{'A' * 40}'",
        f"[[account]]\nid = 'AC1'\nwebhook_secret = 'whsec_{'A' * 88}'",
        f"[[account]]\nid = 'AC1'\nkey = 'vw_live_k3j5q2wd_{'x' * 43}'",  # of a key only its id
        "[[account]]\nid = 'AC1'\n[[account]]\nid = 'AC1'",
        "\xff",
    ],
)
def test_a_file_that_is_not_understood_is_refused_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=FILE):
        Accounts.read(Config(data_dir=tmp_path))


async def test_a_call_is_of_the_tenant_of_its_account(answering: Served, tenants: list[Tenant]) -> None:
    mine, theirs = tenants
    calls = {mine: new_call(), theirs: new_call()}
    tokens = [
        await token_of(answering.url, calls[tenant], *account)
        for tenant, account in zip(tenants, ACCOUNTS.values(), strict=True)
    ]
    async with (
        connected(answering.url, calls[mine], tokens[0]) as phone,
        connected(answering.url, calls[theirs], tokens[1]) as other,
        application(answering, mine.key) as owner,
        application(answering, theirs.key) as stranger,
        application(answering) as operator,
    ):
        into = {"to": f"call:{calls[mine]}"}
        await owner.say("speak", context="a", text="Yes.", **into)
        for each in (stranger, operator):
            await each.say("open", context="a", **into)
            await each.say("text", context="a", text="No.")
            await each.say("cancel", context="a")
        assert (await owner.until("opened", context="a"))["voice"] == VOICE
        done = await owner.until("done", context="a")
        await phone.press("1")
        await owner.until("call", event="digit")
        for each in (stranger, operator):
            assert (await each.until("error", context="a"))["code"] == "unknown_call"
            assert not [message for message in each.heard if message["type"] == "call"]
        await stranger.say("speak", context="b", to=f"call:{calls[theirs]}", text="No.")
        await stranger.until("done", context="b")
        assert phone.audio_ms == done["audio_ms"]
        assert "clear" not in phone.said
        assert other.audio_ms > 0


async def test_who_knows_the_name_of_a_call_keeps_nobody_out_of_theirs(
    answering: Served, tenants: list[Tenant]
) -> None:
    mine, theirs = tenants
    call, phones = new_call(), {}
    async with AsyncExitStack() as stack:
        for tenant in (theirs, mine):  # the stranger is there first
            async with tenant.client(answering) as http:
                given = (await http.post("/v1/calls", json={"call": call})).json()
            assert given["streams"].keys() == CARRIERS.keys()
            phones[tenant] = await stack.enter_async_context(connected(answering.url, call, given["token"]))
        for tenant in tenants:
            app = await stack.enter_async_context(application(answering, tenant.key))
            text = "Yes." if tenant is mine else "No, not at all."
            await app.say("speak", context="a", to=f"call:{call}", text=text)
            assert (await app.until("done", context="a"))["audio_ms"] == phones[tenant].audio_ms > 0
        assert phones[mine].audio_ms != phones[theirs].audio_ms


async def test_each_account_signs_with_its_own_secret_in_both_algorithms(answering: Served) -> None:
    url = f"{public(answering.url)}/v1/twilio/voice"
    fields = ring(new_call(), MINE)
    newer = {"X-Twilio-Webhooks-Signature-Settings": "key=SK1,algorithm=HMAC_SHA256"}
    for secret in (THEIR_SECRET, "carrier-secret", ""):
        assert (await post(answering.url, fields, secret=secret)).status_code == 401
        shown = sign(secret, url, fields, "sha256")
        assert (await post(answering.url, fields, shown, **newer)).status_code == 401
    for headers, algorithm in (({}, "sha1"), (newer, "sha256")):
        shown = sign(MY_SECRET, url, fields, algorithm)
        assert (await post(answering.url, [*fields, ("Digits", "1")], shown, **headers)).status_code == 401
        assert (await post(answering.url, ring(new_call(), MINE), shown, **headers)).status_code == 401
        assert (await post(answering.url, fields, shown, **headers)).status_code == 200
        assert (await post(answering.url, fields, shown, **headers)).status_code == 401  # replayed
    assert (await post(answering.url, fields, shown)).status_code == 401  # in the name of the other algorithm


@pytest.mark.usefixtures("tenants")
async def test_a_stream_shows_the_signature_of_its_own_account(answering: Served) -> None:
    address = public(answering.url).replace("http", "ws") + "/v1/twilio/stream"
    newer = {"X-Twilio-Webhooks-Signature-Settings": "key=SK1,algorithm=HMAC_SHA256"}
    for secret, algorithm, code in (
        (THEIR_SECRET, "sha1", 4501),
        (MY_SECRET, "sha1", 1000),
        (THEIR_SECRET, "sha256", 4501),
        (MY_SECRET, "sha256", 1000),
    ):
        call = new_call()
        token = await token_of(answering.url, call, MINE, MY_SECRET)
        shown = {"X-Twilio-Signature": sign(secret, address, (), algorithm), **(newer if algorithm != "sha1" else {})}
        assert await refused(answering, start(call, token), json.dumps({"event": "stop"}), **shown) == code


async def test_the_file_is_edited_while_the_server_runs(served: Served) -> None:
    """Also what it said when the telephone rang counts no more."""
    file, account = served.data_dir / FILE, ("AC-of-an-edit", "s")
    async with asyncio.timeout(WITHIN_S):
        assert (await post(served.url, ring(new_call(), account[0]), secret=account[1])).status_code == 401
        try:
            file.write_text('[[account]]\nid = "AC-of-an-edit"\nsecret = "s"\n')
            while (await post(served.url, ring(new_call(), account[0]), secret=account[1])).status_code != 200:
                await asyncio.sleep(0.1)
            call, later = new_call(), new_call()
            token, kept = [await token_of(served.url, each, *account) for each in (call, later)]
            async with connected(served.url, call, token):
                pass
        finally:
            file.unlink()
        while (await post(served.url, ring(new_call(), account[0]), secret=account[1])).status_code != 401:
            await asyncio.sleep(0.1)
        assert await refused(served, start(later, kept)) == 4501
