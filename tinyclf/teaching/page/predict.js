// Predict first: the reader answers a question before the page shows the result. Declared in HTML:
//
//   <div class="predict" data-predict="number" data-truth="88.72" data-min="5" data-max="1000" data-scale="log"
//     data-label="x"> <p>Above which x does exp overflow in float32?</p> </div>
//   ... what follows in the same parent is hidden until the reader has answered ...
//
// The content of the element is the question: paragraphs, formulas, code. The answer is shown as "You said 50; measured:
// 88.72.", on the same axis or chart. It is neither graded nor stored. Attributes:
//
//   data-predict    kind of the question: number, curve or choice
//   data-truth      the result, filled in by page.py; if it is known only later, call tell(element, truth)
//   data-found      the word before the result; default "measured"
//   data-series     the loss whose color, mark and dash the result has
//
// number: an axis with a handle, and a field. data-truth is a number, and is displayed as it is written.
//   data-min, data-max, data-label    the axis and its name; data-scale="log" for a logarithmic one
//   data-step                         distance of the answers on a linear axis; default: a hundredth of it
//   data-unit                         written after the reader's number, such as "%"; data-truth has its own
//
// curve: a chart in which the reader draws. data-truth is JSON, [[x, y], ...]. The axes as above, and
//   data-y-min, data-y-max, data-y-label
//   data-at         values of x, separated by spaces, at which the two curves are compared in words
//
// choice: the answers are in the element, data-truth is the value of one of them:
//   <ul><li data-value="inf">inf</li> <li data-value="nan">nan</li></ul>
//
// Without scripts, everything is shown.

"use strict";

const questions = new Map(); // from elements to functions that update them
let answersShown = false; // for all questions, by the key R

const QUESTIONS = { number: numberQuestion, curve: curveQuestion, choice: choiceQuestion };

function predict(box) {
  const { found = "measured" } = box.dataset;
  let answered = false;
  const button = element("button", { type: "submit", className: "reveal", disabled: true }, box.dataset.truth === undefined ? "Continue" : "Show the answer");
  const outcome = element("p", { className: "outcome", tabIndex: -1 });
  const question = QUESTIONS[box.dataset.predict](box, (given = true) => { button.disabled = !given; });
  const update = () => {
    const shown = answered || answersShown;
    const { truth } = box.dataset;
    box.dataset.state = shown ? "shown" : "asked";
    button.hidden = shown;
    outcome.hidden = !shown;
    question.update(shown);
    const words = truth === undefined ? [] : question.compare(truth, found);
    outcome.textContent = shown ? sentence([question.answer(), ...words].filter(Boolean).join("; ")) : "";
  };
  const form = element("form", {
    onsubmit: (event) => {
      event.preventDefault();
      answered = true;
      update();
      outcome.focus();
    },
  });
  form.append(question.node, button, outcome);
  box.append(form);
  questions.set(box, update);
  update();
}

function sentence(words) {
  return words && `${words[0].toUpperCase()}${words.slice(1)}.`;
}

// Adds a result that was not known when the page was made.
function tell(box, truth) {
  box.dataset.truth = typeof truth === "string" ? truth : JSON.stringify(truth);
  questions.get(box)();
}

function axisOf({ min, max, scale: kind = "linear", label = "" }) {
  return { min: Number(min), max: Number(max), kind, label };
}

// The series of the result in a chart: that of a loss, or a neutral one.
const seriesOf = (box) => box.dataset.series ?? "truth";

// A number on an axis

function numberQuestion(box, answer) {
  const { unit = "" } = box.dataset;
  const inWords = (v) => typeset(String(v)) + unit;
  const axis = axisOf(box.dataset);
  const fine = Number(box.dataset.step ?? (axis.max - axis.min) / 100);
  const near = (v) => clamp(axis.kind === "log" ? Number(v.toPrecision(2)) : tidied(Math.round(v / fine) * fine), axis.min, axis.max);
  const middle = near(scale(axis, 0, 1).inverse(0.5));
  let value = null;
  let [X, across] = [scale(axis, 0, 1), 1]; // of the drawn chart

  const chart = element("div");
  const handle = knob("Your answer", (steps, up) => {
    const by = steps || up;
    const from = value ?? middle;
    choose(near(axis.kind === "log" ? clamp(from * 1.1 ** by, axis.min, axis.max) : clamp(from + by * fine, axis.min, axis.max)));
  });
  const area = element("div", { className: "axis" }, chart, handle);
  const field = element("input", { type: "number", step: "any", "aria-label": "Your answer, as a number" });
  const entry = element("div", { className: "entry" }, field, unit);
  field.oninput = () => choose(Number.isNaN(field.valueAsNumber) ? null : field.valueAsNumber, true);
  onDrag(area, {
    start: () => value,
    move: (x) => !handle.hidden && choose(near(clamp(X.inverse(x * across), axis.min, axis.max))),
    undo: (before) => !handle.hidden && choose(before),
  });

  function choose(v, typed = false) {
    value = v;
    if (!typed) field.value = v;
    answer(value !== null);
    place();
  }

  function place() {
    const shown = clamp(value ?? middle, axis.min, axis.max);
    handle.style.left = `${(100 * X(shown)) / across}%`;
    handle.classList.toggle("unset", value === null);
    handle.setAttribute("aria-valuemin", axis.min);
    handle.setAttribute("aria-valuemax", axis.max);
    handle.setAttribute("aria-valuenow", shown);
    handle.setAttribute("aria-valuetext", value === null ? "no answer yet" : `${axis.label} ${inWords(value)}`.trim());
  }

  const redraw = drawing(chart, [], (width) => {
    const shown = box.dataset.state === "shown";
    const { truth } = box.dataset;
    const line = shown ? 62 : 34;
    const root = canvas(width, line + 50, `An axis from ${axis.min} to ${axis.max}${unit}.`);
    X = scale(axis, 22, width - 22);
    across = width;
    root.append(svg("line", { class: "axis", x1: 22, x2: width - 22, y1: line, y2: line }));
    for (const v of ticks(axis, width < 480 ? 4 : 8)) {
      root.append(svg("line", { class: "axis", x1: X(v), x2: X(v), y1: line, y2: line + 6 }));
      root.append(text(X(v), line + 24, tidy(v) + unit, { class: "tick", "text-anchor": "middle" }));
    }
    root.append(text(width / 2, line + 44, axis.label, { class: "title", "text-anchor": "middle" }));
    const point = (name, v, words, y) => {
      const at = X(clamp(v, axis.min, axis.max));
      const long = widthOf(words);
      root.append(svg("line", { class: `stem series-${name}`, x1: at, x2: at, y1: y + 5, y2: line }));
      root.append(MARKS[name] ? mark(name, at, line) : svg("path", { class: `mark series-${name}`, d: "M0-7L7 0L0 7L-7 0Z", transform: `translate(${at} ${line})` }));
      root.append(text(clamp(at, long / 2 + 2, width - long / 2 - 2), y, words, { class: `label series-${name}`, "text-anchor": "middle" }));
    };
    if (shown && truth !== undefined) point(seriesOf(box), parseFloat(truth), truth, 18);
    if (shown && value !== null) point("yours", value, `you: ${inWords(value)}`, 42);
    place();
    return root;
  });
  place();

  return {
    node: element("div", { className: "question" }, area, entry),
    answer: () => (value === null ? "" : `you said ${inWords(value)}`),
    compare: (truth, found) => [`${found}: ${truth}`],
    update: (shown) => {
      handle.hidden = shown;
      entry.hidden = shown;
      redraw();
    },
  };
}

// A curve

const COLUMNS = 48;

function curveQuestion(box, answer) {
  const data = box.dataset;
  const x = axisOf(data);
  const y = axisOf({ min: data.yMin, max: data.yMax, label: data.yLabel });
  const at = (data.at ?? `${x.min} ${x.max}`).split(" ").map(Number);
  const xOf = (column) => scale(x, 0, COLUMNS).inverse(column);
  const fine = (y.max - y.min) / 50;
  const middle = (y.min + y.max) / 2;
  let drawn = new Map(); // from columns to values
  let [column, height] = [0, middle]; // of the handle
  let area = null; // the chart
  let last = null; // the previous position of the pointer

  const line = () => [...drawn].sort(([a], [b]) => a - b).map(([i, v]) => [xOf(i), v]);

  const handle = knob("Your curve", (right, up) => {
    if (right) {
      column = clamp(column + right, 0, COLUMNS);
      height = drawn.get(column) ?? interpolate(line(), xOf(column)) ?? height;
    } else {
      height = tidied(clamp(Math.round((height + up * fine) / fine) * fine, y.min, y.max));
      drawn.set(column, height);
    }
    changed();
  });
  const chart = element("div");
  const plot = element("div", { className: "axis" }, chart, handle);
  const hint = element("p", { className: "hint" }, "Draw from left to right. With the keyboard: left and right move the point, up and down set its height, space keeps it.");
  onDrag(plot, {
    start: () => {
      last = null;
      return new Map(drawn);
    },
    move: (right, down) => {
      if (handle.hidden || !area) return;
      const share = (right * area.width - area.left) / (area.right - area.left);
      const now = [clamp(Math.round(share * COLUMNS), 0, COLUMNS), clamp(area.Y.inverse(down * area.height), y.min, y.max)];
      const [from, low] = last ?? now;
      const [to, high] = now;
      const n = Math.abs(to - from);
      for (let i = 0; i <= n; i += 1) drawn.set(from + Math.sign(to - from) * i, n ? low + ((high - low) * i) / n : high);
      [column, height] = now;
      last = now;
      changed();
    },
    undo: (before) => {
      drawn = before;
      changed();
    },
  });

  function changed() {
    answer(drawn.size > 1);
    redraw();
  }

  function place() {
    handle.style.left = `${(100 * area.X(xOf(column))) / area.width}%`;
    handle.style.top = `${(100 * area.Y(height)) / area.height}%`;
    handle.classList.toggle("unset", !drawn.has(column));
    handle.setAttribute("aria-orientation", "vertical");
    handle.setAttribute("aria-valuemin", y.min);
    handle.setAttribute("aria-valuemax", y.max);
    handle.setAttribute("aria-valuenow", height);
    handle.setAttribute("aria-valuetext", `${x.label} ${number(xOf(column), 3)}: ${drawn.has(column) ? number(height, 3) : "nothing drawn"}`);
  }

  const redraw = drawing(chart, [], (width) => {
    const shown = data.state === "shown";
    const tall = 250;
    area = frame({ width, height: tall, x, y, description: `${y.label} against ${x.label}${drawn.size > 1 ? ", with your curve" : ""}.` });
    area.height = tall;
    const labels = [];
    const add = (name, points, words) => {
      const finite = points.filter(([, v]) => Number.isFinite(v));
      if (!finite.length) return;
      drawLine(area, { name, points, marks: name in MARKS });
      const [endX, endY] = finite[finite.length - 1];
      labels.push({ name, words, x: area.X(endX), y: area.Y(clamp(endY, y.min, y.max)) - 10 });
    };
    if (shown && data.truth !== undefined) add(seriesOf(box), JSON.parse(data.truth), data.found ?? "measured");
    add("yours", line(), "you");
    drawLabels(area, labels);
    place();
    return area.root;
  });

  return {
    node: element("div", { className: "question" }, plot, hint),
    answer: () => (drawn.size > 1 ? `you drew ${values(line(), at, x.label)}` : ""),
    compare: (truth, found) => [`${found}: ${values(JSON.parse(truth), at, x.label)}`],
    update: (shown) => {
      handle.hidden = shown;
      hint.hidden = shown;
      redraw();
    },
  };
}

// The value of a line at x, or undefined beyond its ends.
function interpolate(points, x) {
  const i = points.findIndex(([a]) => a >= x);
  if (i < 0) return undefined;
  const [b, high] = points[i];
  if (b === x) return high;
  if (i === 0) return undefined;
  const [a, low] = points[i - 1];
  return low + ((high - low) * (x - a)) / (b - a);
}

function values(points, at, label) {
  return at.map((x) => {
    const v = interpolate(points, x);
    return `${v === undefined ? "nothing" : number(v, 2)} at ${label} ${x}`;
  }).join(", ");
}

// A choice

function choiceQuestion(box, answer) {
  const list = box.querySelector("ul");
  const options = [...list.querySelectorAll("li")].map((item) => ({
    value: item.dataset.value,
    words: item.textContent.trim().replace(/\s+/g, " "),
    content: [...item.childNodes],
  }));
  let mine = null;
  groups += 1;
  const legend = element("legend", { className: "quiet" }, "Your answer");
  const fieldset = element("fieldset", { className: "question" }, legend);
  for (const option of options) {
    option.input = element("input", { type: "radio", name: `group${groups}`, onchange: () => { mine = option; answer(); } });
    option.note = element("span", { className: "note" });
    option.label = element("label", { className: "option" }, option.input, element("span", {}, ...option.content), option.note);
    fieldset.append(option.label);
  }
  list.replaceWith(fieldset);
  const told = (truth) => options.find(({ value }) => value === truth);
  return {
    node: fieldset,
    answer: () => (mine ? `you said: ${mine.words}` : ""),
    compare: (truth, found) => [`${found}: ${told(truth).words}`],
    update: (shown) => {
      for (const option of options) {
        option.input.disabled = shown;
        const notes = shown ? [option === mine && "your answer", option === told(box.dataset.truth) && (box.dataset.found ?? "measured")] : [];
        option.note.textContent = notes.filter(Boolean).join(", ");
        option.label.classList.toggle("true", shown && option === told(box.dataset.truth));
      }
    },
  };
}

// The teacher's key: shows all answers and opens all asides; again, closes what it opened.

let opened = [];

function showAnswers(on) {
  answersShown = on;
  if (on) opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = on;
  for (const update of questions.values()) update();
  for (const button of document.querySelectorAll(".answers")) button.setAttribute("aria-pressed", String(on));
}

for (const box of document.querySelectorAll(".predict")) predict(box);
