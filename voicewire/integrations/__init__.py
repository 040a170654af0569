"""voicewire as a voice of other frameworks, whose packages are extras: `voicewire[pipecat]`, `voicewire[livekit]`."""
