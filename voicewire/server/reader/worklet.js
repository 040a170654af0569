// The AudioWorklet around a Feed.

import { Feed } from "./feed.js";

class FeedProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.feed = new Feed(sampleRate, (report) => this.port.postMessage(report));
    this.port.onmessage = ({ data }) => this.feed.receive(data);
  }

  process(_inputs, [[out]]) {
    this.feed.render(out, currentFrame);
    return true;
  }
}

registerProcessor("voicewire-feed", FeedProcessor);
