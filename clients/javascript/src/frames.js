// The binary messages of voicewire.v1: 12 bytes of header, then one codec frame or a bundle of them.

const HEADER_BYTES = 12;
const LENGTH_BYTES = 2;
const BUNDLE = 4;

/**
 * Parse one binary message.
 *
 * Returns `{channel, seq, pts, packets}`: `packets` are consecutive frames, the first with `seq` and with
 * its first sample at `pts`. Throws RangeError when the lengths do not add up.
 */
export function parseAudio(buffer) {
  const view = new DataView(buffer);
  const flags = view.getUint16(2, true);
  const body = new Uint8Array(buffer, HEADER_BYTES);
  return {
    channel: view.getUint16(0, true),
    seq: view.getUint32(4, true),
    pts: view.getUint32(8, true),
    packets: flags & BUNDLE ? unbundle(view) : [body],
  };
}

function unbundle(view) {
  const packets = [];
  let at = HEADER_BYTES;
  while (at < view.byteLength) {
    const size = view.getUint16(at, true);
    packets.push(new Uint8Array(view.buffer, at + LENGTH_BYTES, size));
    at += LENGTH_BYTES + size;
  }
  return packets;
}
