// Codec frames to samples: Opus through WebCodecs, or PCM where the browser has no Opus decoder.

const OPUS_RATE_HZ = 48_000; // what an Opus decoder gives, whatever rate was encoded
const PCM_RATE_HZ = 24_000;

/** Return `{codec, rateHz}`: what to ask the server for, and the rate at which it is played. */
export async function bestCodec() {
  const opus = typeof AudioDecoder === "function" && (await decodesOpus());
  return opus ? { codec: "opus", rateHz: OPUS_RATE_HZ } : { codec: "pcm_s16le", rateHz: PCM_RATE_HZ };
}

async function decodesOpus() {
  try {
    return (await AudioDecoder.isConfigSupported(opusConfig())).supported;
  } catch {
    return false; // a browser may throw at a codec that it does not know
  }
}

function opusConfig() {
  return { codec: "opus", sampleRate: OPUS_RATE_HZ, numberOfChannels: 1 };
}

/** Open a decoder for `codec`; `onSamples(samples, atUs)` gets float32 at `rateHz`, in order. */
export function openDecoder({ codec, rateHz }, onSamples, onError) {
  return codec === "opus" ? new OpusDecode(rateHz, onSamples, onError) : new PcmDecode(onSamples);
}

class OpusDecode {
  constructor(rateHz, onSamples, onError) {
    this.rateHz = rateHz;
    this.onSamples = onSamples;
    this.decoder = new AudioDecoder({ output: (data) => this.#output(data), error: onError });
    this.decoder.configure(opusConfig());
  }

  /** Decode one packet whose first sample is at `timestamp`, in microseconds. */
  decode(packet, timestamp) {
    this.decoder.decode(new EncodedAudioChunk({ type: "key", timestamp, data: packet }));
  }

  /** Forget what was given and not yet decoded. */
  reset() {
    this.decoder.reset();
    this.decoder.configure(opusConfig());
  }

  /** Resolves when everything given so far was decoded, or forgotten by a reset. */
  async drain() {
    await this.decoder.flush().catch(() => {}); // a reset rejects it
  }

  #output(data) {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    this.onSamples(atRate(samples, data.sampleRate, this.rateHz), data.timestamp);
    data.close();
  }
}

class PcmDecode {
  constructor(onSamples) {
    this.onSamples = onSamples;
  }

  decode(packet, timestamp) {
    const bytes = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const samples = new Float32Array(packet.byteLength / 2);
    for (let i = 0; i < samples.length; i++) samples[i] = bytes.getInt16(2 * i, true) / 32_768;
    this.onSamples(samples, timestamp);
  }

  reset() {}

  async drain() {}
}

/** Some browsers decode Opus at the rate it was encoded at: interpolate, keeping the duration exact. */
export function atRate(samples, fromHz, toHz) {
  if (fromHz === toHz) return samples;
  const out = new Float32Array(Math.round((samples.length * toHz) / fromHz));
  for (let i = 0; i < out.length; i++) {
    const at = (i * fromHz) / toHz;
    const left = samples[Math.floor(at)];
    const right = samples[Math.min(Math.floor(at) + 1, samples.length - 1)];
    out[i] = left + (right - left) * (at - Math.floor(at));
  }
  return out;
}
