// The controls of the page, and the charts and tables that they update. The measured data are in the #data element.

"use strict";

document.documentElement.classList.add("js");

const NOT_FINITE = { nan: NaN, inf: Infinity, "-inf": -Infinity }; // JSON cannot represent them
const DATA = JSON.parse(document.getElementById("data").textContent, (_, v) => (typeof v === "string" && v in NOT_FINITE ? NOT_FINITE[v] : v));
const LOSSES = lossesWith(DATA.eps);
const DIGITS = unpack(DATA.digits);
const SHOWN = ["naive", "shifted", "clipped", "padded", "stable"];
const DTYPES = ["float16", "float32", "float64"];
const REACH = { float16: 24, float32: 120, float64: 800 }; // range of the sliders

const state = {
  dtype: "float32",
  losses: new Set(["naive", "clipped", "stable"]),
  vector: "overflow",
  x: 60,
  z: [DATA.scales[0], 0, 0],
  label: 1,
  scale: DATA.scales[0],
  gap: DATA.gap,
  run: "unscaled",
  seed: 0,
};

const drawings = []; // parts of the page: the names of the state they show, and the function that updates them

function shows(names, draw) {
  drawings.push({ names, draw });
}

function refresh(changed = Object.keys(state)) {
  for (const { names, draw } of drawings) if (names.some((name) => changed.includes(name))) draw();
}

function set(changes) {
  Object.assign(state, changes);
  refresh(Object.keys(changes));
}

// Elements

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const byId = (id) => document.getElementById(id);

function icon(name) {
  return svg("svg", { viewBox: "-8 -8 16 16", class: `series-${name}`, "aria-hidden": "true" }, svg("path", { class: `mark series-${name}`, d: MARKS[name] }));
}

let groups = 0;

// Adds radio buttons for a part of the state to `box`. `read` returns the selected value; `choose` sets another.
function radios(box, title, values, { part, words = String, read = () => state[part], choose = (v) => set({ [part]: v }) }) {
  groups += 1;
  const inputs = values.map((value) => element("input", { type: "radio", name: `group${groups}`, onchange: () => choose(value) }));
  box.append(element("span", { className: "name" }, title));
  values.forEach((value, i) => box.append(element("label", { className: "choice" }, inputs[i], element("span", {}, words(value)))));
  shows([part], () => inputs.forEach((input, i) => { input.checked = values[i] === read(); }));
}

function lossChoice(box) {
  box.append(element("span", { className: "name" }, "Losses"));
  for (const name of SHOWN) {
    const toggle = () => {
      if (!state.losses.delete(name)) state.losses.add(name);
      refresh(["losses"]);
    };
    const input = element("input", { type: "checkbox", onchange: toggle });
    const label = element("span", { className: `series-${name}` }, icon(name), DATA.labels[name]);
    box.append(element("label", { className: "choice" }, input, label));
    shows(["losses"], () => { input.checked = state.losses.has(name); });
  }
}

// Adds a slider and a number field for the same value. The field also accepts values beyond the slider's range.
function slider(box, title, { part, read = () => state[part], write = (v) => set({ [part]: v }), low, high, step }) {
  groups += 1;
  const id = `slider${groups}`;
  const change = (event) => {
    const value = event.target.valueAsNumber;
    if (!Number.isNaN(value)) write(value);
  };
  const range = element("input", { type: "range", id, oninput: change });
  const field = element("input", { type: "number", oninput: change, "aria-label": `${title}, as a number` });
  const showValue = () => { field.value = Number.isInteger(read()) ? read() : Number(read().toPrecision(9)); };
  field.onblur = showValue;
  box.append(element("label", { htmlFor: id }, title), range, field);
  shows([part, "dtype"], () => {
    [range.min, range.max, range.step] = [low(), high(), step()];
    field.step = "any";
    range.value = read();
    if (document.activeElement !== field) showValue();
  });
}

function table(id, head, rows) {
  const cell = (content, tag, scope) => {
    const [words, className] = Array.isArray(content) ? content : [content, ""];
    return element(tag, scope ? { className, scope } : { className }, words);
  };
  byId(id).replaceChildren(
    element("thead", {}, element("tr", {}, ...head.map((title) => cell(title, "th", "col")))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {}, cell(first, "th", "row"), ...rest.map((v) => cell(v, "td"))))),
  );
}

const presenting = () => document.documentElement.classList.contains("presenting");
const zoom = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16; // of the text

// Redraws a chart when the state that it shows, or its width, changes.
function picture(name, names, draw) {
  const box = document.querySelector(`[data-chart="${name}"]`);
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const drawn = draw(Math.floor(width / zoom()));
    drawn.setAttribute("width", width);
    drawn.setAttribute("height", drawn.getAttribute("height") * zoom());
    box.replaceChildren(drawn);
  };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now !== width) {
      width = now;
      redraw();
    }
  }).observe(box);
  shows([...names, "zoom"], redraw);
}

const chosen = (names) => names.filter((name) => state.losses.has(name));
const reach = () => REACH[state.dtype];
const finely = () => reach() / 240;
const rounded = (values) => values.map(ROUND[state.dtype]);
const evaluate = (name, z, label, dtype = state.dtype) => LOSSES[name](z.map(ROUND[dtype]), label, dtype);
const doubtful = (v) => (Number.isFinite(v) ? number(v) : [number(v), "bad"]);

// 1. Vectors

radios(byId("vector-choice"), "Vector", Object.keys(DATA.vectors), {
  words: (name) => `[${DATA.vectors[name].x.join(", ")}]`,
  part: "vector",
});

picture("vector", ["vector"], (width) => {
  const { x } = DATA.vectors[state.vector];
  const { exp, vanish } = DATA.thresholds.float64;
  const height = 150;
  const root = canvas(width, height, `The entries ${x.join(", ")} on a number line. exp is inf above ${exp.toFixed(1)} and 0 below ${(-vanish).toFixed(1)}.`);
  const X = scale({ min: -3000, max: 3000, kind: "symlog" }, 8, width - 8);
  const line = 92;
  root.append(svg("rect", { class: "zone series-naive", x: X(exp), width: width - 8 - X(exp), y: 34, height: 76, fill: "var(--naive)" }));
  root.append(svg("rect", { class: "zone", x: 8, width: X(-vanish) - 8, y: 34, height: 76, fill: "var(--soft)" }));
  root.append(text(width - 8, 26, width < 480 ? "inf" : "exp is inf", { class: "label series-naive", "text-anchor": "end" }));
  root.append(text(8, 26, width < 480 ? "0" : "exp is 0", { class: "label" }));
  root.append(text(width / 2, 26, "exp is finite", { class: "title", "text-anchor": "middle" }));
  root.append(svg("line", { class: "axis", x1: 8, x2: width - 8, y1: line, y2: line }));
  for (const v of width < 480 ? [-1000, 0, 1000] : [-1000, -100, -10, 0, 10, 100, 1000]) {
    root.append(text(X(v), line + 38, String(v).replace("-", "\u2212"), { class: "tick", "text-anchor": "middle" }));
  }
  x.forEach((v) => {
    if (v > exp) cross(root, "naive", X(v), line);
    else root.append(mark("stable", X(v), line, 1.3));
  });
  return root;
});

shows(["vector"], () => {
  const v = DATA.vectors[state.vector];
  table(
    "vector-table",
    ["z", "exp z", "naive softmax", "softmax", "log(softmax)", "log-softmax"],
    v.x.map((x, i) => [String(x), ...["exp", "naive_softmax", "softmax", "log_of_softmax", "log_softmax"].map((part) => doubtful(v[part][i]))]),
  );
});

// 2. Thresholds

slider(byId("threshold-slider"), "x", {
  part: "x",
  low: () => 0,
  high: reach,
  step: finely,
});

picture("thresholds", ["x", "dtype"], (width) => {
  const words = DTYPES.map((dtype) => `${dtype} to ${DATA.thresholds[dtype].exp.toFixed(2)}`);
  const area = frame({
    width,
    height: 262,
    left: 70,
    right: 20,
    x: { min: 3, max: 1200, kind: "log", label: "x, logarithmic", at: width < 480 ? [10, 100, 1000] : [5, 10, 20, 50, 100, 200, 500, 1000] },
    y: { min: 0, max: 3, label: "", at: [] },
    description: `exp(x) is finite: ${words.join(", ")}.`,
  });
  DTYPES.forEach((dtype, i) => {
    const { exp, vanish, beside_one: beside } = DATA.thresholds[dtype];
    const y = area.top + 12 + i * 58;
    const weight = dtype === state.dtype ? 1 : 0.4;
    area.root.append(text(area.left - 8, y + 21, dtype, { class: dtype === state.dtype ? "label" : "tick", "text-anchor": "end" }));
    area.root.append(svg("rect", { class: "range", x: area.left, width: area.X(exp) - area.left, y: y + 4, height: 24, rx: 3, opacity: weight }));
    for (const [at, letter, anchor] of [[beside, "c", "end"], [exp, "a", "end"], [vanish, "b", "start"]]) {
      area.root.append(svg("line", { class: "limit", x1: area.X(at), x2: area.X(at), y1: y, y2: y + 32, opacity: weight }));
      area.root.append(text(area.X(at), y - 3, letter, { class: "tick", "text-anchor": anchor }));
    }
  });
  const at = area.X(clamp(state.x, 3, 1200));
  area.root.append(svg("line", { class: "pointer", x1: at, x2: at, y1: area.top - 12, y2: area.bottom }));
  return area.root;
});

shows(["x", "dtype"], () => {
  const round = ROUND[state.dtype];
  const [x] = rounded([state.x]);
  const small = round(Math.exp(-x));
  const parts = [["exp(x)", round(Math.exp(x))], ["exp(\u2212x)", small], ["log(1 + exp(\u2212x))", round(Math.log(round(1 + small)))]];
  byId("threshold-readout").replaceChildren(
    `x = ${number(x)} in ${state.dtype}: `,
    ...parts.flatMap(([name, v], i) => [i ? ", " : "", `${name} = `, element("b", {}, number(v))]),
  );
});

table(
  "threshold-table",
  ["the largest x for which", ...DTYPES],
  [["a", "exp", "exp(x) is finite"], ["", "sum", "the sum of ten exp(x) is finite"], ["b", "vanish", "exp(\u2212x) is not 0"], ["c", "beside_one", "log(1 + exp(\u2212x)) is not 0"]].map(
    ([letter, part, words]) => [`${letter} ${words}`.trim(), ...DTYPES.map((dtype) => DATA.thresholds[dtype][part].toFixed(3))],
  ),
);

// 3. The losses of three logits

state.z.forEach((_, i) => {
  slider(byId("logit-sliders"), `z${i}`, {
    part: "z",
    read: () => state.z[i],
    write: (v) => set({ z: state.z.map((old, j) => (j === i ? v : old)) }),
    low: () => -reach(),
    high: reach,
    step: finely,
  });
});

byId("presets").append(element("span", { className: "name" }, "Examples"));
for (const preset of [[2, 1, 0], ...DATA.scales.map((s) => [s, 0, 0])]) {
  byId("presets").append(element("button", { type: "button", onclick: () => set({ z: preset, label: 1 }) }, `[${preset.join(", ")}]`));
}

radios(byId("true-class"), "True class", [0, 1, 2], {
  words: (i) => `z${i}`,
  part: "label",
});

// Compares a loss with the exact one. Returns a state for the style sheet, and a sentence.
function verdict({ loss, gradient }, exact, z) {
  const slack = state.dtype === "float16" ? 0.02 : 0.001;
  if (!z.every(Number.isFinite)) return ["broken", `A logit is too large for ${state.dtype}.`];
  if (Number.isNaN(loss)) return ["broken", "The loss is nan, the result of inf / inf."];
  if (!Number.isFinite(loss)) return ["broken", "The loss is inf, and its gradient is not finite."];
  if (!gradient.every(Number.isFinite)) return ["broken", "The loss is finite, but its gradient is not."];
  const gap = Math.max(...gradient.map((g, i) => Math.abs(g - exact.gradient[i])));
  if (gap > slack && gradient.every((g) => g === 0)) return ["stuck", "The gradient is 0, although the prediction is wrong."];
  if (gap > slack) return ["stuck", "The gradient and the loss are too small."];
  if (Math.abs(loss - exact.loss) > 10 * slack * exact.loss) return ["rough", "The gradient is correct, but the loss is not."];
  return ["right", "Correct."];
}

let announcement = 0; // timer

shows(["z", "label", "dtype", "losses"], () => {
  const exact = evaluate("stable", state.z, state.label);
  const cards = chosen(SHOWN).map((name) => {
    const result = evaluate(name, state.z, state.label);
    const [status, words] = verdict(result, exact, rounded(state.z));
    const values = result.gradient.map((g) => number(g === 0 ? 0 : -g)).join(", ");
    return element(
      "article",
      { className: `card series-${name}`, "data-loss": name, "data-state": status },
      element("h3", {}, icon(name), DATA.labels[name]),
      element("div", { className: "loss" }, number(result.loss)),
      element("p", { className: "verdict" }, words),
      gradientBars({ width: 180, name, gradient: result.gradient, description: `Minus the gradient of the logits: ${values}` }),
    );
  });
  byId("cards").replaceChildren(...cards);
  clearTimeout(announcement); // announce to screen readers only once the sliders have stopped
  announcement = setTimeout(() => {
    const results = cards.map((card) => ["h3", ".loss", ".verdict"].map((part) => card.querySelector(part).textContent).join(" "));
    byId("bench-status").textContent = results.join(" ");
  }, 800);
});

table(
  "cases",
  [`float32 logits, true class 1`, ...DATA.scales.flatMap((s) => [`loss of [${s}, 0]`, "gradient"])],
  SHOWN.map((name) => [
    DATA.labels[name],
    ...DATA.scales.flatMap((s) => {
      const [loss, gradient] = DATA.cases[s][name];
      const vanished = gradient.every((g) => Math.abs(g) < 0.1);
      const shown = `[${gradient.map((g) => number(g, 3)).join(", ")}]`;
      return [doubtful(loss), [shown, gradient.every(Number.isFinite) ? (vanished ? "zero" : "") : "bad"]];
    }),
  ]),
);

// 4. Loss and gradient against the scale

slider(byId("scale-slider"), "scale", {
  part: "scale",
  low: () => 0,
  high: reach,
  step: finely,
});

const atScale = (name, s) => evaluate(name, [s, 0], 1);

function scaleChart({ width, height, label, value, top, description }) {
  const names = chosen(SHOWN);
  const grid = range(0, 480).map((i) => (i / 480) * reach());
  const area = frame({ width, height, x: { min: 0, max: reach(), label: "scale" }, y: { min: 0, max: top, label }, description });
  const labels = [];
  for (const name of names) {
    const points = grid.map((s) => [s, value(atScale(name, s))]);
    const end = points.findIndex(([, v]) => !Number.isFinite(v));
    const finite = end < 0 ? points : points.slice(0, end);
    drawLine(area, { name, points: finite, wide: name === "naive" || name === "shifted", marks: name !== "naive" });
    if (!finite.length) continue;
    const [x, y] = finite[finite.length - 1];
    const spot = [area.X(x), area.Y(Math.min(y, top))];
    if (end >= 0) cross(area.root, name, ...spot);
    labels.push({ name, words: DATA.labels[name], x: spot[0] - (end < 0 ? 4 : 16), y: spot[1] - (end >= 0 && value === minusGradient ? -24 : 10) });
  }
  drawLabels(area, labels);
  const at = area.X(clamp(state.scale, 0, reach()));
  area.root.append(svg("line", { class: "pointer", x1: at, x2: at, y1: area.top, y2: area.bottom }));
  for (const name of names) {
    const v = value(atScale(name, state.scale));
    if (Number.isFinite(v)) area.root.append(mark(name, at, area.Y(clamp(v, 0, top)), 1.2));
  }
  return area.root;
}

const lossOf = (result) => result.loss;
const minusGradient = (result) => (result.gradient[1] === 0 ? 0 : -result.gradient[1]);

picture("losses", ["scale", "dtype", "losses"], (width) => scaleChart({
  width,
  height: 300,
  label: "loss",
  value: lossOf,
  top: reach(),
  description: "Loss against the scale of the logits, for each selected loss. The values are in the table below.",
}));

picture("gradients", ["scale", "dtype", "losses"], (width) => scaleChart({
  width,
  height: 230,
  label: "minus the gradient at the true logit",
  value: minusGradient,
  top: 1.15,
  description: "Minus the gradient at the true logit against the scale of the logits. The values are in the table below.",
}));

shows(["scale", "dtype", "losses"], () => {
  table(
    "gradient-table",
    [`at scale ${number(state.scale)}, ${state.dtype}`, "loss", "minus gradient"],
    chosen(SHOWN).map((name) => {
      const result = atScale(name, state.scale);
      const minus = minusGradient(result);
      return [DATA.labels[name], doubtful(result.loss), minus === 0 ? ["0", "zero"] : doubtful(minus)];
    }),
  );
});

// 5. Training

const RUN_OF = { float32: "unscaled", float64: "unscaled64" };

radios(byId("training-dtype"), "Trained in", ["float32", "float64"], {
  part: "run",
  read: () => Object.keys(RUN_OF).find((dtype) => RUN_OF[dtype] === state.run),
  choose: (dtype) => set({ run: RUN_OF[dtype] }),
});

function mean(values) {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

const finiteMean = (values) => mean(values.filter(Number.isFinite)); // nan if there are none
const meanCurve = (outcomes, part) => outcomes[0][part].map((_, i) => mean(outcomes.map((o) => o[part][i])));
const epochs = (curve) => curve.map((v, i) => [i + 1, v]);

picture("curves", ["run", "losses"], (width) => {
  const runs = DATA.runs[state.run].losses;
  const names = chosen(SHOWN);
  const means = Object.fromEntries(names.map((name) => [name, meanCurve(runs[name], "curve")]));
  const top = 1.05 * Math.max(1, ...SHOWN.flatMap((name) => meanCurve(runs[name], "curve")).filter(Number.isFinite));
  const undrawn = names.filter((name) => means[name].filter(Number.isFinite).length < 2); // too few points for a line
  const n = runs.stable[0].curve.length;
  const area = frame({
    width,
    height: 340 + 28 * undrawn.length,
    space: 28 * undrawn.length,
    x: { min: 1, max: n, label: "epoch" },
    y: { min: 0, max: top, label: "reported training loss" },
    description: `Mean reported loss of each epoch. ${names.map((name) => `${DATA.labels[name]}: ${outcomeInWords(runs[name])}`).join("; ")}.`,
  });
  const labels = [];
  undrawn.forEach((name, i) => {
    const y = 34 + 28 * i;
    cross(area.root, name, area.X(1) + 10, y);
    drawLabels({ ...area, top: 0, bottom: 1e4 }, [
      { name, words: `${DATA.labels[name]}: ${outcomeInWords(runs[name])}`, short: DATA.labels[name], x: area.X(1) + 28, y: y + 5, anchor: "start" },
    ]);
  });
  for (const name of names.filter((one) => !undrawn.includes(one))) {
    const outcomes = runs[name];
    const points = epochs(means[name]);
    const finite = points.filter(([, v]) => Number.isFinite(v));
    for (const o of outcomes) drawLine(area, { name, points: epochs(o.curve), faint: true });
    const words = `${DATA.labels[name]}: ${outcomeInWords(outcomes)}`;
    drawLine(area, { name, points });
    labels.push({ name, words, short: DATA.labels[name], x: area.right, y: area.Y(Math.min(finite[finite.length - 1][1], top)) - 12 });
  }
  drawLabels(area, labels);
  return area.root;
});

function outcomeInWords(outcomes) {
  const steps = outcomes.map((o) => o.first).filter((s) => s !== null);
  if (steps.length) {
    const [low, high] = [Math.min(...steps), Math.max(...steps)];
    const some = steps.length < outcomes.length ? `, ${steps.length} of ${outcomes.length} seeds` : "";
    return `not finite from step ${low === high ? low : `${low} to ${high}`}${some}`;
  }
  return `${percent(finiteMean(outcomes.map((o) => o.accuracy)))} accuracy`;
}

picture("no-gradient", ["run", "losses"], (width) => {
  const runs = DATA.runs[state.run].losses;
  const names = chosen(SHOWN).filter((name) => runs[name].every((o) => o.first === null));
  const n = runs.stable[0].curve.length;
  const area = frame({
    width,
    height: 210,
    x: { min: 1, max: n, label: "epoch" },
    y: { min: 0, max: 1, label: "misclassified rows with a gradient of 0", format: percent, at: [0, 0.5, 1] },
    description: `Fraction of the rows that are misclassified and have a gradient of 0, in the first epoch: ${names.map((name) => `${DATA.labels[name]} ${percent(mean(runs[name].map((o) => o.no_gradient[0])))}`).join(", ")}.`,
  });
  const labels = names.map((name) => {
    const points = epochs(meanCurve(runs[name], "no_gradient"));
    drawLine(area, { name, points });
    return { name, words: DATA.labels[name], x: area.right, y: area.Y(points[points.length - 1][1]) - 9 };
  });
  drawLabels(area, labels);
  return area.root;
});

shows(["run", "losses"], () => {
  const runs = DATA.runs[state.run].losses;
  table(
    "training-table",
    [`mean of ${DATA.seeds.length} seeds`, "reported loss", "true loss", "test accuracy"],
    chosen(SHOWN).map((name) => {
      const outcomes = runs[name];
      const accuracies = outcomes.map((o) => o.accuracy).filter(Number.isFinite);
      const spread = accuracies.length ? `${mean(accuracies).toFixed(3)} (${Math.min(...accuracies).toFixed(3)} to ${Math.max(...accuracies).toFixed(3)})` : ["none", "bad"];
      const last = outcomes[0].curve.length - 1;
      return [DATA.labels[name], doubtful(mean(outcomes.map((o) => o.curve[last]))), doubtful(mean(outcomes.map((o) => o.true))), spread];
    }),
  );
});

// 6. Recall of each digit

slider(byId("seed-slider"), "Seed", {
  part: "seed",
  read: () => DATA.seeds[state.seed],
  write: (seed) => set({ seed: clamp(Math.round(seed) - DATA.seeds[0], 0, DATA.seeds.length - 1) }),
  low: () => DATA.seeds[0],
  high: () => DATA.seeds[DATA.seeds.length - 1],
  step: () => 1,
});

picture("recall", ["seed"], (width) => recallBars({
  width,
  results: Object.fromEntries(["clipped", "stable"].map((name) => [name, DATA.runs.quiet.losses[name][state.seed]])),
  label: width < 480 ? "recall" : `recall, seed ${DATA.seeds[state.seed]}`,
  forgotten: DATA.forgotten,
  images: DIGITS,
}));

function accuracyStrip(chart, run) {
  picture(chart, [], (width) => {
    const rows = Object.entries(DATA.runs[run].losses).map(([name, outcomes]) => {
      const values = outcomes.map((o) => o.accuracy);
      return { name, words: DATA.labels[name], values, mean: finiteMean(values) };
    });
    const means = rows.map(({ words, mean: m }) => `${words} ${Number.isFinite(m) ? percent(m) : "none"}`);
    return dotStrip({ width, rows, label: "test accuracy, one mark per seed; the bar is the mean", description: `Mean test accuracy: ${means.join(", ")}.` });
  });
}

accuracyStrip("quiet-accuracies", "quiet");

// 7. Tiny losses

slider(byId("gap-slider"), "gap", {
  part: "gap",
  low: () => 0,
  high: () => 60,
  step: () => 0.25,
});

picture("tiny", ["gap", "dtype"], (width) => {
  const names = ["textbook", "stable"];
  const area = frame({
    width,
    height: 320,
    left: 62,
    x: { min: 0, max: 60, label: "gap" },
    y: { min: 1e-27, max: 10, kind: "log", label: "loss, logarithmic" },
    description: "Loss against the gap between the logits. The stable loss falls in a straight line; the usual loss becomes 0.",
  });
  const grid = range(0, 480).map((i) => i / 8);
  const labels = [];
  for (const name of names) {
    const points = grid.map((gap) => [gap, evaluate(name, [gap, 0], 0).loss]).filter(([, loss]) => loss > 0);
    drawLine(area, { name, points, wide: name === "textbook", marks: name === "stable" });
    const [x, y] = points[points.length - 1];
    const ends = x < 60;
    if (ends) cross(area.root, name, area.X(x), area.Y(y));
    const label = ends
      ? { words: `${DATA.labels[name]}: 0 beyond this gap`, short: DATA.labels[name], x: area.X(x) + 16, y: area.Y(y) - 8, anchor: "start" }
      : { words: DATA.labels[name], x: area.X(37), y: area.Y(1e-15), anchor: "start" };
    labels.push({ name, ...label });
  }
  drawLabels(area, labels);
  const at = area.X(clamp(state.gap, 0, 60));
  area.root.append(svg("line", { class: "pointer", x1: at, x2: at, y1: area.top, y2: area.bottom }));
  return area.root;
});

shows(["gap", "dtype"], () => {
  const parts = ["textbook", "stable"].flatMap((name) => {
    const { loss, gradient } = evaluate(name, [state.gap, 0], 0);
    const zero = (v) => number(v === 0 ? 0 : v, 8);
    return [`${DATA.labels[name]}: loss `, element("b", {}, zero(loss)), ", gradient at the label ", element("b", {}, zero(gradient[0])), element("br")];
  });
  byId("tiny-readout").replaceChildren(`[${number(state.gap)}, 0] in ${state.dtype}`, element("br"), ...parts);
});

// 8 and 9. A learning rate that is too large, and scaled inputs

accuracyStrip("steep", "steep");
accuracyStrip("scaled", "scaled");

// Controls and captions of several steps, and navigation

for (const box of document.querySelectorAll("[data-controls]")) {
  const wanted = box.dataset.controls.split(" ");
  if (wanted.includes("dtype")) {
    const part = element("div", { className: "controls", role: "radiogroup", "aria-label": "Type" });
    radios(part, "Type", DTYPES, { part: "dtype" });
    box.append(part);
  }
  if (wanted.includes("losses")) {
    const part = element("div", { className: "controls", role: "group", "aria-label": "Losses" });
    lossChoice(part);
    box.append(part);
  }
}

const seeds = DATA.seeds.length > 1 ? `seeds ${DATA.seeds[0]} to ${DATA.seeds[DATA.seeds.length - 1]}` : `seed ${DATA.seeds[0]}`;
for (const caption of document.querySelectorAll("[data-setup]")) {
  const setup = () => `Measured: ${DATA.runs[run()].setup}; ${DATA.runs[run()].dtype}; ${seeds}. The seed determines the split, the initial weights and the order of the rows.`;
  const run = () => (caption.dataset.setup === "unscaled" ? state.run : caption.dataset.setup);
  shows(["run"], () => { caption.textContent = setup(); });
}

const sections = [...document.querySelectorAll(".step")];
const pages = [...sections, byId("limits")];
sections.forEach((section, i) => {
  const title = section.querySelector("h2").textContent;
  byId("contents").append(element("li", {}, element("a", { href: `#${section.id}`, title, "aria-label": `Step ${i + 1}: ${title}` }, String(i + 1))));
});

let current = -1; // the cover

function markCurrent(index) {
  current = index;
  pages.forEach((page, i) => page.classList.toggle("current", i === index));
  [...byId("contents").querySelectorAll("a")].forEach((link, i) => {
    if (i === index) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  });
}

// Goes to a step and focuses its heading, or goes to the cover (index -1).
function go(index) {
  markCurrent(clamp(index, presenting() ? 0 : -1, pages.length - 1));
  if (current < 0) {
    scrollTo({ top: 0, behavior: "instant" });
    return;
  }
  history.replaceState(null, "", `#${pages[current].id}`);
  pages[current].querySelector("h2").focus({ preventScroll: true });
  pages[current].scrollIntoView({ behavior: "instant" });
}

function present(on) {
  document.documentElement.classList.toggle("presenting", on);
  byId("present").setAttribute("aria-pressed", String(on));
  refresh(["zoom"]);
  go(Math.max(current, 0));
}

function dark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  byId("theme").textContent = dark() ? "Light" : "Dark";
}

byId("theme").textContent = dark() ? "Light" : "Dark";
byId("theme").onclick = toggleTheme;
byId("present").onclick = () => present(!presenting());
byId("previous").onclick = () => go(current - 1);
byId("next").onclick = () => go(current + 1);

addEventListener("hashchange", () => {
  const index = pages.findIndex((page) => `#${page.id}` === location.hash);
  if (index >= 0) go(index);
});

addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (target.matches("input[type=number]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const own = target.matches("input") || target.closest(".scroll"); // these use the arrow keys
  const action = {
    ArrowRight: !own && (() => go(current + 1)),
    ArrowLeft: !own && (() => go(current - 1)),
    PageDown: presenting() && (() => go(current + 1)),
    PageUp: presenting() && (() => go(current - 1)),
    p: () => byId("present").click(),
    d: toggleTheme,
    Escape: presenting() && (() => present(false)),
  }[key.length === 1 ? key.toLowerCase() : key];
  if (action) {
    action();
    event.preventDefault();
  }
});

const watcher = new IntersectionObserver((entries) => {
  if (presenting()) return;
  const seen = entries.filter((entry) => entry.isIntersecting).map((entry) => pages.indexOf(entry.target));
  if (seen.length) markCurrent(Math.max(...seen));
}, { rootMargin: "-20% 0px -70% 0px" });
for (const page of pages) watcher.observe(page);

// Open all answers for printing.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});
addEventListener("resize", () => refresh(["zoom"]));

refresh();
// Again after loading: the layout may have moved the step, or a reload may have restored another position.
for (const start of ["DOMContentLoaded", "load"]) {
  addEventListener(start, () => location.hash && dispatchEvent(new HashChangeEvent("hashchange")));
}
