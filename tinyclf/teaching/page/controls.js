// Elements, controls and charts that show a part of the state and are updated when it changes.

"use strict";

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
    const label = element("span", { className: `series-${name}` }, icon(name), name);
    box.append(element("label", { className: "choice" }, input, label));
    shows(["losses"], () => { input.checked = state.losses.has(name); });
  }
}

// A number field for a part of the state; it accepts any number.
function numberField(title, { part, read, write }) {
  const field = element("input", { type: "number", step: "any", "aria-label": `${title}, as a number` });
  const showValue = () => { field.value = Number.isInteger(read()) ? read() : Number(read().toPrecision(9)); };
  field.oninput = () => { if (!Number.isNaN(field.valueAsNumber)) write(field.valueAsNumber); };
  field.onblur = showValue;
  shows([part], () => { if (document.activeElement !== field) showValue(); });
  return field;
}

// Adds a slider and a number field for the same value. The field also accepts values beyond the slider's range.
function slider(box, title, { part, read = () => state[part], write = (v) => set({ [part]: v }), low, high, step }) {
  groups += 1;
  const id = `slider${groups}`;
  const range = element("input", { type: "range", id, oninput: () => write(range.valueAsNumber) });
  box.append(element("label", { htmlFor: id }, title), range, numberField(title, { part, read, write }));
  shows([part, "dtype"], () => {
    [range.min, range.max, range.step] = [low(), high(), step()];
    range.value = read();
  });
}

// Adds a bar from 0 whose end can be dragged, and a number field for the same value. `words` describe the value.
function barSlider(box, title, { part, also = [], read, write, high, step, words }) {
  const inset = 14;
  const near = (v) => clamp(tidied(Math.round(clamp(v, -high(), high()) / step()) * step()), -high(), high());
  const chart = element("div");
  const handle = knob(title, (right, up) => (right || up) && write(near(read() + (right || up) * step())));
  const area = element("div", { className: "bar-slider" }, chart, handle);
  let X = null;
  let across = 1;
  onDrag(area, { start: read, move: (x) => write(near(X.inverse(x * across))), undo: write });
  drawing(chart, [part, "dtype", ...also], (width) => {
    const height = 36;
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" }); // the handle has the words
    X = scale({ min: -high(), max: high() }, inset, width - inset);
    across = width;
    const end = X(clamp(read(), -high(), high()));
    root.append(svg("line", { class: "grid", x1: inset, x2: width - inset, y1: height / 2, y2: height / 2 }));
    root.append(svg("rect", { class: "logit", x: Math.min(X(0), end), width: Math.abs(end - X(0)), y: 9, height: height - 18 }));
    root.append(svg("line", { class: "axis", x1: X(0), x2: X(0), y1: 0, y2: height }));
    handle.style.left = `${(100 * end) / width}%`;
    return root;
  });
  shows([part, "dtype", ...also], () => {
    handle.setAttribute("aria-valuemin", -high());
    handle.setAttribute("aria-valuemax", high());
    handle.setAttribute("aria-valuenow", clamp(read(), -high(), high()));
    handle.setAttribute("aria-valuetext", words());
  });
  box.append(element("span", { className: "name" }, title), area, numberField(title, { part, read, write }));
}

// Removes the rounding errors of a multiple of a step.
const tidied = (v) => Number(v.toPrecision(12));

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

// Fills `box` with a chart, and redraws it when the state that it shows, or its width, changes. Returns the function
// that redraws it.
function drawing(box, names, draw) {
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
  return redraw;
}

function picture(name, names, draw) {
  return drawing(document.querySelector(`[data-chart="${name}"]`), names, draw);
}

// Calls `move` with the position of the pointer in `area`, as fractions of its width and height, from press to release.
// A vertical gesture on a touch screen scrolls the page: the browser then takes the pointer away, and `undo` gets what
// `start` returned.
function onDrag(area, { start, move, undo }) {
  let before;
  area.classList.add("draggable");
  const follow = (event) => {
    const box = area.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    area.setPointerCapture(event.pointerId);
    before = start();
    follow(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (area.hasPointerCapture(event.pointerId)) follow(event);
  });
  area.addEventListener("pointercancel", () => undo(before));
}

// The handle of a slider that others draw: `move` gets the number of steps from the keyboard in both directions; none
// for the space bar, which accepts the value as it is.
function knob(title, move) {
  const node = element("span", { className: "knob", role: "slider", tabIndex: 0, "aria-label": title });
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 10 : 1;
    const steps = {
      ArrowRight: [far, 0],
      ArrowLeft: [-far, 0],
      ArrowUp: [0, far],
      ArrowDown: [0, -far],
      Home: [-Infinity, 0],
      End: [Infinity, 0],
      " ": [0, 0],
    }[event.key];
    if (!steps) return;
    move(...steps);
    event.preventDefault();
  });
  return node;
}

const chosen = (names) => names.filter((name) => state.losses.has(name));
const reach = () => REACH[state.dtype];
const finely = () => FINE[state.dtype];
const rounded = (values) => values.map(ROUND[state.dtype]);
const evaluate = (name, z, label, dtype = state.dtype) => LOSSES[name](z.map(ROUND[dtype]), label, dtype);
const doubtful = (v) => (Number.isFinite(v) ? number(v) : [number(v), "bad"]);
