// Keywords in samples: the model that `sssm export --unit frame` wrote, and the detector of
// sssm/detector.py, frame by frame.  The file's metadata say everything else.
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // a frame is too short to share
ort.env.wasm.wasmPaths = "./";

export class Spotter {
  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const facts = metadata(bytes);
    if (facts.unit !== "frame") throw new Error(`${url}: not written by sssm export --unit frame`);
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    return new Spotter(session, facts);
  }

  constructor(session, facts) {
    this.session = session;
    this.facts = facts;
    this.rate = facts.sample_rate_hz;
    this.keywords = Object.entries(facts.thresholds).map(([word, threshold]) => ({
      word, threshold, column: facts.labels.indexOf(word),
      smoothed: 0, above: 0, since: 0, armed: true,
    }));
    this.state = Object.fromEntries(facts.states.map((state) => [state.input, start(state)]));
    this.unknown = facts.labels.indexOf("_unknown_");
    // Amid talk a word is rarely a command: sssm/talk.py
    this.talk = [0.96, 0.99, 0.9975].map((keep) => ({ keep, means: [0, 0, 0] }));
    this.waiting = new Float32Array(facts.hop_samples);
    this.waits = this.frame = this.quiet = 0;
  }

  // Words that these samples, however many, complete: [{ keyword, score, time_s }].
  async push(samples) {
    const heard = [];
    for (let at = 0; at < samples.length; ) {
      const taken = Math.min(samples.length - at, this.waiting.length - this.waits);
      this.waiting.set(samples.subarray(at, at + taken), this.waits);
      this.waits += taken;
      at += taken;
      if (this.waits === this.waiting.length) {
        this.waits = 0;
        heard.push(...this.detect(await this.scores(this.waiting)));
      }
    }
    return heard;
  }

  async scores(hop) {
    const audio = new ort.Tensor("float32", hop.slice(), [1, hop.length]);
    const result = await this.session.run({ audio, ...this.state });
    for (const { input, output } of this.facts.states) this.state[input] = result[output];
    return result.scores.data;
  }

  detect(scores) {
    const { release, smoothing, min_frames, refractory } = this.facts.detector;
    const silent = this.quiet > 0;
    this.quiet = Math.max(0, this.quiet - 1);
    this.frame += 1;
    let best = null;
    const prior = this.prior(scores);
    const said = this.keywords.map((k) => scores[k.column]);
    // That a keyword is said at all counts for the likeliest: sssm/evidence.py
    const total = Math.min(1, said.reduce((sum, score) => sum + score, 0));
    const likeliest = said.indexOf(Math.max(...said));
    for (const [n, k] of this.keywords.entries()) {
      const found = prior * (n === likeliest ? total : said[n]) / (prior * total + 1 - total);
      k.smoothed = smoothing * k.smoothed + (1 - smoothing) * found;
      k.since = k.smoothed > release * k.threshold ? k.since || this.frame : 0;
      k.above = k.smoothed >= k.threshold ? k.above + 1 : 0;
      k.armed ||= k.since === 0;
      const ready = k.armed && k.above >= min_frames && !silent;
      if (ready && (!best || k.smoothed / k.threshold > best.smoothed / best.threshold)) best = k;
    }
    if (!best) return [];
    best.armed = false;
    this.quiet = refractory;
    const time_s = (this.frame * this.facts.hop_samples) / this.rate;
    return [{ keyword: best.word, score: best.smoothed, time_s }];
  }

  prior(scores) {
    if (this.unknown < 0) return 1;
    let quiet = 1;
    for (const memory of this.talk) {
      const { keep, means } = memory;
      const before = [scores[this.unknown], ...means];
      memory.means = means.map((own, stage) => keep * own + (1 - keep) * before[stage]);
      quiet *= 1 - 0.99 * memory.means.at(-1);
    }
    return quiet ** this.facts.detector.caution;
  }
}

function start({ shape, fill }) {
  const sizes = shape.map((size) => (size === "batch" ? 1 : size));
  const count = sizes.reduce((product, size) => product * size, 1);
  const numbers = new Float32Array(count); // one number everywhere, or those of a row
  if (Array.isArray(fill)) numbers.set(fill.flat(Infinity));
  else numbers.fill(fill);
  return new ort.Tensor("float32", numbers, sizes);
}

// Of another program's file it may be anything.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// onnxruntime-web does not give the metadata of a file, so they are read from it: field 14 of the
// outermost protocol buffer, each a message of a key and a value.
function metadata(bytes) {
  const text = new TextDecoder();
  const found = {};
  for (const [field, value] of fields(bytes)) {
    if (field !== 14) continue;
    const entry = Object.fromEntries(fields(value));
    found[text.decode(entry[1])] = parsed(text.decode(entry[2]));
  }
  return found;
}

function* fields(bytes) {
  let at = 0;
  const number = () => {
    let value = 0, factor = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag & 7;
    if (kind === 2) {
      const length = number();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else if (kind === 0) number();
    else at += kind === 1 ? 8 : 4;
  }
}
