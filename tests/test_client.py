import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.conftest import Served
from voicewire.client import StreamClient, connect
from voicewire.dial import ServerError, Unreachable, server_error, stream_url
from voicewire.frames import BlockStart, Cancelled, Done, FormatRequest, Opened, Phonemes, Words
from voicewire.script import Audio
from voicewire.types import Codec

PCM = FormatRequest(Codec.PCM_S16LE, 24_000)
TEXT = "The quick brown fox jumps over the lazy dog. It costs $4.50 today, doesn't it?"
EVENTS_S = 30


class Heard:
    """Everything that one utterance brought."""

    def __init__(self) -> None:
        self.pcm = b""
        self.words: list[tuple[int, int, int, int]] = []
        self.phonemes: list[tuple[str, int, int]] = []
        self.spans: list[tuple[int, int]] = []
        self.opened = 0
        self.end: Done | Cancelled | None = None

    def take(self, event: object) -> None:
        match event:
            case Opened():
                self.opened += 1
            case BlockStart():
                self.spans.append(event.span)
            case Words():
                self.words += event.words
            case Phonemes():
                self.phonemes += event.phonemes
            case Audio():
                assert event.pts * 2 == len(self.pcm)
                self.pcm += b"".join(event.packets)
            case Done() | Cancelled():
                self.end = event


async def hear(client: StreamClient, text: str | AsyncIterator[str], **options: object) -> Heard:
    heard = Heard()
    async with (
        asyncio.timeout(EVENTS_S),
        client.speak(text, **({"format": PCM} | options)) as speech,
    ):
        async for event in speech:
            heard.take(event)
            if isinstance(event, Audio):
                await speech.playhead(len(heard.pcm) / 48)
    return heard


async def tokens(text: str, size: int) -> AsyncIterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]
        await asyncio.sleep(0)


async def test_a_text_comes_back_as_audio_and_words(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        heard = await hear(client, TEXT)
    assert isinstance(heard.end, Done)
    assert heard.end.audio_ms == len(heard.pcm) // 48
    assert [TEXT[word[0] : word[1]] for word in heard.words][:4] == ["The", "quick", "brown", "fox"]
    assert "$4.50" in {TEXT[word[0] : word[1]] for word in heard.words}
    assert heard.spans[0][0] == 0
    assert heard.spans[-1][1] == len(TEXT)
    assert heard.opened == 1


async def test_a_text_that_comes_in_tokens_is_the_same_speech(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        whole = await hear(client, TEXT)
        pieces = await hear(client, tokens(TEXT, 4))
    assert pieces.words[-1][:2] == whole.words[-1][:2]
    assert "".join(TEXT[a:b] for a, b in pieces.spans) == TEXT


async def test_a_long_text_is_sent_in_messages_that_the_server_takes(served: Served) -> None:
    text = "\u0001" * 9_000 + " End."  # each takes six bytes on the wire
    async with connect(served.url, served.key) as client:
        heard = await hear(client, text)
    assert heard.spans[-1][1] == len(text)


async def test_many_utterances_share_one_connection(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        alone = await hear(client, TEXT)
        together = await asyncio.gather(*(hear(client, TEXT) for _ in range(5)))
    assert [each.pcm for each in together] == [alone.pcm] * 5


async def test_what_is_written_is_spoken_when_it_is_flushed(served: Served) -> None:
    heard = Heard()
    async with asyncio.timeout(EVENTS_S), connect(served.url, served.key) as client, client.open(format=PCM) as speech:
        await speech.write("No sentence ")
        await speech.write("ends here")
        await speech.flush()
        async for event in speech:
            heard.take(event)
            if isinstance(event, Audio):
                await speech.end()
    assert isinstance(heard.end, Done)
    assert [speech.text_of(word) for word in heard.words] == ["No", "sentence", "ends", "here"]


async def test_cancel_says_what_was_heard(served: Served) -> None:
    async with connect(served.url, served.key) as client, client.speak(TEXT, format=PCM) as speech:
        events = []
        async for event in speech:
            events.append(event)
            if isinstance(event, Audio) and event.seq == 0:
                await speech.cancel(20)
    last = events[-1]
    assert isinstance(last, Cancelled)
    assert last.heard == (0, 3)
    assert last.unheard == (3, len(TEXT))
    assert last.played_ms == 20


async def test_to_leave_early_cancels_and_the_connection_goes_on(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        async with client.speak(TEXT * 20, format=PCM) as speech:
            async for event in speech:
                if isinstance(event, Audio):
                    break
        assert isinstance((await hear(client, "Still here.")).end, Done)


async def test_a_paused_listener_gets_no_more(served: Served) -> None:
    async with connect(served.url, served.key) as client, client.speak(TEXT * 9, format=PCM, lead_ms=200) as speech:
        async for event in speech:
            if isinstance(event, Audio):
                await speech.playhead(0, paused=True)
                break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                received = [event async for event in speech if isinstance(event, Audio)]
                pytest.fail(f"it went on to the end, {len(received)} frames")
        await speech.playhead(0, paused=False)
        assert isinstance(await anext(event async for event in speech if isinstance(event, Audio)), Audio)


@pytest.mark.parametrize(
    ("options", "code"),
    [({"voice": "nobody"}, "unknown_voice"), ({"model": "nothing"}, "unknown_model"),
     ({"format": FormatRequest(Codec.OPUS, 44_100)}, "unsupported_format")],
)  # fmt: skip
async def test_what_the_server_refuses_is_its_error_and_nobody_elses(
    served: Served, options: dict[str, object], code: str
) -> None:
    async with connect(served.url, served.key) as client:
        with pytest.raises(ServerError) as refused:
            await hear(client, TEXT, **options)
        assert isinstance((await hear(client, "Fine.")).end, Done)
    assert refused.value.code == code


async def test_an_error_of_the_source_of_the_text_is_the_callers(served: Served) -> None:
    async def source() -> AsyncIterator[str]:
        yield "One. "
        raise ZeroDivisionError

    async with connect(served.url, served.key) as client:
        assert client.ready
        for _ in range(client.ready.limits.contexts + 1):  # none of them stays open on the server
            with pytest.raises(ZeroDivisionError):
                await hear(client, source())
        assert isinstance((await hear(client, "Fine.")).end, Done)


async def test_a_text_that_no_message_can_carry_is_the_callers_mistake(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        for text in ("a lone \ud800", tokens("a lone \ud800", 3)):
            with pytest.raises(UnicodeEncodeError):
                await hear(client, text)
        assert isinstance((await hear(client, "Fine.")).end, Done)


async def test_what_is_no_text_is_refused_where_it_is_given(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        for wrong in (None, 5, b"Hello.", ["Hello."]):
            with pytest.raises(TypeError, match=r"^a text is a string, or an asynchronous iterator of strings, not "):
                client.speak(cast(str, wrong))
            async with client.open(format=PCM) as speech:
                with pytest.raises(TypeError, match=r"^a piece of text is a string, not "):
                    await speech.write(cast(str, wrong))
        assert isinstance((await hear(client, "Fine.")).end, Done)


async def test_an_option_that_does_not_exist_is_a_mistake(served: Served) -> None:
    async with connect(served.url, served.key) as client:
        with pytest.raises(TypeError):
            client.speak(TEXT, vioce="x")


async def test_without_a_good_key_nobody_is_let_in(served: Served) -> None:
    key = "vw_live_aaaaaaaa_" + "a" * 43
    with pytest.raises(ServerError) as refused:
        async with connect(served.url, key):
            pass
    assert refused.value.code == "unauthorized"
    assert key not in str(refused.value)


async def test_nobody_there_is_said_with_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match=url.removeprefix("http://")):
        async with connect(url, "some-key-or-other"):
            pass


async def test_a_server_that_is_no_voicewire_is_said() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerError, match="HTTP status 404"):
            async with connect(f"http://127.0.0.1:{port}", "some-key-or-other"):
                pass


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/stream"),
        ("https://voice.example/", "wss://voice.example/v1/stream"),
        ("https://voice.example/under/a/path", "wss://voice.example/under/a/path/v1/stream"),
        ("ws://[::1]:8080/v1/stream", "ws://[::1]:8080/v1/stream"),
        ("localhost:8080", "ws://localhost:8080/v1/stream"),
    ],
)
def test_the_address_of_the_socket(url: str, address: str) -> None:
    assert stream_url(url) == address


@pytest.mark.parametrize("url", ["", "ftp://voice.example", "http://", "http://[::1", "http://a:99999", "http://a:b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        stream_url(url)


@pytest.mark.parametrize("body", [b"", b"nope", b"[]", b'{"error":"no"}', b'{"error":{"code":"busy"}}', b"\xff"])
def test_an_answer_that_is_not_ours_is_told_by_its_status(body: bytes) -> None:
    error = server_error(502, body)
    assert (error.code, error.message) == ("internal", "the server answered with HTTP status 502")


def test_an_answer_of_ours_is_told_in_its_words() -> None:
    error = server_error(503, b'{"error":{"code":"busy","message":"all engines are busy","retryable":true}}')
    assert (error.code, error.message, error.retryable) == ("busy", "all engines are busy", True)
