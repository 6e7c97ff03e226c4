// The network of the lesson and its training in float32, as tinyclf trains it. A worker runs this file and numerics.js.
//
// Math.fround rounds the result of every operation to float32; storing a number in a Float32Array does the same.
// Letters as in tinyclf.nn: n are the rows of a batch x; h are the hidden units and z the logits; dz is the gradient of
// the loss with respect to z, and g that with respect to theta, the parameters.

"use strict";

const N_PIXELS = 64;
const N_CLASSES = 10;
const WHITEST = 16; // of the packed pixels

// Random numbers in [0, 1) with 32 bits from a seed: the generator mulberry32 of T. Ettinger.
function generator(seed) {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Shuffles in place (Fisher and Yates).
function shuffle(items, random) {
  for (let i = items.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
}

// A standard normal number (Box and Muller).
function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// W1 (64, hidden), W2 (hidden, 10), b1 and b2: views of one vector, in tinyclf's order.
function parts(theta, hidden) {
  let start = 0;
  return [N_PIXELS * hidden, hidden * N_CLASSES, hidden, N_CLASSES].map((size) => theta.subarray(start, (start += size)));
}

// He-normal weights, with variance 2 / n_in, and biases of 0.
function initialParameters(hidden, random) {
  const theta = new Float32Array((N_PIXELS + 1 + N_CLASSES) * hidden + N_CLASSES);
  const [W1, W2] = parts(theta, hidden);
  W1.forEach((_, i) => { W1[i] = Math.sqrt(2 / N_PIXELS) * normal(random); });
  W2.forEach((_, i) => { W2[i] = Math.sqrt(2 / hidden) * normal(random); });
  return theta;
}

// The packed images: "b" to "q" are pixels from 1 to 16, "A" to "Z" are 1 to 26 pixels of 0. The labels are digits.
function unpack({ pixels, labels }) {
  const letters = pixels.replace(/[A-Z]/g, (letter) => "a".repeat(letter.charCodeAt(0) - 64));
  return { pixels: Uint8Array.from(letters, (letter) => letter.charCodeAt(0) - 97), labels: Uint8Array.from(labels, Number) };
}

// A random quarter of the images is the test set. Pixels are scaled to 0 to `white`; `centered` subtracts the mean
// training image.
function split({ pixels, labels }, { white, centered }, random) {
  const all = Array.from(labels, (_, i) => i);
  shuffle(all, random);
  const n = Math.ceil(all.length / 4);
  const [test, train] = [all.slice(0, n), all.slice(n)];
  const pixel = (image, k) => pixels[image * N_PIXELS + k] * (white / WHITEST);
  const middle = Array.from({ length: N_PIXELS }, (_, k) => (centered ? train.reduce((sum, i) => sum + pixel(i, k), 0) / train.length : 0));
  const rows = (images) => ({
    images,
    X: Float32Array.from({ length: images.length * N_PIXELS }, (_, i) => pixel(images[Math.floor(i / N_PIXELS)], i % N_PIXELS) - middle[i % N_PIXELS]),
    y: Uint8Array.from(images, (image) => labels[image]),
  });
  return { train: rows(train), test: rows(test) };
}

// out (n, p) = a (n, m) @ b (m, p), where a[i, k] is a[i * ai + k * ak], and b likewise, so that a transposed matrix
// need not be copied. Four products are added in one pass over a row of `out`.
function product(out, n, m, p, a, ai, ak, b, bk, bj) {
  const { fround } = Math;
  out.fill(0, 0, n * p);
  for (let i = 0; i < n; i += 1) {
    const row = i * p;
    let k = 0;
    for (; k + 3 < m; k += 4) {
      const at = i * ai + k * ak;
      const [a0, a1, a2, a3] = [a[at], a[at + ak], a[at + 2 * ak], a[at + 3 * ak]];
      let [b0, b1, b2, b3] = [k * bk, (k + 1) * bk, (k + 2) * bk, (k + 3) * bk];
      for (let j = row; j < row + p; j += 1) {
        const two = fround(fround(out[j] + fround(a0 * b[b0])) + fround(a1 * b[b1]));
        out[j] = fround(fround(two + fround(a2 * b[b2])) + fround(a3 * b[b3]));
        b0 += bj;
        b1 += bj;
        b2 += bj;
        b3 += bj;
      }
    }
    for (; k < m; k += 1) {
      const a0 = a[i * ai + k * ak];
      for (let j = 0; j < p; j += 1) out[row + j] += fround(a0 * b[k * bk + j * bj]);
    }
  }
}

// Adds the vector b to each row of y.
function addBias(y, b, n) {
  for (let i = 0; i < n * b.length; i += 1) y[i] += b[i % b.length];
}

function sumOfRows(out, y, n) {
  out.fill(0);
  for (let i = 0; i < n * out.length; i += 1) out[i % out.length] += y[i];
}

// A network 64-hidden-10 with ReLU, and buffers for batches of up to `rows` rows.
class Network {
  constructor(theta, hidden, rows) {
    Object.assign(this, { theta, hidden, rows, g: new Float32Array(theta.length) });
    for (const name of ["h", "dh"]) this[name] = new Float32Array(rows * hidden);
    for (const name of ["z", "dz"]) this[name] = new Float32Array(rows * N_CLASSES);
  }

  // Computes the logits z of the n rows of x.
  forward(x, n) {
    const { hidden, h, z } = this;
    const [W1, W2, b1, b2] = parts(this.theta, hidden);
    product(h, n, N_PIXELS, hidden, x, N_PIXELS, 1, W1, hidden, 1);
    addBias(h, b1, n);
    for (let i = 0; i < n * hidden; i += 1) if (h[i] < 0) h[i] = 0; // nan stays
    product(z, n, hidden, N_CLASSES, h, hidden, 1, W2, N_CLASSES, 1);
    addBias(z, b2, n);
  }

  // Computes the gradient g from dz.
  backward(x, n) {
    const { hidden, h, dh, dz } = this;
    const W2 = parts(this.theta, hidden)[1];
    const [dW1, dW2, db1, db2] = parts(this.g, hidden);
    product(dW2, hidden, n, N_CLASSES, h, 1, hidden, dz, N_CLASSES, 1);
    sumOfRows(db2, dz, n);
    product(dh, n, N_CLASSES, hidden, dz, N_CLASSES, 1, W2, 1, N_CLASSES);
    for (let i = 0; i < n * hidden; i += 1) if (!(h[i] > 0)) dh[i] *= 0; // nan and inf become nan, as in NumPy
    product(dW1, N_PIXELS, n, hidden, x, 1, N_PIXELS, dh, hidden, 1);
    sumOfRows(db1, dh, n);
  }

  // Computes the mean of a loss, and dz. Counts the `stuck` rows: misclassified, with a gradient of 0.
  loss(evaluate, labels) {
    const n = labels.length;
    const share = Math.fround(1 / n);
    let [sum, stuck, largest] = [0, 0, 0];
    labels.forEach((label, i) => {
      const start = i * N_CLASSES;
      const row = Array.from(this.z.subarray(start, start + N_CLASSES));
      const { loss, gradient } = evaluate(row, label, "float32");
      sum += loss;
      if (gradient.every((v) => v === 0) && row.indexOf(maximum(row)) !== label) stuck += 1;
      gradient.forEach((v, j) => { this.dz[start + j] = v * share; });
      largest = maximum([largest, ...row.map(Math.abs)]);
    });
    return { loss: sum / n, largest, stuck: stuck / n, n };
  }

  // The accuracy and the recall of each digit; nan if any logit is not finite.
  test({ X, y }) {
    const [right, count] = [new Array(N_CLASSES).fill(0), new Array(N_CLASSES).fill(0)];
    let finite = true;
    for (let start = 0; start < y.length; start += this.rows) {
      const labels = y.subarray(start, start + this.rows);
      this.forward(X.subarray(start * N_PIXELS, (start + labels.length) * N_PIXELS), labels.length);
      labels.forEach((label, i) => {
        const row = this.z.subarray(i * N_CLASSES, (i + 1) * N_CLASSES);
        finite &&= row.every(Number.isFinite);
        count[label] += 1;
        if (row.indexOf(maximum(row)) === label) right[label] += 1;
      });
    }
    const share = (part, all) => (finite ? part / all : NaN);
    return { accuracy: share(right.reduce((a, b) => a + b), y.length), recall: right.map((v, digit) => share(v, count[digit])) };
  }
}

// theta <- theta - rate g
class SGD {
  step(theta, g, rate) {
    const eta = Math.fround(rate);
    for (let i = 0; i < theta.length; i += 1) theta[i] -= Math.fround(g[i] * eta);
  }
}

// Adam in tinyclf's form: M <- beta_1 M + g, V <- beta_2 V + g^2, theta <- theta - eta M / (sqrt(V) + eps), where eta and
// eps contain the factors 1 - beta_1, 1 - beta_2 and the bias corrections.
class Adam {
  constructor({ beta_1: beta1, beta_2: beta2, epsilon }, size) {
    Object.assign(this, { beta1, beta2, epsilon, t: 0, M: new Float32Array(size), V: new Float32Array(size) });
  }

  step(theta, g, rate) {
    const { fround } = Math;
    const { beta1, beta2, M, V } = this;
    const t = (this.t += 1);
    const root = Math.sqrt(1 - beta2);
    const [b1, b2, eps] = [beta1, beta2, this.epsilon / root].map(fround);
    const eta = fround(((rate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t)) * ((1 - beta1) / root));
    for (let i = 0; i < theta.length; i += 1) {
      M[i] = fround(fround(M[i] * b1) + g[i]);
      V[i] = fround(fround(V[i] * b2) + fround(g[i] * g[i]));
      theta[i] -= fround(fround(M[i] / fround(fround(Math.sqrt(V[i])) + eps)) * eta);
    }
    if (t % 100 === 0) M.forEach((v, i) => { if (Math.abs(v) < 2 ** -100) M[i] = 0; }); // subnormal numbers are slow
  }
}

const OPTIMIZERS = { SGD, Adam };

// Networks with the same initial weights, trained on the same batches, each with another loss.
class Training {
  constructor(digits, { names, eps, seed, white, centered, hidden, optimizer, rate, falls, batch, epochs }) {
    this.random = generator(seed);
    Object.assign(this, split(digits, { white, centered }, this.random));
    Object.assign(this, { rate, falls, batch, step: 0 });
    this.order = Array.from(this.train.y, (_, i) => i);
    this.stepsPerEpoch = Math.ceil(this.order.length / batch);
    this.steps = epochs * this.stepsPerEpoch;
    this.x = new Float32Array(batch * N_PIXELS);
    const theta = initialParameters(hidden, this.random);
    const losses = lossesWith(eps);
    this.learners = names.map((name) => ({
      name,
      loss: losses[name],
      network: new Network(theta.slice(), hidden, batch),
      optimizer: new OPTIMIZERS[optimizer.name](optimizer, theta.length),
    }));
  }

  // Takes one step with each network. Returns what `Network.loss` returned, by the name of the loss.
  advance() {
    const place = this.step % this.stepsPerEpoch;
    if (place === 0) shuffle(this.order, this.random);
    const batch = this.order.slice(place * this.batch, (place + 1) * this.batch);
    batch.forEach((row, i) => this.x.set(this.train.X.subarray(row * N_PIXELS, (row + 1) * N_PIXELS), i * N_PIXELS));
    const labels = batch.map((row) => this.train.y[row]);
    const rate = this.rate * (this.falls ? 1 - this.step / this.steps : 1);
    this.step += 1;
    return this.each(({ network, loss, optimizer }) => {
      network.forward(this.x, batch.length);
      const report = network.loss(loss, labels);
      network.backward(this.x, batch.length);
      optimizer.step(network.theta, network.g, rate);
      return report;
    });
  }

  measure() {
    return { step: this.step, ...this.each(({ network }) => network.test(this.test)) };
  }

  each(of) {
    return Object.fromEntries(this.learners.map((learner) => [learner.name, of(learner)]));
  }
}

// The worker. It answers each request with one message: it takes up to `batches` steps, for about a tenth of a second,
// and measures the networks after each epoch, and also at the end if the request says so.
function serve(port) {
  let training;
  port.onmessage = ({ data: { digits, settings, batches, measures } }) => {
    if (settings) training = new Training(digits, settings);
    const [steps, tests, until] = [[], [], performance.now() + 80];
    while (steps.length < batches && training.step < training.steps && performance.now() < until) {
      steps.push(training.advance());
      if (training.step % training.stepsPerEpoch === 0) tests.push(training.measure());
    }
    if (measures && tests.at(-1)?.step !== training.step) tests.push(training.measure());
    port.postMessage({ steps, tests, total: training.steps, stepsPerEpoch: training.stepsPerEpoch });
  };
}
