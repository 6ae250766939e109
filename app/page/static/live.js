// <sssm-live>: the microphone's button, the word, its timeline and list.
import { clock, drawLanes, make } from "./draw.js";
import { Ear } from "./ear.js";

const SHOWN_S = 10;
const FRAME_S = 0.01;
const WORD_MS = 1500; // a word is large for so long
const ROWS = 200;
const FLOOR_DB = -60;
const PAUSED = "The browser has paused the microphone, as during a call. Nothing is heard until it goes on.";

class Live extends HTMLElement {
  connectedCallback() {
    this.settings = { model: this.dataset.model, sensitivity: 0 };
    if (this.button) return;
    this.button = make("button", "sssm-button");
    this.button.type = "button";
    this.button.onclick = () => (this.ear ? this.stop() : this.start());
    this.level = make("div", "sssm-level", "", make("div", "sssm-level-bar"));
    this.level.setAttribute("role", "meter");
    this.level.setAttribute("aria-label", "Level of the microphone in decibels of full scale");
    this.level.setAttribute("aria-valuemin", FLOOR_DB);
    this.level.setAttribute("aria-valuemax", 0);
    this.notice = make("p", "sssm-notice");
    this.notice.setAttribute("role", "alert");
    this.word = make("p", "sssm-word");
    this.word.setAttribute("aria-hidden", "true"); // the line below says it
    this.said = make("p", "sssm-spoken");
    this.said.setAttribute("role", "log");
    this.said.setAttribute("aria-live", "assertive");
    this.canvas = make("canvas", "sssm-lanes");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute(
      "aria-label", "Scores of each keyword in the last ten seconds, with its threshold",
    );
    this.list = make("ol", "sssm-list");
    this.counters = make("p", "sssm-counters");
    this.append(
      make("div", "sssm-controls", "", this.button, this.level), this.notice, this.word, this.said,
      this.canvas, make("h2", "", "Heard"), this.list, this.counters,
    );
    this.forget();
    this.show(false);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  disconnectedCallback() {
    this.ear?.finish("");
  }

  // Of the page's settings; another model begins anew.
  configure(model, sensitivity) {
    const changed = model !== this.settings.model;
    sensitivity = Math.max(-this.dataset.most, Math.min(this.dataset.most, sensitivity));
    this.settings = { model, sensitivity };
    if (!this.ear) return;
    if (changed) {
      this.ear.finish("");
      this.start();
    } else {
      this.ear.say({ sensitivity });
    }
  }

  forget() {
    this.keywords = this.keywords ?? [];
    this.thresholds = this.thresholds ?? {};
    this.timeline = []; // [time_s, scores], one a frame
    this.events = [];
    this.silent = { samples: 0, from: 0 };
    this.list.replaceChildren();
    this.counters.textContent = "";
  }

  async start() {
    this.forget();
    this.notice.textContent = "";
    const ear = new Ear(this.settings, {
      message: (message) => this.ear === ear && this[`on_${message.type}`]?.(message),
      paused: (is) => this.ear === ear && (this.notice.textContent = is ? PAUSED : ""),
      end: (reason) => this.ear === ear && this.stopped(reason),
    });
    this.ear = ear;
    this.show(true);
    try {
      await ear.start();
    } catch (error) {
      const denied = error.name === "NotAllowedError" ? "The microphone was not allowed. " : "";
      const none = error.name === "NotFoundError" ? "There is no microphone. " : "";
      ear.finish(denied || none || error.message || error.name);
    }
  }

  stop() {
    this.ear.stop();
  }

  stopped(reason) {
    this.ear = undefined;
    this.notice.textContent = reason;
    this.show(false);
  }

  show(listening) {
    this.button.textContent = listening ? "■ Stop" : "● Start listening";
    this.classList.toggle("sssm-listening", listening);
    this.word.textContent = listening ? "…" : "Press the button, and say a word";
    this.word.classList.remove("sssm-fresh");
    this.setLevel(FLOOR_DB);
  }

  on_ready({ keywords, thresholds }) {
    this.keywords = keywords;
    this.thresholds = thresholds;
    this.word.textContent = "Listening";
    this.draw();
  }

  on_thresholds({ thresholds }) {
    this.thresholds = thresholds;
    this.draw();
  }

  on_word(event) {
    this.word.textContent = event.keyword;
    this.word.classList.add("sssm-fresh");
    clearTimeout(this.fading);
    this.fading = setTimeout(() => this.word.classList.remove("sssm-fresh"), WORD_MS);
    this.said.textContent = `${event.keyword}, at ${clock(event.time_s, 1)}`;
    this.events.push(event);
    const row = make("li", "", "", make("strong", "", event.keyword));
    row.append(
      make("span", "", clock(event.time_s, 2)), make("span", "", `score ${event.score.toFixed(2)}`),
    );
    this.list.prepend(row);
    while (this.list.childElementCount > ROWS) this.list.lastElementChild.remove();
    this.draw();
  }

  on_heard(message) {
    message.scores.forEach((scores, n) => {
      this.timeline.push([(message.frame + n + 1) * FRAME_S, scores]);
    });
    this.timeline.splice(0, Math.max(0, this.timeline.length - SHOWN_S / FRAME_S));
    this.events = this.events.filter((event) => event.time_s > this.now_s - SHOWN_S);
    this.setLevel(20 * Math.log10(Math.max(message.peak, 1e-9)));
    this.count(message);
    this.draw();
  }

  get now_s() {
    return this.timeline.at(-1)?.[0] ?? 0;
  }

  count(message) {
    const seconds = (samples) => `${(samples / this.ear.context.sampleRate).toFixed(1)} s`;
    const parts = [
      `received ${seconds(message.received_samples)}`,
      `lost ${seconds(message.lost_samples)}`,
      `late ${seconds(message.late_samples)}`,
    ];
    if (message.lost_samples) parts.push(`${message.lost_samples} samples missing`);
    if (message.clipped_samples) parts.push(`clipped ${message.clipped_samples} samples`);
    this.counters.textContent = `Sound ${parts.join(" · ")}`;
    this.counters.classList.toggle("sssm-warning", message.lost_samples > 0);
    // A microphone that is switched off gives exact zeros.
    const heard = message.received_samples + message.lost_samples;
    if (message.silent_samples - this.silent.samples < heard - this.silent.from) {
      this.silent = { samples: message.silent_samples, from: heard };
      if (this.muted) this.notice.textContent = "";
      this.muted = false;
    } else if (heard - this.silent.from > 2 * this.ear.context.sampleRate) {
      this.muted = true;
      this.notice.textContent = "Only zeros: is the microphone muted?";
    }
  }

  setLevel(decibels) {
    const shown = Math.max(FLOOR_DB, Math.min(0, decibels));
    this.level.setAttribute("aria-valuenow", Math.round(shown));
    this.level.firstChild.style.width = `${100 * (1 - shown / FLOOR_DB)}%`;
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = undefined;
      if (!this.keywords.length || !this.canvas.clientWidth) return;
      const to_s = Math.max(SHOWN_S, this.now_s);
      drawLanes(this.canvas, {
        keywords: this.keywords, thresholds: this.thresholds, events: this.events,
        span: { from_s: to_s - SHOWN_S, to_s }, count: this.timeline.length,
        at: (n) => this.timeline[n],
      });
    });
  }
}

customElements.define("sssm-live", Live);
