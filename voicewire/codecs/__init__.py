"""Codecs behind one interface: PCM in, frames or file bytes out."""
