// Steps 1 to 9: their controls, and the charts and tables that these update.

"use strict";

// 1. Vectors

radios(byId("vector-choice"), "Vector", Object.keys(DATA.vectors), {
  words: (name) => typeset(`[${DATA.vectors[name].x.join(", ")}]`),
  part: "vector",
});

picture("vector", ["vector"], (width) => {
  const { x } = DATA.vectors[state.vector];
  const { exp, vanish } = DATA.thresholds.float64;
  const height = 150;
  const root = canvas(width, height, typeset(`The entries ${x.join(", ")} on a number line; exp is inf above ${exp.toFixed(1)} and 0 below ${(-vanish).toFixed(1)}.`));
  const X = scale({ min: -3000, max: 3000, kind: "symlog" }, 8, width - 8);
  const line = 92;
  root.append(svg("rect", { class: "zone series-naive", x: X(exp), width: width - 8 - X(exp), y: 34, height: 76, fill: "var(--naive)" }));
  root.append(svg("rect", { class: "zone", x: 8, width: X(-vanish) - 8, y: 34, height: 76, fill: "var(--soft)" }));
  root.append(text(width - 8, 26, width < 480 ? "inf" : "exp is inf", { class: "label series-naive", "text-anchor": "end" }));
  root.append(text(8, 26, width < 480 ? "0" : "exp is 0", { class: "label" }));
  root.append(text(width / 2, 26, "exp is finite", { class: "title", "text-anchor": "middle" }));
  root.append(svg("line", { class: "axis", x1: 8, x2: width - 8, y1: line, y2: line }));
  for (const v of width < 480 ? [-1000, 0, 1000] : [-1000, -100, -10, 0, 10, 100, 1000]) {
    root.append(text(X(v), line + 38, number(v), { class: "tick", "text-anchor": "middle" }));
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
    v.x.map((x, i) => [number(x), ...["exp", "naive_softmax", "softmax", "log_of_softmax", "log_softmax"].map((part) => doubtful(v[part][i]))]),
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
    height: 320,
    left: 84,
    right: 20,
    x: { min: 3, max: 1200, kind: "log", label: "x, logarithmic", at: width < 480 ? [10, 100, 1000] : [5, 10, 20, 50, 100, 200, 500, 1000] },
    y: { min: 0, max: 4, label: "", at: [] },
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
  barSlider(byId("logit-bars"), `z${i}`, {
    part: "z",
    also: ["label"],
    read: () => state.z[i],
    write: (v) => set({ z: state.z.map((old, j) => (j === i ? v : old)) }),
    high: reach,
    step: finely,
    words: () => `${number(state.z[i], 9)}${i === state.label ? ", the true class" : ""}`,
  });
});

byId("presets").append(element("span", { className: "name" }, "Examples"));
for (const preset of [[2, 1, 0], ...DATA.scales.map((s) => [s, 0, 0])]) {
  byId("presets").append(element("button", { type: "button", onclick: () => set({ z: preset, label: 1 }) }, `[${preset.join(", ")}]`));
}

// What happens to the logits [x, 0, 0] where the second class is true, and the condition that holds below that x.
const CLIFFS = [
  ["exp overflows", (x) => Number.isFinite(evaluate("naive", x, 1).loss)],
  ["p is clipped", (x) => evaluate("clipped", x, 1).loss === evaluate("shifted", x, 1).loss],
  ["p underflows", (x) => Number.isFinite(evaluate("shifted", x, 1).loss)],
];

// The last number at which a condition holds and the first at which it does not; with two decimals where these suffice.
function bothSides(holds) {
  const last = lastNumber(holds, state.dtype, 4096);
  const hundredths = Math.floor(100 * last);
  const [below, above] = [hundredths / 100, (hundredths + 1) / 100];
  const coarse = holds(above);
  return coarse ? [last, nextAbove(last, state.dtype)] : [below, above];
}

for (const [title, holds] of CLIFFS) {
  const buttons = [0, 1].map((i) => element("button", {
    type: "button",
    onclick: () => set({ z: [bothSides((x) => holds([x, 0, 0]))[i], 0, 0], label: 1 }),
  }));
  byId("cliffs").append(element("span", { className: "pair" }, element("span", { className: "name" }, title), ...buttons));
  shows(["dtype"], () => bothSides((x) => holds([x, 0, 0])).forEach((x, i) => {
    buttons[i].textContent = x;
    buttons[i].setAttribute("aria-label", `${x}, just ${i ? "above" : "below"} the threshold: ${title}`);
  }));
}

radios(byId("true-class"), "True class", [0, 1, 2], {
  words: (i) => `z${i}`,
  part: "label",
});

// Compares a loss with the exact one. Returns a state for the style sheet, and a sentence.
function verdict({ loss, gradient }, exact, z) {
  const slack = { float16: 0.02, bfloat16: 0.05 }[state.dtype] ?? 0.001;
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
      element("h3", {}, icon(name), name),
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
  ["float32; the second class is true", ...DATA.scales.flatMap((s) => [`loss of [${s}, 0]`, "gradient"])],
  SHOWN.map((name) => [
    name,
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
    labels.push({ name, words: name, x: spot[0] - (end < 0 ? 4 : 16), y: spot[1] - (end >= 0 && value === minusGradient ? -24 : 10) });
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
      return [name, doubtful(result.loss), minus === 0 ? ["0", "zero"] : doubtful(minus)];
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
    description: `Mean reported loss of each epoch. ${names.map((name) => `${name}: ${outcomeInWords(runs[name])}`).join("; ")}.`,
  });
  const labels = [];
  undrawn.forEach((name, i) => {
    const y = 34 + 28 * i;
    cross(area.root, name, area.X(1) + 10, y);
    drawLabels({ ...area, top: 0, bottom: 1e4 }, [
      { name, words: `${name}: ${outcomeInWords(runs[name])}`, short: name, x: area.X(1) + 28, y: y + 5, anchor: "start" },
    ]);
  });
  for (const name of names.filter((one) => !undrawn.includes(one))) {
    const outcomes = runs[name];
    const points = epochs(means[name]);
    const finite = points.filter(([, v]) => Number.isFinite(v));
    for (const o of outcomes) drawLine(area, { name, points: epochs(o.curve), faint: true });
    const words = `${name}: ${outcomeInWords(outcomes)}`;
    drawLine(area, { name, points });
    labels.push({ name, words, short: name, x: area.right, y: area.Y(Math.min(finite[finite.length - 1][1], top)) - 12 });
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
    description: `Fraction of the rows that are misclassified and have a gradient of 0, in the first epoch: ${names.map((name) => `${name} ${percent(mean(runs[name].map((o) => o.no_gradient[0])))}`).join(", ")}.`,
  });
  const labels = names.map((name) => {
    const points = epochs(meanCurve(runs[name], "no_gradient"));
    drawLine(area, { name, points });
    return { name, words: name, x: area.right, y: area.Y(points[points.length - 1][1]) - 9 };
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
      const spread = accuracies.length ? `${percent(mean(accuracies), 1)} (${percent(Math.min(...accuracies), 1)} to ${percent(Math.max(...accuracies), 1)})` : ["none", "bad"];
      const last = outcomes[0].curve.length - 1;
      return [name, doubtful(mean(outcomes.map((o) => o.curve[last]))), doubtful(mean(outcomes.map((o) => o.true))), spread];
    }),
  );
});

// 6. Recall of each digit

slider(byId("seed-slider"), "Seed", {
  part: "seed",
  write: (seed) => set({ seed: clamp(Math.round(seed), DATA.seeds[0], DATA.seeds[DATA.seeds.length - 1]) }),
  low: () => DATA.seeds[0],
  high: () => DATA.seeds[DATA.seeds.length - 1],
  step: () => 1,
});

picture("recall", ["seed"], (width) => recallBars({
  width,
  results: Object.fromEntries(["clipped", "stable"].map((name) => [name, DATA.runs.quiet.losses[name][DATA.seeds.indexOf(state.seed)]])),
  label: width < 480 ? "recall" : `recall, seed ${state.seed}`,
  forgotten: DATA.forgotten,
}));

function accuracyStrip(chart, run) {
  picture(chart, [], (width) => {
    const rows = Object.entries(DATA.runs[run].losses).map(([name, outcomes]) => {
      const values = outcomes.map((o) => o.accuracy);
      return { name, values, mean: finiteMean(values) };
    });
    const means = rows.map(({ name, mean: m }) => `${name} ${Number.isFinite(m) ? percent(m) : "none"}`);
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
    description: "Loss against the gap between the logits. The stable loss falls in a straight line; the textbook loss becomes 0.",
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
      ? { words: `${name}: 0 beyond this gap`, short: name, x: area.X(x) + 16, y: area.Y(y) - 8, anchor: "start" }
      : { words: name, x: area.X(37), y: area.Y(1e-15), anchor: "start" };
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
    return [`${name}: loss `, element("b", {}, zero(loss)), ", gradient at the true logit ", element("b", {}, zero(gradient[0])), element("br")];
  });
  byId("tiny-readout").replaceChildren(`[${number(state.gap)}, 0] in ${state.dtype}`, element("br"), ...parts);
});

// 8 and 9. A learning rate that is too large, and scaled inputs

accuracyStrip("steep", "steep");
accuracyStrip("scaled", "scaled");

// Controls and captions of several steps

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
