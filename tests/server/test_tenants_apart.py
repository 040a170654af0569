"""No tenant sees another: each id in each route and message, shown by a stranger, names nothing. 404, never 403.

Every route with a parameter stands in one of the tables below; a new one that does not, fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import httpx
import pytest
from starlette.routing import BaseRoute
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Served
from tests.server.two_tenants import Tenant, client, new_tenant
from voicewire import frames
from voicewire.commands.operator import open_operator
from voicewire.config import Config
from voicewire.server.app import build_app, open_gateway

VOICE = "Tenants apart"
PERSON = "u_0123456789abcdef"
WAIT_S = 10

# Every parameter of a path is an id of something: whose, or of nobody's.
OWN = {
    "/v1/keys/{key_id}": "key",
    "/v1/keys/{key_id}/rotate": "key",
    "/v1/words/{words_id}": "words",
    "/v1/audio/{sha256}": "clip",
    "/v1/voices/{voice_id}": "voice",
    "/v1/me/members/{user}": "person",
    "/v1/jobs/{job_id}": "job",
    "/v1/jobs/{job_id}/items": "job",
    "/v1/jobs/{job_id}/audio": "job",
    "/v1/jobs/{job_id}/words": "job",
    "/v1/jobs/{job_id}/stream": "job",
}
SHARED = {"/v1/models/{model_id}", "/v1/models/{model_id}/voices", "/v1/models/{model_id}/tts"}
FOREIGN = {
    "/voices/{voice_id}",
    "/v1/text-to-speech/{voice_id}",
    "/v1/text-to-speech/{voice_id}/stream",
    "/v1/text-to-speech/{voice_id}/with-timestamps",
    "/v1/text-to-speech/{voice_id}/stream/with-timestamps",
    "/v1/text-to-speech/{voice_id}/stream-input",
    "/v1/text-to-speech/{voice_id}/multi-stream-input",
}
"""Vendors' routes, which stand in no description of ours; all that they name are voices."""
NOWHERE = "/{path}"
"""Where sockets that are nobody's are refused."""
VENDORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("POST", "/v1/audio/speech", {"input": "Mine.", "voice": "{voice}"}),
    "cartesia": ("POST", "/tts/bytes", {"transcript": "Mine.", "voice": {"id": "{voice}"}}),
    "cartesia's voice": ("GET", "/voices/{voice}", {}),
    "elevenlabs' voice": ("GET", "/elevenlabs/v1/voices/{voice}", {}),
    "elevenlabs": ("POST", "/v1/text-to-speech/{voice}", {"text": "Mine."}),
    "elevenlabs' lines": ("POST", "/v1/text-to-speech/{voice}/stream/with-timestamps", {"text": "Mine."}),
    "deepgram": ("POST", "/v1/speak?model={voice}", {"text": "Mine."}),
}
OPERATORS = "/admin/"  # for whom there is nothing apart; for all others, nothing at all

LISTS = {"/v1/keys": "key", "/v1/transactions": "behind", "/v1/me/members": "", "/v1/jobs": "job"}
"""What of a tenant is listed, and behind which of its ids the list goes on."""

NO_IDS = {"by", "from", "to", "format", "limit", "timestamps", "language", "gender", "issuer", "state", "code", "iss",
          "error", "error_description", "session_state", "item", "after"}  # fmt: skip
BODIES: dict[str, object] = {"patch": {"label": "mine now"}, "post": {"overlap_s": 0}}


PARAMETER = re.compile(r"{(.*?)}")
REQUEST_ID = re.compile(r"\br_[0-9a-f]{24}\b")  # each answer has its own


class Things(NamedTuple):
    """What one tenant has, by kind."""

    key: str
    words: str
    voice: str
    person: str
    stream: str  # of a transaction …
    behind: str  # … which a list that goes on behind this cursor begins with
    job: str
    clip: str


@pytest.fixture(scope="module")
def mine(served: Served) -> Tenant:
    return new_tenant(served, "t_apart_mine")


@pytest.fixture(scope="module")
def theirs(served: Served) -> Tenant:
    return new_tenant(served, "t_apart_theirs")


@pytest.fixture
async def operator(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client(served, served.key) as operator:
        yield operator


@pytest.fixture
async def description(operator: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await operator.get("/openapi.json")).json()
    return found


@pytest.fixture
async def things(served: Served, mine: Tenant, operator: httpx.AsyncClient) -> Things:
    """What `mine` has."""
    async with mine.client(served) as http:
        spoken = await http.post("/v1/tts?timestamps=true", json={"text": "Mine."})
        assert spoken.status_code == 200, spoken.text
        words = spoken.headers["words-location"].rsplit("/", 1)[1]
        assert (await http.get(f"/v1/words/{words}")).status_code == 200
        transaction = await _first_transaction(http)
        job = (await http.post("/v1/models/tone/tts", json={"text": "Mine."})).json()["job_id"]
    async with open_operator(Config(data_dir=served.data_dir)) as beside:
        await beside.store.execute("INSERT INTO users (id, email) VALUES ($1, $1) ON CONFLICT DO NOTHING", PERSON)
        member = "INSERT INTO members (tenant, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
        await beside.store.execute(member, mine.id, PERSON)
    body = {"model": "espeak", "engine_voice": "eo", "tenant": mine.id}
    assert (await operator.put(f"/admin/voices/{VOICE}", json=body)).status_code == 200
    behind, clip = str(transaction["id"] + 1), await _spoken_block(served, mine)
    return Things(mine.key_id, words, VOICE, PERSON, transaction["stream"], behind, job, clip)


async def _spoken_block(served: Served, tenant: Tenant) -> str:
    async with _socket(served, tenant) as socket:
        await _say(socket, {"type": "speak", "context": "c", "text": "Mine."})
        clip: str = (await _hear(socket, "block"))["audio"]
        await _hear(socket, "done")
    return clip


async def _first_transaction(http: httpx.AsyncClient) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while not (items := (await http.get("/v1/transactions")).json()["items"]):
            await asyncio.sleep(0.1)  # until it is recorded
    found: dict[str, Any] = items[-1]
    return found


def _operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def test_every_parameter_stands_in_a_table(description: dict[str, Any]) -> None:
    for path, _, operation in _operations(description):
        if path.startswith(OPERATORS):
            continue
        named = "{" in path
        assert not named or path in OWN or path in SHARED, f"{path} has an id: whose? Enter it above"
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                known = parameter["name"] in NO_IDS or LISTS.get(path)
                assert known, f"{path} takes {parameter['name']}: is it an id? Enter it above"
    missing = {*OWN, *LISTS} - set(description["paths"])
    assert not missing, f"{missing} are no routes"


def _routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        yield route
        inside = getattr(getattr(route, "original_router", None), "routes", ())
        yield from _routes(inside)


async def test_no_route_with_an_id_hides_from_the_description(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    config = Config(
        data_dir=tmp_path,
        engines=("tone",),
        default_model="tone",
        workers=1,
        postgres_url=postgres_url,
        redis_url=redis_url,
    )
    async with open_gateway(config) as gateway:
        app = build_app(gateway, 8080)
        described = {re.sub(":[a-z]+}", "}", path) for path in app.openapi()["paths"]}
        walked = [re.sub(":[a-z]+}", "}", getattr(route, "path", "")) for route in _routes(app.routes)]
    assert len([path for path in walked if "{" in path]) > 10
    assert {path for path in walked if "{" in path} <= described | FOREIGN | {NOWHERE}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_voice_of_another_does_not_exist_in_any_dialect(
    mine: Tenant, theirs: Tenant, served: Served, things: Things, vendor: str
) -> None:
    method, path, body = VENDORS[vendor]

    async def ask(tenant: Tenant, voice: str) -> httpx.Response:
        text = json.dumps(body).replace("{voice}", voice)
        async with tenant.client(served) as http:
            return await http.request(method, path.replace("{voice}", voice), content=text if body else None)

    assert (await ask(mine, things.voice)).status_code == 200
    hidden, missing = await ask(theirs, things.voice), await ask(theirs, "Tenants aparX")
    assert (hidden.status_code, missing.status_code) == (404, 404)
    said = [REQUEST_ID.sub("", answer.text) for answer in (hidden, missing)]
    assert said[0] == said[1].replace("Tenants aparX", things.voice)


async def test_what_is_anothers_does_not_exist(
    served: Served, theirs: Tenant, things: Things, description: dict[str, Any]
) -> None:
    """The same answer, to the letter, as for what nobody has."""
    async with theirs.client(served) as stranger:
        for path, method, _ in _operations(description):
            if path not in OWN:
                continue
            id = getattr(things, OWN[path])
            answers = []
            for shown in (id, "x" * len(id)):
                response = await stranger.request(method, PARAMETER.sub(shown, path), json=BODIES.get(method))
                assert response.status_code == 404, (method, path, response.text)
                answers.append(response.text.replace(shown, "…"))
            assert answers[0] == answers[1], (method, path)


async def test_the_owner_has_all_of_it_still(served: Served, mine: Tenant, things: Things) -> None:
    async with mine.client(served) as owner:
        found = (await owner.get(f"/v1/keys/{things.key}")).json()
        assert (found["label"], found["in_force"], found["tenant"]) == ("", True, mine.id)
        assert (await owner.get(f"/v1/voices/{VOICE}")).json()["id"] == "eo"
        assert (await owner.get(f"/v1/words/{things.words}")).status_code == 200
        assert (await owner.get(f"/v1/audio/{things.clip}")).status_code == 200
        members = (await owner.get("/v1/me/members")).json()["items"]
        assert [member["user"] for member in members] == [things.person]
        assert (await owner.get(f"/v1/jobs/{things.job}")).json()["state"] != "cancelled"
        behind = (await owner.get("/v1/transactions", params={"before": things.behind})).json()["items"]
        assert behind[0]["stream"] == things.stream


async def test_no_list_shows_anothers(served: Served, mine: Tenant, theirs: Tenant, things: Things) -> None:
    async with theirs.client(served) as stranger:
        for path, kind in LISTS.items():
            for query in ({}, {"before": getattr(things, kind)}) if kind else ({},):
                listed = await stranger.get(path, params=query)
                assert listed.status_code == 200
                for mark in (mine.id, mine.key_id, things.person, things.stream, things.job):
                    assert mark not in listed.text, (path, query)
        for by in ("day", "model", "voice", "key"):
            assert (await stranger.get("/v1/usage", params={"by": by})).json()["total"]["requests"] == 0
        voices = (await stranger.get("/v1/voices")).json()["voices"]
        assert not [voice for voice in voices if voice["name"] == VOICE or voice["id"] == "eo"]


def _filled(path: str, ids: Mapping[str, str]) -> str:
    names = PARAMETER.findall(path)
    return path.format(**{name: ids.get(name, "nobodys") for name in names})


async def test_operators_doors_are_shut_for_all_alike(
    served: Served, mine: Tenant, theirs: Tenant, things: Things, description: dict[str, Any]
) -> None:
    known = {"key_id": things.key, "voice_name": VOICE, "tenant": mine.id}
    async with theirs.client(served) as stranger:
        for path, method, _ in _operations(description):
            if not path.startswith(OPERATORS):
                continue
            answers = set()
            for ids in (known, {}):
                answers.add((await stranger.request(method, _filled(path, ids))).text)
            [answer] = answers
            assert json.loads(answer)["error"]["code"] in {"forbidden", "bad_message"}, (method, path, answer)


async def test_anothers_voice_speaks_for_nobody_else(
    served: Served, mine: Tenant, theirs: Tenant, things: Things
) -> None:
    for name in (things.voice, "eo"):
        async with theirs.client(served) as stranger, mine.client(served) as owner:
            body = {"text": "Hello.", "voice": name}
            assert (await owner.post("/v1/tts", json=body)).status_code == 200
            refused = await stranger.post("/v1/tts", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_voice")
        async with _socket(served, theirs) as socket:
            await _say(socket, {"type": "speak", "context": "c", "text": "Hello.", "voice": name})
            assert (await _hear(socket, "error"))["code"] == "unknown_voice"


# messages of the socket


@contextlib.asynccontextmanager
async def _socket(served: Served, tenant: Tenant | None) -> AsyncIterator[ClientConnection]:
    headers = {"X-API-Key": tenant.key} if tenant else {}
    url = served.url.replace("http", "ws") + "/v1/stream"
    async with connect(url, subprotocols=["voicewire.v1"], additional_headers=headers) as socket:  # type: ignore[list-item]  # any string
        yield socket


async def _say(socket: ClientConnection, message: dict[str, object]) -> None:
    await socket.send(json.dumps(message))


async def _hear(socket: ClientConnection, *types: str) -> dict[str, Any]:
    while True:
        data = await socket.recv()
        if isinstance(data, str) and (message := json.loads(data))["type"] in types:
            return dict(message)


MESSAGES = {kind.__struct_config__.tag: kind.__struct_fields__ for kind in get_args(frames.ClientMessage)}
BEGIN = {"open", "speak"}  # give a name of the client's own
IDS = {"context", "session", "resume_token", "ticket"}
FILLED = {"text": "Mine?", "played_ms": 0}


def test_every_message_with_an_id_is_tried() -> None:
    tried = {name for name, has in MESSAGES.items() if IDS & set(has)}
    assert tried == BEGIN | {"text", "flush", "end", "cancel", "playhead", "resume", "hello"}


async def test_a_context_is_known_on_its_own_connection_only(served: Served, mine: Tenant, theirs: Tenant) -> None:
    async with _socket(served, mine) as owner, _socket(served, theirs) as stranger:
        await _hear(owner, "ready")
        await _hear(stranger, "ready")
        await _say(owner, {"type": "open", "context": "mine"})
        await _hear(owner, "opened")
        for name in ("text", "flush", "end", "cancel", "playhead"):
            message = {key: value for key, value in FILLED.items() if key in MESSAGES[name]}
            await _say(stranger, {"type": name, "context": "mine", **message})
            assert (await _hear(stranger, "error"))["code"] == "unknown_context", name
        await _say(stranger, {"type": "open", "context": "mine"})  # a name of the stranger's own
        assert (await _hear(stranger, "opened", "error"))["type"] == "opened"
        await _say(owner, {"type": "text", "context": "mine", "text": "Still here."})
        await _say(owner, {"type": "end", "context": "mine"})
        assert (await _hear(owner, "done", "error"))["type"] == "done"


async def test_a_session_resumes_for_nobody_else(served: Served, mine: Tenant, theirs: Tenant) -> None:
    async with _socket(served, mine) as owner:
        ready = await _hear(owner, "ready")
        async with _socket(served, theirs) as own:
            other = await _hear(own, "ready")
            proofs = [
                {"session": ready["session"], "resume_token": other["resume_token"]},
                {"session": other["session"], "resume_token": ready["resume_token"]},
                {"session": ready["session"], "resume_token": ""},
                {"session": "s_nobodys", "resume_token": other["resume_token"]},
            ]
            said = []
            for proof in proofs:
                for tenant in (theirs, None):
                    async with _socket(served, tenant) as stranger:
                        await _say(stranger, {"type": "resume", **proof, "received": {}})
                        error = await _hear(stranger, "error")
                        said.append({key: error[key] for key in ("code", "message")})
            assert all(each == said[0] for each in said), said
            assert said[0]["code"] == "resume_gone"
        await _say(owner, {"type": "speak", "context": "c", "text": "Undisturbed."})
        assert (await _hear(owner, "done", "error"))["type"] == "done"


async def test_a_ticket_is_its_makers(served: Served, theirs: Tenant, things: Things) -> None:
    """It stands for the tenant that made it, whoever brings it, and only once."""
    async with theirs.client(served) as http:
        ticket = (await http.post("/v1/tickets")).json()["ticket"]
    async with _socket(served, None) as socket:
        await _say(socket, {"type": "hello", "ticket": ticket})
        await _hear(socket, "ready")
        await _say(socket, {"type": "speak", "context": "c", "text": "Hello.", "voice": things.voice})
        assert (await _hear(socket, "error"))["code"] == "unknown_voice"
    async with _socket(served, None) as socket:
        await _say(socket, {"type": "hello", "ticket": ticket})
        assert (await _hear(socket, "error"))["code"] == "unauthorized"
