// The losses of the lesson in JavaScript: the formulas of tinyclf.teaching.naive_losses and tinyclf.functional.
//
// JavaScript numbers are float64. To compute in another type as NumPy does, the functions below round the result of
// every operation to that type. NumPy has no bfloat16: as in tinyclf.teaching.bfloat16, JAX and PyTorch, operations
// are computed in float32 and their results are rounded.

"use strict";

const toHalf = rounding(11, -14);
const toBfloat = rounding(8, -126);
const ROUND = { float16: toHalf, bfloat16: (x) => toBfloat(Math.fround(x)), float32: Math.fround, float64: (x) => x };

// Rounding to numbers with `bits` significant bits, and exponents from `low` to 1 - `low`: below 2^low their spacing is
// constant. Ties round to even, as in IEEE 754.
function rounding(bits, low) {
  const beyond = 2 ** (2 - low);
  return (x) => {
    if (!Number.isFinite(x) || x === 0) return x;
    const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), low);
    const step = 2 ** (exponent - bits + 1);
    const steps = x / step; // exact: a power of two
    let whole = Math.floor(steps);
    const rest = steps - whole;
    if (rest > 0.5 || (rest === 0.5 && whole % 2 !== 0)) whole += 1;
    const rounded = whole * step;
    return Math.abs(rounded) >= beyond ? Math.sign(x) * Infinity : rounded;
  };
}

// tinyclf computes in float64, and returns float32 for logits of fewer bits.
const resultType = (dtype) => (dtype === "float64" ? "float64" : "float32");

// The next number of a type above a positive one.
function nextAbove(x, dtype) {
  const round = ROUND[dtype];
  let step = 2 ** (Math.floor(Math.log2(x)) - 60);
  while (round(x + step) <= x) step *= 2;
  return round(x + step);
}

// The largest positive number of a type for which a condition holds, by bisection. It must hold at 0 and fail at `top`.
function lastNumber(holds, dtype, top) {
  const round = ROUND[dtype];
  let [low, high] = [0, top];
  for (;;) {
    const middle = round(low + (high - low) / 2);
    if (middle === low || middle === high) return low;
    if (holds(middle)) low = middle;
    else high = middle;
  }
}

// NumPy accumulates float16 sums in float32, JAX and PyTorch also bfloat16 sums. All others are added in their own type.
function sum(terms, dtype) {
  const round = ROUND[resultType(dtype)];
  let rest = 0;
  for (const term of terms.slice(1)) rest = round(rest + term);
  return ROUND[dtype](terms[0] + rest);
}

// Loss and gradient from probabilities: p, then q = guard(p), then log q, and the chain rule through them.
function fromProbabilities({ shifted, guard }) {
  return (z, label, dtype) => {
    const round = ROUND[dtype];
    const top = shifted ? maximum(z) : 0;
    const E = z.map((x) => round(Math.exp(round(x - top))));
    const total = sum(E, dtype);
    const p = E.map((e) => round(e / total));
    const { q, passes } = guard(p, round);
    const dp = p.map((_, i) => (i === label && passes[i] ? round(-1 / q[i]) : 0));
    const mean = sum(p.map((x, i) => round(x * dp[i])), dtype);
    return {
      loss: -round(Math.log(q[label])),
      gradient: p.map((x, i) => round(x * round(dp[i] - mean))),
    };
  };
}

function unguarded(p) {
  return { q: p, passes: p.map(() => true) };
}

function clip(eps) {
  return (p, round) => {
    const low = round(eps);
    const high = round(1 - eps);
    const q = p.map((x) => (Number.isNaN(x) ? x : Math.min(Math.max(x, low), high)));
    return { q, passes: q.map((x, i) => x === p[i]) };
  };
}

function pad(eps) {
  return (p, round) => ({ q: p.map((x) => round(x + round(eps))), passes: p.map(() => true) });
}

// The largest entry, or nan if any entry is nan, as in NumPy.
function maximum(z) {
  return z.reduce((a, b) => (Number.isNaN(a) || a > b ? a : b));
}

// The usual log-softmax: log(sum(exp(d))) - d with d = z - max z; the gradient is p - y.
function textbook(z, label, dtype) {
  const round = ROUND[dtype];
  const top = maximum(z);
  const d = z.map((x) => round(x - top));
  const E = d.map((x) => round(Math.exp(x)));
  const total = sum(E, dtype);
  const p = E.map((e) => round(e / total));
  return {
    loss: -round(d[label] - round(Math.log(total))),
    gradient: p.map((x, i) => round(x - (i === label ? 1 : 0))),
  };
}

const LIFT = 2 ** 64;

// The loss of tinyclf. With a the index of the largest logit: d_i = z_i - z_a, S = sum of exp(d_i) over i != a.
// The loss is log1p(S) - d_t. The gradient is exp(d_i) / (1 + S), minus 1 at the label; if the label is a, it is
// -S / (1 + S) there. The computation is in float64, and the results are rounded to the type that tinyclf returns.
function stable(z, label, dtype) {
  const round = ROUND[resultType(dtype)];
  const top = z.indexOf(maximum(z));
  const others = z.map((_, i) => i).filter((i) => i !== top);
  const m = top < 0 ? NaN : z[top];
  const d = z.map((x) => x - m);
  const lost = z.map((x, i) => lostIn(x, m, d[i]));
  const E = d.map((x, i) => Math.exp(x) * (1 + lost[i]));
  let S = others.reduce((total, i) => total + E[i], 0) + (m - m); // nan if the largest logit is not finite
  if (S < 1e-300) {
    S = others.reduce((total, i) => total + Math.exp(d[i] / 2) * LIFT * Math.exp(d[i] / 2) * (1 + lost[i]), 0) / LIFT;
  }
  const part = (i) => (i === top ? 1 : E[i]);
  const own = label === top ? -S : part(label) - S - 1;
  return {
    loss: round(Math.log1p(S) - d[label]),
    gradient: z.map((_, i) => round((i === label ? own : part(i)) / (1 + S))),
  };
}

// The rounding error of the difference d = x - m (Knuth's TwoSum).
function lostIn(x, m, d) {
  const b = d - x;
  const e = x - (d - b) - (b + m);
  return Number.isNaN(e) ? 0 : e;
}

function lossesWith(eps) {
  return {
    naive: fromProbabilities({ shifted: false, guard: unguarded }),
    shifted: fromProbabilities({ shifted: true, guard: unguarded }),
    clipped: fromProbabilities({ shifted: true, guard: clip(eps) }),
    padded: fromProbabilities({ shifted: true, guard: pad(eps) }),
    textbook,
    stable,
  };
}
