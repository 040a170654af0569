"""voicewire: text in, speech and marked words out, over one WebSocket."""

__version__ = "0.1.0"
