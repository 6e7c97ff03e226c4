// The measurements, which are in the #data element, and the state of the page: what the reader has selected.

"use strict";

document.documentElement.classList.add("js");

const NOT_FINITE = { nan: NaN, inf: Infinity, "-inf": -Infinity }; // JSON cannot represent them
const DATA = JSON.parse(document.getElementById("data").textContent, (_, v) => (typeof v === "string" && v in NOT_FINITE ? NOT_FINITE[v] : v));

const LOSSES = lossesWith(DATA.eps);
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
