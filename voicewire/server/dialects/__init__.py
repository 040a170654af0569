"""What other vendors' clients say, translated to and from voicewire's own speech."""
