// Step 10: three networks that a worker trains while the page draws them. The page sends a request, and the worker
// answers it with the results of about a tenth of a second; the next request is sent when the answer has arrived.

"use strict";

const COMPARED = ["naive", "clipped", "stable"];
const WORKER_SCRIPTS = ["numerics.js", "trainer.js"];

function settingsOf(setting, changes = {}) {
  return { names: COMPARED, eps: DATA.eps, ...DATA.settings[setting], ...changes };
}

// The values of an address, within what a browser can train.
function between(low, high, whole = false) {
  const read = (words) => {
    const v = readNumber(words);
    return v === undefined ? v : clamp(whole ? Math.round(v) : v, low, high);
  };
  return { write: String, read };
}

// The part of the state that is set by the settings of a step.
function preset(setting) {
  const { white, rate, hidden } = settingsOf(setting);
  return { setting, white, rate, hidden };
}

const isPreset = (setting) => Object.entries(preset(setting)).every(([part, v]) => state[part] === v);

Object.assign(state, preset("unscaled"), { liveSeed: 0 });
Object.assign(SETTINGS, {
  setting: oneOf(Object.keys(DATA.settings)),
  white: between(1e-3, 1e4),
  rate: between(1e-6, 1e3),
  hidden: between(1, 1024, true),
  liveSeed: between(0, 1e6, true),
});

function liveSettings() {
  const { white, rate, hidden, liveSeed: seed } = state;
  return settingsOf(state.setting, { white, rate, hidden, seed });
}

const live = {
  worker: null,
  running: false,
  waiting: false, // for an answer of the worker
  fresh: true, // the worker does not have the settings yet
  next: null, // the next request
  problem: "",
};

function clear() {
  Object.assign(live, { fresh: true, steps: [], tests: [], total: Infinity, stepsPerEpoch: 1 });
}

function newWorker() {
  const source = WORKER_SCRIPTS.map((name) => byId(name).textContent);
  const address = URL.createObjectURL(new Blob([...source, "serve(self);"], { type: "text/javascript" }));
  const worker = new Worker(address);
  worker.onmessage = ({ data }) => receive(data);
  worker.onerror = ({ message }) => fail(message);
  return worker;
}

function fail(reason) {
  const problem = `The training stopped: ${reason || "this browser cannot run it"}. Open this page in another browser.`;
  Object.assign(live, { worker: null, waiting: false, next: null, problem });
  run(false);
  clear();
  show("live", "tests");
}

function send() {
  if (live.waiting || !live.next) return;
  const request = { ...live.next, ...(live.fresh && { digits: DIGITS, settings: liveSettings() }) };
  try {
    live.worker ??= newWorker();
  } catch (error) {
    fail(error.message);
    return;
  }
  live.worker.postMessage(request);
  Object.assign(live, { waiting: true, fresh: false, next: null, problem: "" });
}

function receive({ steps, tests, total, stepsPerEpoch }) {
  live.waiting = false;
  if (live.fresh) { // the settings changed meanwhile
    send();
    return;
  }
  live.steps.push(...steps);
  live.tests.push(...tests);
  Object.assign(live, { total, stepsPerEpoch });
  const finished = live.steps.length === total;
  if (finished) {
    run(false);
    const { accuracy } = live.tests.at(-1).clipped;
    if (isPreset("unscaled") && Number.isFinite(accuracy)) tell(byId("live-question"), percent(accuracy));
  }
  if (live.running) live.next ??= { batches: Infinity };
  if (!live.running && !live.next) announce(finished ? "Finished" : "Paused");
  send();
  show("live", ...(tests.length ? ["tests"] : []));
}

const outdated = new Set(); // what is drawn next
let busy = false; // with drawing, or with the rest after it

// Draws in the next frame. After that, twice the time of drawing belongs to the reader, so that a slow phone responds.
function show(...names) {
  for (const name of names) outdated.add(name);
  if (busy || !outdated.size) return;
  busy = true;
  requestAnimationFrame(() => {
    const start = performance.now();
    setTimeout(() => setTimeout(() => { // the first one runs when the browser has painted
      busy = false;
      show();
    }, 2 * (performance.now() - start)));
    const changed = [...outdated];
    outdated.clear();
    refresh(changed);
  });
}

function run(on) {
  live.running = on;
  runButton.textContent = on ? "Pause" : "Start";
}

function startTraining() {
  run(true);
  if (live.steps.length === live.total) clear();
  live.next = { batches: Infinity };
  send();
  show("live", "tests");
}

function pauseTraining() {
  run(false);
  live.next = { batches: 0, measures: true };
  send();
  show("live");
}

function trainOneBatch() {
  run(false);
  live.next = { batches: 1, measures: true };
  send();
}

// With new settings, or the same ones; a training that runs starts again.
function restart() {
  clear();
  live.next = live.running ? { batches: Infinity } : null;
  send();
  if (live.worker) show("live", "tests"); // else, nothing but empty charts was drawn
}

function reset() {
  run(false);
  restart();
}

// Controls

byId("live-setting").append(element("span", { className: "name" }, "As in step"));
for (const setting of Object.keys(DATA.settings)) {
  const step = byId(DATA.settings[setting].section).querySelector("h2").dataset.number;
  const button = element("button", { type: "button", "aria-label": `As in step ${step}`, onclick: () => set(preset(setting)) }, step);
  byId("live-setting").append(button);
  shows(Object.keys(preset(setting)), () => button.setAttribute("aria-pressed", isPreset(setting)));
}

// Adds a slider over a list of values. A value of the state that is not in the list is shown beside the nearest one.
function stops(box, title, part, values) {
  groups += 1;
  const id = `slider${groups}`;
  const input = element("input", { type: "range", id, min: 0, max: values.length - 1, oninput: () => set({ [part]: values[input.valueAsNumber] }) });
  const shown = element("span", { className: "readout" });
  box.append(element("label", { htmlFor: id }, title), input, shown);
  shows([part], () => {
    const distances = values.map((v) => Math.abs(v - state[part]));
    input.value = distances.indexOf(Math.min(...distances));
    input.setAttribute("aria-valuetext", state[part]);
    shown.textContent = state[part];
  });
}

stops(byId("live-sliders"), "largest pixel", "white", [1, 2, 4, 8, 16, 32, 64, 128, 255]);
stops(byId("live-sliders"), "learning rate", "rate", [0.0003, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1]);
stops(byId("live-sliders"), "hidden units", "hidden", [16, 32, 64, 128, 256]);
stops(byId("live-sliders"), "seed", "liveSeed", range(0, 9));

const runButton = element("button", { type: "button", onclick: () => (live.running ? pauseTraining() : startTraining()) }, "Start");
byId("live-buttons").append(
  runButton,
  element("button", { type: "button", onclick: trainOneBatch }, "One batch"),
  element("button", { type: "button", onclick: reset }, "Reset"),
);

const inputs = ["setting", "white", "rate", "hidden", "liveSeed"];
shows(inputs, restart);

shows(inputs, () => {
  const { white, centered, hidden, optimizer, rate, falls, batch, epochs: n } = liveSettings();
  byId("live-setup").textContent = `Computed in your browser: digits, pixels 0 to ${white}${centered ? ", centered" : ""}; 64-${hidden}-10, ReLU, He-normal; ${optimizer.name} ${rate}${falls ? " falling to 0" : ""}, batch ${batch}, ${n} epochs; float32; seed ${state.liveSeed}. The seed determines the test images, the initial weights and the order of the rows.`;
});

// Results

// "epoch 3, batch 5" after a number of steps, or "epoch 3" at its end.
function place(steps) {
  const { stepsPerEpoch } = live;
  const epoch = Math.ceil(steps / stepsPerEpoch);
  const batch = steps - (epoch - 1) * stepsPerEpoch;
  return batch === stepsPerEpoch ? `epoch ${epoch}` : `epoch ${epoch}, batch ${batch}`;
}

// Results of steps with one loss, as one: means over their rows, and the largest logit; nan if the loss is not finite.
function pooled(name, steps) {
  const reports = steps.map((step) => step[name]);
  const rows = reports.reduce((total, { n }) => total + n, 0);
  const share = (part) => reports.reduce((total, report) => total + report[part] * report.n, 0) / rows;
  const loss = share("loss");
  return { loss, largest: maximum(reports.map(({ largest }) => largest)), stuck: Number.isFinite(loss) ? share("stuck") : NaN };
}

function latest(name) {
  const from = Math.floor((live.steps.length - 1) / live.stepsPerEpoch) * live.stepsPerEpoch;
  return { ...pooled(name, live.steps.slice(from)), ...live.tests.at(-1)?.[name] };
}

function announce(what) {
  const results = COMPARED.map((name) => {
    const { loss, accuracy } = latest(name);
    return `${name}: reported loss ${number(loss, 3)}, test accuracy ${Number.isFinite(accuracy) ? percent(accuracy) : "none"}.`;
  });
  byId("live-status").textContent = `${what} after ${place(live.steps.length)}. ${results.join(" ")}`;
}

shows(["live"], () => {
  const trained = live.steps.length > 0;
  byId("live-progress").textContent = live.problem || (trained ? `After ${place(live.steps.length)} of ${liveSettings().epochs} epochs` : "Not trained yet");
  table(
    "live-table",
    [trained ? "in this epoch" : "", "reported loss", "largest logit", "wrong, gradient 0", "test accuracy"],
    COMPARED.map((name) => {
      if (!trained) return [name, "", "", "", ""];
      const { loss, largest, stuck, accuracy } = latest(name);
      const words = (v, none) => (v === undefined ? "" : Number.isFinite(v) ? percent(v) : [none, "bad"]);
      return [name, doubtful(loss), doubtful(largest), words(stuck, "nan"), words(accuracy, "none")];
    }),
  );
});

const POWERS = range(0, 9).map((e) => 10 ** e);

// The curves of one result of the steps, of which up to 120 are drawn: each is pooled from several steps.
function liveCurves(part) {
  return (name) => {
    const every = Math.ceil(Math.min(live.total, 1e4) / 120);
    return range(0, live.steps.length - 1, every).map((start) => {
      const steps = live.steps.slice(start, start + every);
      return [(start + steps.length) / live.stepsPerEpoch, pooled(name, steps)[part]];
    });
  };
}

const shorter = (words, short, width) => (widthOf(words, 14) < width ? words : short);

function liveChart(chart, { part = "live", y, points, limit }) {
  picture(chart, [part], (width) => {
    const curves = Object.fromEntries(COMPARED.map((name) => [name, points(name)]));
    const values = Object.values(curves).flat().map(([, v]) => v).filter(Number.isFinite);
    const max = y.max ?? Math.max(100, 10 ** Math.ceil(Math.log10(maximum([1, ...values]))));
    const ends = COMPARED.map((name) => `${name} ${number(curves[name].at(-1)?.[1] ?? NaN, 3)}`);
    const area = frame({
      width,
      height: 210,
      left: Math.max(52, 18 + Math.max(...POWERS.filter((v) => v <= max).map((v) => widthOf(tidy(v), 14)))),
      right: width < 280 ? 16 : 84, // space for the labels
      x: { min: 0, max: liveSettings().epochs, label: "epoch" },
      y: { min: 0, at: [0, ...POWERS], ...y, max, label: shorter(y.label, y.short, width) },
      description: `${y.label} during the training. ${live.steps.length ? `Now: ${ends.join(", ")}.` : "Not trained yet."}`,
    });
    if (limit) {
      const [at, words] = limit;
      area.root.append(svg("line", { class: "axis", x1: area.left, x2: area.right, y1: area.Y(at), y2: area.Y(at) }));
      const shown = shorter(words, "exp overflows", area.right - area.left);
      area.root.append(text(area.right, area.Y(at) - 5, shown, { class: "tick", "text-anchor": "end" }));
    }
    const labels = [];
    for (const name of COMPARED) {
      const finite = curves[name].filter(([, v]) => Number.isFinite(v));
      const broken = finite.length < curves[name].length;
      if (finite.length) drawLine(area, { name, points: finite, wide: name === "naive", marks: false });
      if (!curves[name].length) continue;
      const [x, v] = finite.at(-1) ?? [0, y.max ? max / 2 : max];
      const [right, up] = [area.X(x) + (broken && !finite.length ? 10 : 0), area.Y(clamp(v, 0, max))];
      if (broken) cross(area.root, name, right, up);
      else area.root.append(mark(name, right, up));
      // Beside the end of the line, and above it where that is not possible.
      const beside = right + 14 + widthOf(name) < width;
      labels.push(beside ? { name, words: name, x: right + 14, y: up + 5, anchor: "start" } : { name, words: name, x: right, y: up - 9 });
    }
    drawLabels(area, labels);
    return area.root;
  });
}

liveChart("live-loss", { y: { label: "reported loss", kind: "symlog" }, points: liveCurves("loss") });
liveChart("live-logit", {
  y: { label: "largest logit", min: 1, kind: "log" },
  points: liveCurves("largest"),
  limit: [DATA.thresholds.float32.exp, "exp overflows above this line"],
});
liveChart("live-no-gradient", {
  y: { label: "misclassified rows with a gradient of 0", short: "wrong, gradient 0", max: 1, at: [0, 0.5, 1], format: percent },
  points: liveCurves("stuck"),
});
liveChart("live-accuracy", {
  part: "tests",
  y: { label: "test accuracy", max: 1, at: [0, 0.5, 1], format: percent },
  points: (name) => live.tests.map((test) => [test.step / live.stepsPerEpoch, test[name].accuracy]),
});

picture("live-recall", ["tests"], (width) => recallBars({
  width,
  results: Object.fromEntries(COMPARED.map((name) => [name, live.tests.at(-1)?.[name]])),
  label: "recall",
  forgotten: DATA.forgotten,
}));

clear();
refresh([...inputs, "live", "tests"]);
