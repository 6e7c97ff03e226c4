// The measurements, which are in the #data element, and the state of the page: what the reader has selected.

"use strict";

document.documentElement.classList.add("js");

const NOT_FINITE = { nan: NaN, inf: Infinity, "-inf": -Infinity }; // JSON cannot represent them
const DATA = JSON.parse(document.getElementById("data").textContent, (_, v) => (typeof v === "string" && v in NOT_FINITE ? NOT_FINITE[v] : v));

const LOSSES = lossesWith(DATA.eps);
const DIGITS = unpack(DATA.digits);
const imageOf = (i) => DIGITS.pixels.subarray(N_PIXELS * i, N_PIXELS * (i + 1));
const SHOWN = ["naive", "shifted", "clipped", "padded", "stable"];
const DTYPES = Object.keys(ROUND);
const REACH = { float16: 24, bfloat16: 120, float32: 120, float64: 800 }; // range of the sliders
const FINE = { float16: 0.1, bfloat16: 0.5, float32: 0.5, float64: 2 }; // and their steps

const state = {
  dtype: "float32",
  losses: new Set(["naive", "clipped", "stable"]),
  vector: "extreme",
  x: 60,
  z: [DATA.scales[0], 0, 0],
  label: 1,
  scale: DATA.scales[0],
  gap: DATA.gap,
  run: "unscaled",
  seed: DATA.opening.seed,
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

// The settings as text, in the address of the page. `read` returns undefined for a text that is not a setting.

function oneOf(values) {
  return { write: String, read: (words) => values.find((value) => String(value) === words) };
}

function readNumber(words) {
  return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(words) && Number.isFinite(Number(words)) ? Number(words) : undefined;
}

const anyNumber = { write: String, read: readNumber };

const SETTINGS = {
  dtype: oneOf(DTYPES),
  losses: {
    write: (losses) => SHOWN.filter((name) => losses.has(name)).join(",") || "none",
    read: (words) => {
      const names = words === "none" ? [] : words.split(",");
      return names.every((name) => SHOWN.includes(name)) ? new Set(names) : undefined;
    },
  },
  vector: oneOf(Object.keys(DATA.vectors)),
  x: anyNumber,
  z: {
    write: String,
    read: (words) => {
      const z = words.split(",").map(readNumber);
      return z.length === state.z.length && !z.includes(undefined) ? z : undefined;
    },
  },
  label: oneOf([0, 1, 2]),
  scale: anyNumber,
  gap: anyNumber,
  run: oneOf(["unscaled", "unscaled64"]),
  seed: oneOf(DATA.seeds),
};
