// Cuts what the microphone gives into numbered chunks.  Runs in the browser's audio thread, which
// loses nothing while the page is busy; should it ever be skipped itself, the index of a chunk's
// first sample shows how much is missing.
const HEADER = 8; // uint32 number, uint32 index; then int16 samples, all little-endian

class Chunks extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.size = options.processorOptions.samples;
    this.number = 0;
    this.start = undefined; // frame of the first sample
    this.expected = 0; // frame of the next block
    this.begin(0);
  }

  begin(index) {
    this.message = new ArrayBuffer(HEADER + 2 * this.size);
    this.view = new DataView(this.message);
    this.view.setUint32(4, index % 2 ** 32, true);
    this.filled = 0;
  }

  send() {
    this.view.setUint32(0, this.number++ % 2 ** 32, true);
    const message = this.filled < this.size ? this.message.slice(0, HEADER + 2 * this.filled) : this.message;
    this.port.postMessage(message, [message]);
  }

  process(inputs) {
    const samples = inputs[0][0];
    if (samples === undefined) return true; // the microphone has not begun
    if (this.start === undefined) this.start = this.expected = currentFrame;
    if (currentFrame !== this.expected) {
      if (this.filled) this.send();
      this.begin(currentFrame - this.start);
    }
    this.expected = currentFrame + samples.length;
    for (let n = 0; n < samples.length; n++) {
      const value = Math.max(-32768, Math.min(32767, Math.round(samples[n] * 32768)));
      this.view.setInt16(HEADER + 2 * this.filled++, value, true);
      if (this.filled === this.size) {
        this.send();
        this.begin(currentFrame + n + 1 - this.start);
      }
    }
    return true;
  }
}

registerProcessor("chunks", Chunks);
