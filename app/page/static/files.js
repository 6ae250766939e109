// <sssm-recording data-facts='{...}'>: one file; its waveform, scores and events, and how to hear it.
import { clock, drawLanes, drawWave, labelsWidth, make } from "./draw.js";

const WAVE = 96; // height of a waveform
const ROWS = 300;
const RANKED = 5;
const LEAD_S = 0.2; // played before a word

// What it shows stands in a shadow: Gradio changes the page by patching it, and would take away all
// that its HTML does not hold.
class Recording extends HTMLElement {
  static observedAttributes = ["data-facts"];

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
    this.observer = new ResizeObserver(() => this.draw());
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => requestAnimationFrame(() => this.wave && this.draw()); // after Gradio
  }

  attributeChangedCallback() {
    this.disconnectedCallback();
    const style = make("link", "");
    style.rel = "stylesheet";
    style.href = "sssm/page.css";
    this.shadowRoot.replaceChildren(style, ...this.parts(JSON.parse(this.dataset.facts)));
    this.connectedCallback();
  }

  connectedCallback() {
    if (!this.wave) return;
    this.observer.observe(this.wave);
    this.scheme.addEventListener("change", this.recolour);
  }

  disconnectedCallback() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.player?.pause();
  }

  parts(facts) {
    this.facts = facts;
    this.wave = this.player = null;
    const parts = [];
    const length = facts.duration_s ? ` (${clock(facts.duration_s, facts.duration_s < 60 ? 2 : 0)})` : "";
    parts.push(make("h2", "", facts.name + length));
    if (facts.message) {
      const message = make("p", "sssm-notice", facts.message);
      message.setAttribute("role", "alert");
      parts.push(message);
    }
    if (!facts.peaks) return parts;
    if (facts.ranked.length) parts.push(this.ranked());
    this.peaks = new Int8Array(bytes(facts.peaks));
    this.scores = new Uint8Array(bytes(facts.scores));
    this.loudest = this.peaks.reduce((most, v) => Math.max(most, Math.abs(v)), 5) / 127;
    this.keywords = Object.keys(facts.thresholds);
    this.player = make("audio", "sssm-player");
    this.player.controls = true;
    this.player.preload = "none";
    this.player.src = facts.url;
    this.player.onerror = () => this.player.replaceWith(make("p", "sssm-hint", "This browser cannot play it."));
    this.player.ontimeupdate = () => this.drawWave();
    this.wave = make("canvas", "sssm-wave");
    this.lanes = make("canvas", "sssm-lanes");
    for (const [canvas, words] of [
      [this.wave, "Waveform with detections"],
      [this.lanes, "Scores of each keyword, with thresholds and detections"],
    ]) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${words}; the table below says the same`);
      canvas.onclick = (event) => this.play(this.nearest(event.offsetX, canvas));
    }
    parts.push(this.wave, this.lanes, this.player, this.table());
    return parts;
  }

  ranked() {
    const list = make("ol", "sssm-ranked");
    list.setAttribute("aria-label", "Most likely classes of the clip");
    for (const [label, score] of this.facts.ranked.slice(0, RANKED)) {
      const bar = make("div", "sssm-bar");
      bar.style.width = `${100 * score}%`;
      list.append(make("li", "", "", make("span", "", label), make("div", "sssm-track", "", bar), make("span", "", `${(100 * score).toFixed(1)}%`)));
    }
    return list;
  }

  table() {
    const events = this.facts.events;
    if (!events.length) return make("p", "sssm-hint", "No keyword was heard.");
    const head = make("tr");
    for (const name of ["play", "keyword", "from", "heard at", "score"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = make("tbody");
    for (const event of events.slice(0, ROWS)) {
      const play = make("button", "sssm-play", "▶");
      play.type = "button";
      play.setAttribute("aria-label", `Play ${event.keyword} at ${clock(event.time_s, 1)}`);
      play.onclick = () => this.play(event.start_s - LEAD_S);
      const cells = [clock(event.start_s, 2), clock(event.time_s, 2), event.score.toFixed(3)];
      body.append(make("tr", "", "", make("td", "", "", play),
        make("td", "", "", make("strong", "", event.keyword)),
        ...cells.map((text) => make("td", "", text))));
    }
    const table = make("table", "sssm-events", "", make("thead", "", "", head), body);
    table.setAttribute("aria-label", `Events in ${this.facts.name}`);
    const box = make("div", "sssm-scroll", "", table);
    const more = events.length - ROWS;
    if (more > 0) box.append(make("p", "sssm-hint", `${more} more are in the downloads.`));
    return box;
  }

  // The place in seconds of a click; near a detection, just before its word.
  nearest(x, canvas) {
    const left = labelsWidth(canvas, this.keywords);
    const width = canvas.clientWidth - left;
    const time_s = Math.max(0, (x - left) / width) * this.facts.duration_s;
    const close_s = (12 / width) * this.facts.duration_s;
    const event = this.facts.events.find((e) => Math.abs(e.time_s - time_s) < close_s);
    return event ? event.start_s - LEAD_S : time_s;
  }

  play(time_s) {
    this.player.currentTime = Math.max(0, time_s);
    this.player.play().catch(() => {}); // the player's own error says why
  }

  draw() {
    this.drawWave();
    if (!this.lanes.clientWidth) return;
    const { thresholds, events, score_s } = this.facts;
    const K = this.keywords.length;
    drawLanes(this.lanes, {
      keywords: this.keywords, thresholds, events, span: this.span, count: this.scores.length / K,
      at: (n) => [(n + 1) * score_s, Array.from(this.scores.subarray(n * K, n * K + K), (v) => v / 255)],
    });
  }

  drawWave() {
    if (!this.wave.clientWidth) return;
    const { events, peak_s } = this.facts;
    drawWave(this.wave, WAVE, {
      keywords: this.keywords, span: this.span, count: this.peaks.length / 2, loudest: this.loudest, events,
      played_s: this.player.currentTime,
      at: (n) => [n * peak_s, peak_s, this.peaks[2 * n] / 127, this.peaks[2 * n + 1] / 127],
    });
  }

  get span() {
    return { from_s: 0, to_s: this.facts.duration_s };
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
}

customElements.define("sssm-recording", Recording);
