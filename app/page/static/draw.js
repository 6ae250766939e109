// Drawing that the microphone's timeline and the files' have in common.  Colours are those of the
// page, light or dark; a threshold is a dashed line and a detection a labelled mark, so that colour
// is not the only signal.
const LANE = 22; // height of a keyword's lane
const LABELS = 58; // least width of the column of names
const BESIDE = 8; // between a name and its lane
const AXIS = 20;
const FONT = "12px system-ui, sans-serif";

function colours(element) {
  const style = getComputedStyle(element);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: of("--body-text-color", "#222"),
    faint: of("--border-color-primary", "#ccc"),
    soft: of("--body-text-color-subdued", "#777"),
    accent: of("--sssm-accent", "#0d9488"),
    mark: of("--sssm-mark", "#c2410c"),
  };
}

// A context in CSS pixels, sharp on every screen.
function fit(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, canvas.clientWidth);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.textBaseline = "middle";
  return [context, width];
}

// Width of the column of names: the longest fits, but where it would take more than half of all.
export function labelsWidth(canvas, keywords) {
  const context = canvas.getContext("2d");
  context.font = FONT;
  const longest = Math.max(0, ...keywords.map((keyword) => context.measureText(keyword).width));
  return Math.min(Math.max(LABELS, Math.ceil(longest) + BESIDE), canvas.clientWidth / 2);
}

// Lanes of scores.
//   span: {from_s, to_s} shown; at(n): [time_s, [score of each keyword]] of point n of count
//   events: [{keyword, time_s}]
export function drawLanes(canvas, { keywords, thresholds, span, count, at, events }) {
  const [context, width] = fit(canvas, keywords.length * LANE + AXIS);
  const colour = colours(canvas);
  const left = labelsWidth(canvas, keywords);
  const x = placeOf(span, left, width);
  keywords.forEach((keyword, k) => {
    const bottom = (k + 1) * LANE - 2;
    const y = (score) => bottom - score * (LANE - 4);
    context.fillStyle = colour.text;
    context.textAlign = "right";
    context.fillText(keyword, left - BESIDE, bottom - LANE / 2 + 2, left - BESIDE);
    line(context, colour.faint, [[left, bottom + 0.5], [width, bottom + 0.5]]);
    context.beginPath();
    context.moveTo(left, bottom);
    let last = left;
    for (let n = 0; n < count; n++) {
      const [time_s, scores] = at(n);
      if (time_s < span.from_s) continue;
      last = Math.min(width, x(time_s));
      context.lineTo(last, y(scores[k]));
    }
    context.lineTo(last, bottom);
    context.globalAlpha = 0.55;
    context.fillStyle = colour.accent;
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash([3, 3]);
    const limit = Math.round(y(thresholds[keyword])) + 0.5;
    line(context, colour.soft, [[left, limit], [width, limit]]);
    context.setLineDash([]);
    for (const event of events) {
      if (event.keyword === keyword && event.time_s >= span.from_s) {
        mark(context, colour, x(event.time_s), bottom - LANE + 2, bottom);
      }
    }
  });
  axis(context, colour, left, width, keywords.length * LANE + AXIS / 2, span, x);
}

// A waveform above the lanes of these keywords, in line with them.
export function drawWave(canvas, height, { keywords, span, count, at, loudest, events, played_s }) {
  const [context, width] = fit(canvas, height);
  const colour = colours(canvas);
  const left = labelsWidth(canvas, keywords);
  const middle = height / 2;
  const scale = (middle - 14) / loudest;
  const x = placeOf(span, left, width);
  context.fillStyle = colour.soft;
  for (let n = 0; n < count; n++) {
    const [time_s, wide_s, high, low] = at(n);
    const top = middle + 4 - high * scale;
    const end = Math.max(x(time_s + wide_s) - x(time_s), 1);
    context.fillRect(x(time_s), top, end, Math.max(1, (high - low) * scale));
  }
  let free = 0; // names do not write over one another
  context.globalAlpha = events.length * 12 > width - left ? 0.3 : 1; // the wave stays to be seen
  for (const event of events) mark(context, colour, x(event.time_s), 12, height);
  context.globalAlpha = 1;
  context.fillStyle = colour.text;
  for (const event of events) {
    const wide = context.measureText(event.keyword).width;
    const from_x = Math.min(x(event.time_s) - 4, width - wide);
    if (from_x >= free) {
      context.textAlign = "left";
      context.fillText(event.keyword, from_x, 6);
      free = from_x + wide + 8;
    }
  }
  if (played_s > 0) line(context, colour.accent, [[x(played_s), 0], [x(played_s), height]]);
}

// Where a time stands, between the names and the right edge.
function placeOf(span, left, width) {
  return (time_s) => left + ((time_s - span.from_s) / (span.to_s - span.from_s)) * (width - left);
}

function mark(context, colour, x, top, bottom) {
  context.lineWidth = 2;
  line(context, colour.mark, [[x, top], [x, bottom]]);
  context.lineWidth = 1;
  context.fillStyle = colour.mark;
  context.beginPath();
  context.moveTo(x - 4, top);
  context.lineTo(x + 4, top);
  context.lineTo(x, top + 6);
  context.fill();
}

function axis(context, colour, left, width, y, span, x) {
  context.fillStyle = colour.soft;
  context.textAlign = "center";
  const all_s = span.to_s - span.from_s;
  const most = Math.max(2, Math.floor((width - left) / 48));
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600].find(
    (s) => all_s / s <= most,
  ) ?? 7200;
  for (let t = Math.ceil(span.from_s / step) * step; t < span.to_s - step / 4; t += step) {
    if (x(t) > left + 10) context.fillText(clock(t, step < 1 ? 1 : 0), x(t), y);
  }
}

// 75.5 with 1 digit -> "1:15.5"; 119.6 -> "2:00"
export function clock(seconds, digits = 0) {
  const rounded = Number(seconds.toFixed(digits));
  const minutes = Math.floor(rounded / 60);
  const rest = (rounded - 60 * minutes).toFixed(digits);
  return minutes ? `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}` : `${rest} s`;
}

function line(context, colour, points) {
  context.strokeStyle = colour;
  context.beginPath();
  points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

// An element with a class, text and children; text is never read as HTML.
export function make(tag, name, text = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}
