"""The `elevenlabs` package, also before 2: files, streams, times of characters, the socket, voices and models."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, ClassVar
from unittest.mock import patch

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from elevenlabs import VoiceSettings, realtime_tts  # noqa: E402 - behind the guard
from elevenlabs.client import ElevenLabs  # noqa: E402 - behind the guard
from elevenlabs.core.api_error import ApiError  # noqa: E402 - behind the guard
from elevenlabs.environment import ElevenLabsEnvironment  # noqa: E402 - behind the guard
from websockets.sync.client import ClientConnection  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
MARKS = "Ça va ? Oui : bien ; merci ! Un — deux. « Oui »"
VOICE = "21m00Tcm4TlvDq8ikWAM"
SETTINGS = {
    "model_id": "eleven_multilingual_v2",
    "voice_settings": VoiceSettings(stability=0.5),
    "output_format": "pcm_16000",
}
FORMATS = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_64",
    "pcm": "pcm_16000",
    "mulaw": "ulaw_8000",
}
OLD = int(version("elevenlabs").partition(".")[0]) < 2


class Overheard(ClientConnection):
    """A connection that notes the times in what it receives: the package hands on the audio alone."""

    alignments: ClassVar[list[dict[str, list[Any]]]] = []

    def recv(self, *arguments: Any, **options: Any) -> Any:
        message = super().recv(*arguments, **options)
        if alignment := json.loads(message).get("alignment"):
            self.alignments.append(alignment)
        return message


def main(url: str, key: str) -> dict[str, object]:
    client = _client(url, key)
    speech = client.text_to_speech
    told: dict[str, object] = {"version": version("elevenlabs")}
    told["models"] = [model.model_id for model in (client.models.get_all if OLD else client.models.list)()]
    told["voices"] = [voice.voice_id for voice in client.voices.get_all().voices][:3]
    told["found"] = len(client.voices.search().voices)
    told["voice"] = client.voices.get(told["voices"][0]).voice_id
    told["known"] = client.voices.get(VOICE).voice_id
    page = client.voices.search(search="female", page_size=2)
    rest = client.voices.search(search="female", page_size=2, next_page_token=page.next_page_token)
    told["pages"] = [len({voice.voice_id for each in (page, rest) for voice in each.voices}), page.has_more]
    told["files"] = {
        kind: handed(speech.convert(VOICE, text=TEXT, output_format=name)) for kind, name in FORMATS.items()
    }
    stream = speech.convert_as_stream if OLD else speech.stream
    told["pcm"] = handed(stream(VOICE, text=TEXT, output_format="pcm_16000"))
    whole = speech.convert_with_timestamps(VOICE, text=TEXT, output_format="opus_48000_64")
    told["whole"] = _timed([whole])
    told["parts"] = _timed(speech.stream_with_timestamps(VOICE, text=TEXT))
    told["marks"] = _timed(speech.stream_with_timestamps(VOICE, text=MARKS, output_format="pcm_16000"))
    speech._ws_base_url = url.replace("http", "ws")  # it forces wss on what it is given
    with patch.object(realtime_tts, "connect", partial(realtime_tts.connect, create_connection=Overheard)):
        told["live"] = handed(speech.convert_realtime(VOICE, text=_pieces(), **SETTINGS))
    told["alignments"] = Overheard.alignments
    for name, wrong in (("refused", (key, "nobody")), ("key", ("wrong", VOICE))):
        try:
            list(_client(url, wrong[0]).text_to_speech.convert(wrong[1], text=TEXT))
        except ApiError as error:
            told[name] = error.status_code
    return told


def _client(url: str, key: str) -> ElevenLabs:
    if OLD:  # it does not look at `base_url`
        return ElevenLabs(environment=ElevenLabsEnvironment(base=url, wss=url.replace("http", "ws")), api_key=key)
    return ElevenLabs(base_url=url, api_key=key)


def _timed(parts: Iterable[Any]) -> dict[str, object]:
    audio, letters = [], []
    for part in parts:
        audio.append(base64.b64decode(part.audio_base_64))
        if times := part.alignment:
            spans = times.character_start_times_seconds, times.character_end_times_seconds
            letters += zip(times.characters, *spans, strict=True)
    return {"audio": handed(audio), "letters": letters}


def _pieces() -> Iterator[str]:
    yield from ("It costs ", "$4.50, doesn't ", "it? ", "Yes.")


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
