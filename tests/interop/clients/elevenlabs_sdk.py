"""The `elevenlabs` package, also before 2: files, streams, times of characters, the socket, voices and models."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator

from guard import stay_here

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from elevenlabs import VoiceSettings  # noqa: E402 - behind the guard
from elevenlabs.client import ElevenLabs  # noqa: E402 - behind the guard
from elevenlabs.core.api_error import ApiError  # noqa: E402 - behind the guard
from elevenlabs.environment import ElevenLabsEnvironment  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
VOICE = "21m00Tcm4TlvDq8ikWAM"
SETTINGS = {
    "model_id": "eleven_multilingual_v2",
    "voice_settings": VoiceSettings(stability=0.5),
    "output_format": "pcm_16000",
}
OLD = int(version("elevenlabs").partition(".")[0]) < 2


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
    told["ulaw"] = sum(map(len, speech.convert(VOICE, text=TEXT, output_format="ulaw_8000")))
    stream = speech.convert_as_stream if OLD else speech.stream
    told["pcm"] = sum(map(len, stream(VOICE, text=TEXT, output_format="pcm_16000")))
    whole = speech.convert_with_timestamps(VOICE, text=TEXT, output_format="opus_48000_64")
    told["whole"] = [base64.b64decode(whole.audio_base_64)[:4].decode(), "".join(whole.alignment.characters)]
    parts = list(speech.stream_with_timestamps(VOICE, text=TEXT))
    told["parts"] = "".join(char for part in parts if part.alignment for char in part.alignment.characters)
    speech._ws_base_url = url.replace("http", "ws")  # it forces wss on what it is given
    told["live"] = sum(map(len, speech.convert_realtime(VOICE, text=_pieces(), **SETTINGS)))
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


def _pieces() -> Iterator[str]:
    yield from ("It costs ", "$4.50, doesn't ", "it? ", "Yes.")


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
