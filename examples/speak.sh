#!/bin/sh
# A text becomes a file: VOICEWIRE_URL and VOICEWIRE_KEY say where, and the first argument what.
set -eu
text=$(printf '%s' "${1:-Hello there.}" | tr '[:cntrl:]' ' ' | sed 's/[\\"]/\\&/g') # as JSON wants it
curl --fail --silent --show-error \
  --header "Authorization: Bearer $VOICEWIRE_KEY" \
  --header "Content-Type: application/json" \
  --data "{\"model\": \"tts-1\", \"voice\": \"alloy\", \"response_format\": \"wav\", \"input\": \"$text\"}" \
  --output "${2:-speech.wav}" \
  "$VOICEWIRE_URL/v1/audio/speech"
