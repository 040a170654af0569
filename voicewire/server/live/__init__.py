"""The WebSocket `/v1/stream`: sessions, their contexts on the clock, what is written to the peer and to the journal."""
