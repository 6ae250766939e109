// From the microphone to the server: an AudioWorklet's chunks over a websocket, in order.
const CHUNK_S = 0.02;
const BLOCK = 128; // samples that an audio thread handles at once
const BACKLOG_S = 8; // unsent sound after which chunks are dropped, which their numbers show

export class Ear {
  // on: {message(object), paused(is), end(reason)}; end is called once, with "" where all went well.
  constructor(settings, on) {
    this.settings = settings;
    this.on = on;
    this.ended = false;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(
        "Browsers give a microphone only to pages on localhost or over HTTPS. Open this page as " +
          "http://localhost, or put it behind HTTPS.",
      );
    }
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1,
      },
    });
    if (this.ended) return this.free();
    this.stream.getAudioTracks()[0].onended = () => this.finish("The microphone is gone.");
    this.context = new AudioContext({ latencyHint: "interactive" });
    await this.context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    await this.context.resume();
    if (this.ended) return this.free();
    await this.connect();
    if (this.ended) return this.free();
    const samples = Math.max(1, Math.round((CHUNK_S * this.context.sampleRate) / BLOCK)) * BLOCK;
    this.worklet = new AudioWorkletNode(this.context, "chunks", {
      numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit",
      processorOptions: { samples },
    });
    this.worklet.port.onmessage = ({ data }) => this.pass(data);
    this.context.createMediaStreamSource(this.stream).connect(this.worklet);
    this.context.onstatechange = () => this.on.paused(this.context.state !== "running");
  }

  connect() {
    const address = new URL("listen", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.onclose = ({ code, reason }) => {
      const gone = reason || "The connection to the server is lost.";
      this.finish(code === 1000 ? "" : gone);
    };
    this.socket.onmessage = ({ data }) => this.on.message(JSON.parse(data));
    return new Promise((resolve) => {
      this.socket.addEventListener("close", resolve);
      this.socket.addEventListener("open", () => {
        this.say({ sample_rate_hz: this.context.sampleRate, ...this.settings });
        resolve();
      });
    });
  }

  pass(chunk) {
    const unsent_s = this.socket.bufferedAmount / (2 * this.context.sampleRate);
    if (this.socket.readyState === WebSocket.OPEN && unsent_s < BACKLOG_S) this.socket.send(chunk);
  }

  say(object) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(object));
  }

  // What was sent is heard to its end; the server then closes the connection.
  stop() {
    if (this.socket?.readyState !== WebSocket.OPEN) return this.finish("");
    this.worklet?.disconnect();
    if (this.worklet) this.worklet.port.onmessage = null;
    this.say({ end: true });
    this.free();
  }

  finish(reason) {
    if (this.ended) return;
    this.ended = true;
    this.free();
    this.socket?.close();
    this.on.end(reason);
  }

  free() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (!this.context || this.context.state === "closed") return;
    this.context.onstatechange = null;
    this.context.close();
  }
}
