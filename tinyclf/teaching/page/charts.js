// SVG charts, drawn at their displayed width, so that their text has the same size as the text of the page.
// Each loss has its own color and dash (`series-NAME` in the style sheet) and its own mark (MARKS below).

"use strict";

const MARKS = {
  naive: "M-5-5L5 5M5-5L-5 5",
  shifted: "M0-6L6 5L-6 5Z",
  clipped: "M-5-5H5V5H-5Z",
  padded: "M0-7L7 0L0 7L-7 0Z",
  textbook: "M0 6L6-5L-6-5Z",
  stable: "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
};

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Measures the width of a text before it is added to the page.
const pen = document.createElement("canvas").getContext("2d");

function widthOf(words, size = 15) {
  pen.font = `600 ${size}px ${getComputedStyle(document.documentElement).getPropertyValue("--sans")}`;
  return pen.measureText(words).width;
}

function text(x, y, words, attributes = {}) {
  return svg("text", { x, y, ...attributes }, words);
}

function mark(name, x, y, scale = 1) {
  return svg("path", { class: `mark series-${name}`, d: MARKS[name], transform: `translate(${x} ${y}) scale(${scale})` });
}

function canvas(width, height, description) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": description });
}

// Returns a function from values to pixels, with its inverse. Kinds: `linear`, `log`, and `symlog`, which also allows 0
// and negative values.
function scale({ min, max, kind = "linear" }, from, to) {
  const [bend, unbend] = {
    linear: [(v) => v, (u) => u],
    log: [Math.log10, (u) => 10 ** u],
    symlog: [(v) => Math.sign(v) * Math.log10(1 + Math.abs(v)), (u) => Math.sign(u) * (10 ** Math.abs(u) - 1)],
  }[kind];
  const [low, high] = [bend(min), bend(max)];
  const pixels = (v) => from + ((bend(v) - low) / (high - low)) * (to - from);
  pixels.inverse = (at) => unbend(low + ((at - from) / (to - from)) * (high - low));
  return pixels;
}

// About `count` round numbers between min and max.
function ticks({ min, max, kind = "linear", at }, count) {
  if (at) return at.filter((v) => v >= min && v <= max);
  if (kind === "log") {
    const [low, high] = [Math.ceil(Math.log10(min)), Math.floor(Math.log10(max))];
    const every = Math.max(1, Math.ceil((high - low) / count));
    return range(low, high, every).map((e) => 10 ** e);
  }
  const rough = (max - min) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough);
  return range(Math.ceil(min / step), Math.floor(max / step)).map((i) => i * step);
}

function range(from, to, step = 1) {
  return Array.from({ length: Math.max(0, Math.floor((to - from) / step) + 1) }, (_, i) => from + i * step);
}

function tidy(v) {
  if (v === 0) return "0";
  const small = Math.abs(v) < 0.01;
  return typeset(small || Math.abs(v) >= 1e6 ? v.toExponential(0) : String(Number(v.toPrecision(6))));
}

// Draws axes with grid and labels; returns the SVG, the two scales and the borders of the plot.
// `space` is extra height above the plot, for series without finite values.
function frame({ width, height, x, y, description, right = 16, left = 52, space = 0 }) {
  const top = 30 + space;
  const bottom = height - 44;
  const root = canvas(width, height, description);
  const X = scale(x, left, width - right);
  const Y = scale(y, bottom, top);
  for (const v of ticks(y, 5)) {
    root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }));
    root.append(text(left - 8, Y(v) + 5, (y.format ?? tidy)(v), { class: "tick", "text-anchor": "end" }));
  }
  for (const v of ticks(x, width < 480 ? 4 : 7)) {
    root.append(text(X(v), bottom + 20, (x.format ?? tidy)(v), { class: "tick", "text-anchor": "middle" }));
  }
  root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: bottom, y2: bottom }));
  root.append(text((left + width - right) / 2, height - 4, x.label, { class: "title", "text-anchor": "middle" }));
  root.append(text(4, 16, y.label, { class: "title" }));
  return { root, X, Y, left, right: width - right, top, bottom, width };
}

// Draws a line through the finite points, with the loss's mark at some of them.
function drawLine({ root, X, Y, top, bottom }, { name, points, wide = false, faint = false, marks = true }) {
  const finite = points.filter(([, v]) => Number.isFinite(v));
  const path = finite.map(([a, b], i) => `${i ? "L" : "M"}${X(a).toFixed(1)} ${clamp(Y(b), top, bottom).toFixed(1)}`);
  const style = `line series-${name}${wide ? " wide" : ""}${faint ? " faint" : ""}`;
  root.append(svg("path", { class: style, d: path.join("") }));
  if (!marks || faint) return;
  const every = Math.max(1, Math.floor(finite.length / 6));
  finite.forEach(([a, b], i) => {
    if (i % every === Math.floor(every / 2)) root.append(mark(name, X(a), clamp(Y(b), top, bottom), 0.8));
  });
}

// Marks where a loss stops being finite. The cross of the naive loss is diagonal, so that it stays visible when
// another loss ends at the same point.
function cross(root, name, x, y, size = 1) {
  const d = name === "naive" ? "M-9-9L9 9M9-9L-9 9" : "M0-11V11M-11 0H11";
  root.append(svg("path", { class: `cross series-${name}`, d, transform: `translate(${x} ${y}) scale(${size})` }));
}

function clamp(v, low, high) {
  return Math.min(Math.max(v, low), high);
}

// Draws labels beside lines, moved so that they do not overlap and stay inside the chart. A label that is too
// wide is replaced by its `short` form.
function drawLabels({ root, top, bottom, width }, labels) {
  const gap = 19;
  for (const label of labels) {
    if (label.short && widthOf(label.words) > width - 8) label.words = label.short;
    const long = widthOf(label.words);
    const from = (label.anchor ?? "end") === "end" ? label.x - long : label.x;
    label.x = clamp(from, 4, Math.max(4, width - 4 - long));
  }
  const sorted = labels.slice().sort((a, b) => a.y - b.y);
  sorted.forEach((label, i) => {
    const above = i ? sorted[i - 1].y + gap : top - 8;
    label.y = Math.max(label.y, above);
  });
  for (let i = sorted.length - 1; i >= 0; i -= 1) {
    const below = i === sorted.length - 1 ? bottom - 6 : sorted[i + 1].y - gap;
    sorted[i].y = Math.min(sorted[i].y, below);
  }
  for (const { name, words, x, y } of sorted) root.append(text(x, y, words, { class: `label series-${name}` }));
}

// One row per loss, one mark per seed; a cross stands for the seeds whose accuracy is nan.
function dotStrip({ width, rows, description, label }) {
  const height = 34 * rows.length + 74;
  const left = width < 480 ? 16 : 178;
  const lift = width < 480 ? 18 : 0; // on narrow screens the name is above its row
  const area = frame({
    width,
    height: height + lift * rows.length,
    left,
    right: 22,
    x: { min: 0, max: 1, label: widthOf(label, 14) > width - left ? "test accuracy" : label, format: percent, at: [0, 0.25, 0.5, 0.75, 1] },
    y: { min: 0, max: 1, label: "", at: [] },
    description,
  });
  rows.forEach(({ name, values, mean }, i) => {
    const y = 34 + (34 + lift) * i + lift;
    area.root.append(svg("line", { class: "grid", x1: left, x2: area.right, y1: y, y2: y }));
    const at = lift ? { x: left, y: y - 16, anchor: "start" } : { x: left - 14, y: y + 5, anchor: "end" };
    area.root.append(text(at.x, at.y, name, { class: `label series-${name}`, "text-anchor": at.anchor }));
    const finite = values.filter(Number.isFinite);
    for (const v of finite) area.root.append(mark(name, area.X(v), y));
    if (Number.isFinite(mean)) {
      area.root.append(svg("line", { class: `mean series-${name}`, x1: area.X(mean), x2: area.X(mean), y1: y - 13, y2: y + 13 }));
    }
    if (finite.length < values.length) {
      cross(area.root, name, left + 14, y);
      const count = values.length - finite.length;
      area.root.append(text(left + 30, y + 5, `nan, ${count} of ${values.length}`, { class: `label series-${name}` }));
    }
  });
  return area.root;
}

// Minus the gradient of each logit, as a bar from the middle: gradient descent increases a logit whose bar
// points to the right.
function gradientBars({ width, name, gradient, description }) {
  const row = 24;
  const root = canvas(width, row * gradient.length + 4, description);
  const [left, right] = [30, width - 88];
  const X = scale({ min: -1, max: 1 }, left, right);
  root.append(svg("line", { class: "axis", x1: X(0), x2: X(0), y1: 0, y2: row * gradient.length }));
  gradient.forEach((g, i) => {
    const y = row * i + 3;
    const minus = g === 0 ? 0 : -g; // not -0
    root.append(text(0, y + 14, `z${i}`, { class: "tick" }));
    if (Number.isNaN(minus)) {
      root.append(svg("rect", { class: "hatched", x: left, width: right - left, y, height: row - 6 }));
    } else if (minus !== 0) {
      const end = X(clamp(minus, -1.06, 1.06));
      const bar = { x: Math.min(X(0), end), width: Math.max(Math.abs(end - X(0)), 1.5), y, height: row - 6 };
      root.append(svg("rect", { class: `bar series-${name}`, ...bar }));
      const tip = Math.sign(minus) * 6;
      if (Math.abs(end - X(0)) > 8) {
        root.append(svg("path", { class: `bar series-${name}`, d: `M${end} ${y - 2}L${end + tip} ${y + 9}L${end} ${y + 20}Z` }));
      }
    }
    root.append(text(width, y + 14, number(minus, 3), { class: "tick value", "text-anchor": "end" }));
  });
  return root;
}

// The recall of each digit with some losses, with the first image of the digit below. `results` has the recall and the
// accuracy for each loss; a result that is undefined has no bars. A digit is forgotten if its recall is below `forgotten`.
function recallBars({ width, results, label, forgotten }) {
  const names = Object.keys(results);
  const forgets = (recall) => recall < forgotten;
  // The names above the bars: with the forgotten digits, only with the accuracy, or alone.
  const glyphs = { naive: "\u00d7", clipped: "\u25a0", stable: "\u25cf" };
  const inForm = (form) => (name) => {
    const { accuracy, recall } = results[name] ?? {};
    const alone = `${glyphs[name]} ${name}`;
    if (form === "alone" || !recall) return alone;
    if (!Number.isFinite(accuracy)) return `${alone} nan`;
    const lost = recall.flatMap((v, digit) => (forgets(v) ? [digit] : []));
    return `${alone} ${percent(accuracy)}${form === "forgotten" && name !== "stable" ? `, forgot ${lost.join(", ") || "none"}` : ""}`;
  };
  const forms = ["forgotten", "accuracy", "alone"].map((form) => names.map(inForm(form)));
  const fits = (words) => words.reduce((total, one) => total + widthOf(one) + 16, widthOf(label)) < width - 24;
  const words = forms.find(fits);
  const inWords = (name) => results[name]?.recall.map((v) => (Number.isFinite(v) ? percent(v) : "none")).join(", ") ?? "none";
  const area = frame({
    width,
    height: 330,
    x: { min: -0.5, max: 9.5, label: "digit", at: [] },
    y: { min: 0, max: 1, label: words ? label : "", format: percent, at: [0, 0.25, 0.5, 0.75, 1] },
    description: `Recall of the digits 0 to 9. ${names.map((name) => `${name[0].toUpperCase()}${name.slice(1)}: ${inWords(name)}.`).join(" ")}`,
  });
  let right = area.right;
  [...(words ?? forms.at(-1))].reverse().forEach((its, i) => {
    drawLabels({ ...area, top: 0, bottom: 24 }, [{ name: names.at(-1 - i), words: its, x: right, y: 16 }]);
    right -= widthOf(its) + 16;
  });
  const bar = Math.min(22, (area.right - area.left) / (10 * names.length + 6));
  range(0, 9).forEach((digit) => {
    names.forEach((name, i) => {
      const recall = results[name]?.recall[digit];
      if (!Number.isFinite(recall)) return;
      const x = area.X(digit) + (i - names.length / 2) * (bar + 2) + 1;
      area.root.append(svg("rect", { class: `bar series-${name}`, x, width: bar, y: area.Y(recall), height: area.bottom - area.Y(recall) }));
      if (forgets(recall)) cross(area.root, name, x + bar / 2, area.bottom - 16, clamp(bar / 14, 0.4, 1));
    });
    area.root.append(digitImage(imageOf(DIGITS.labels.indexOf(digit)), area.X(digit) - 10, area.bottom + 5, 20));
  });
  return area.root;
}

// An 8 x 8 image of a digit, `size` pixels wide.
function digitImage(pixels, x, y, size) {
  const group = svg("g", { class: "digit", transform: `translate(${x} ${y}) scale(${size / 8})` });
  pixels.forEach((v, i) => {
    if (v) group.append(svg("rect", { x: i % 8, y: Math.floor(i / 8), width: 1.03, height: 1.03, "fill-opacity": v / 16 }));
  });
  return group;
}

function percent(v, decimals = 0) {
  return `${(100 * v).toFixed(decimals)}%`;
}

// Formats a number in a short form: 0, 20, 16.118, 2.0612×10⁻⁹, inf, nan.
function number(v, digits = 5) {
  if (Number.isNaN(v)) return "nan";
  if (!Number.isFinite(v)) return v > 0 ? "inf" : "\u2212inf";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size < 1e-4 || size >= 1e7) return typeset(v.toExponential(digits - 1).replace(/\.?0+e/, "e"));
  return typeset(String(Number(v.toPrecision(digits))));
}

// Replaces the hyphens and the e of formatted numbers by minus signs and powers of ten.
function typeset(words) {
  const raised = (exponent) => [...exponent].map((c) => (c === "-" ? "\u207b" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  const power = (_, mantissa, exponent) => `${mantissa === "1" ? "" : `${mantissa}\u00d7`}10${raised(exponent)}`;
  return words.replace(/(?<![\d.])(\d+(?:\.\d+)?)e\+?(-?\d+)/g, power).replaceAll("-", "\u2212");
}
