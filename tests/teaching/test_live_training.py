"""The training in the lesson's page: in Chromium and in Firefox, it agrees with tinyclf's to rounding."""

import base64
import contextlib
import dataclasses
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.browser import open_browser, open_firefox, open_page
from tests.support.loops import computing_with
from tinyclf import train
from tinyclf.nn.losses import Loss
from tinyclf.nn.optimizers import SGD, Adam
from tinyclf.teaching.experiments import WHITE
from tinyclf.teaching.lesson import RUNS
from tinyclf.teaching.naive_losses import LOSSES, evaluate
from tinyclf.teaching.page import render

pytestmark = pytest.mark.browser

SETTINGS = ("unscaled", "quiet", "steep", "scaled")
NAMES = ("naive", "clipped", "stable")
SEED = 3
EPS = float(np.finfo("float32").eps)

PACK = """const pack = (array) => {
    let text = "";
    for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength)) {
        text += String.fromCharCode(byte);
    }
    return btoa(text);
};
const unpackFloats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const training = (setting, changes) => new Training(DIGITS, settingsOf(setting, { seed: 0, ...changes }));
"""


def floats(packed):
    return np.frombuffer(base64.b64decode(packed), np.float32)


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def page(request, lesson, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "lesson.html").write_text(render(lesson), "utf-8")
    (folder / "profile").mkdir()
    with contextlib.ExitStack() as stack:
        if request.param == "firefox":
            opened = open_firefox("file:", folder / "profile")
        else:
            opened = open_page(stack.enter_context(open_browser()), "file:", offline=True)
        page, complaints = stack.enter_context(opened)
        page.goto((folder / "lesson.html").as_uri())
        # What a question hides is not drawn.
        page.evaluate("() => document.querySelector('.answers').click()")
        yield page
        assert complaints == []


def evaluate_with(page, body, argument=None):
    """Call a function of one argument with this body in the page."""
    return page.evaluate(f"async (argument) => {{ {PACK} {body} }}", argument)


# The data


def test_the_page_contains_the_digits(page):
    found = evaluate_with(page, "return [Array.from(DIGITS.pixels), Array.from(DIGITS.labels)];")
    digits = load_digits()
    np.testing.assert_array_equal(np.reshape(found[0], digits.data.shape), digits.data)
    np.testing.assert_array_equal(found[1], digits.target)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_quarter_of_the_images_is_for_testing_and_pixels_are_scaled_as_in_the_experiment(page, setting):
    parts = evaluate_with(
        page,
        """const { train, test } = training(argument);
        return [train, test].map(({ images, X, y }) => [images, pack(X), Array.from(y)]);""",
        setting,
    )
    experiment, *_ = RUNS[setting]
    X, y = load_digits(return_X_y=True)
    X *= experiment.white / WHITE
    train_images, test_images = (images for images, *_ in parts)
    assert sorted(train_images + test_images) == list(range(len(X)))
    assert len(test_images) == -(-len(X) // 4)
    mean = X[train_images].mean(axis=0) if experiment.centered else 0.0
    for images, pixels, labels in parts:
        np.testing.assert_array_equal(labels, y[images])
        expected = (X[images] - mean).ravel()
        np.testing.assert_allclose(floats(pixels), expected, rtol=2e-7, atol=1e-12)


def test_initial_weights_are_he_normal_and_biases_are_0(page):
    hidden = 256
    theta = floats(evaluate_with(page, "return pack(initialParameters(argument, generator(0)));", hidden))
    network = RUNS["unscaled"][0].network(0)
    assert theta.shape == network.theta.shape
    network.theta = theta
    for p, n_in in ((network.parameters[0], 64), (network.parameters[2], hidden)):
        assert not p.b.any()
        W = p.W.ravel().astype(float) / np.sqrt(2 / n_in)
        n = W.size  # standard errors of mean, variance and fourth moment of a normal distribution
        for value, expected, error in ((W, 0, 1), (W**2, 1, 2**0.5), (W**4, 3, 96**0.5)):
            assert abs(value.mean() - expected) < 4 * error / n**0.5


def test_the_seed_determines_split_weights_and_order(page):
    found = evaluate_with(
        page,
        """return [0, 0, 1].map((seed) => {
            const one = training("scaled", { seed });
            const { theta } = one.learners[0].network;
            one.advance();
            return [one.test.images.join(), pack(theta.slice()), one.order.join()];
        });""",
    )
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


# The training agrees with tinyclf's


class Recording(Loss):
    """Wrap a loss; keep the loss of each batch, and the parameters before its step."""

    def __init__(self, loss, network):
        self.loss, self.network, self.values, self.thetas = loss, network, [], []

    def targets(self, y, n, n_outputs):
        return self.loss.targets(y, n, n_outputs)

    def buffers(self, n_outputs, dtype):
        return self.loss.buffers(n_outputs, dtype)

    def value_and_grad(self, z, y, w, dz, t):
        self.values.append(self.loss.value_and_grad(z, y, w, dz, t))
        self.thetas.append(self.network.theta.astype(float))
        return self.values[-1]


@dataclasses.dataclass
class Run:
    """The first epoch: the loss of each step, the parameters after it, and the last logits of all rows."""

    losses: np.ndarray
    thetas: np.ndarray
    logits: np.ndarray

    def errors(self, exact, start):
        """Distances from a run, by name: up to each step, and for the logits of each row."""
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.linalg.norm(exact.thetas - start, axis=1)
            errors = {
                "loss": np.fmax(np.abs(self.losses - exact.losses) / (1 + np.abs(exact.losses)), EPS),
                "parameters": np.linalg.norm(self.thetas - exact.thetas, axis=1) / moved,
                "logits": np.abs(self.logits - exact.logits).max(axis=1, initial=0),
            }
        return {name: np.fmax.accumulate(e) if name != "logits" else e.max() for name, e in errors.items()}


def first_epoch(experiment, name, X, y, start, order, dtype="float32", rng=None):
    """Train tinyclf's network for one epoch on the rows in this order.

    With a generator, the hidden units and the rows of each batch are reordered: the same training, but its
    sums are rounded in another way.
    """
    network = experiment.network(0, dtype)
    network.theta = start
    units = np.arange(experiment.hidden) if rng is None else rng.permutation(experiment.hidden)
    if rng is not None:
        starts = range(0, len(order), experiment.batch_size)
        order = np.concatenate([rng.permutation(order[i : i + experiment.batch_size]) for i in starts])

    def reorder(theta, units):
        first, _, last = network.split(theta)
        first.W, first.b, last.W = first.W[:, units], first.b[units], last.W[units]

    reorder(network.theta, units)
    loss = Recording(LOSSES[name], network)
    next(
        train(
            network,
            X,
            y,
            loss=loss,
            optimizer=experiment.optimizer,
            epochs=experiment.epochs,
            batch_size=experiment.batch_size,
            rows=order,
            shuffle=False,
            schedule=experiment.schedule,
            on_nonfinite="continue",
        )
    )
    thetas = np.array([*loss.thetas[1:], network.theta.astype(float)])
    for theta in thetas:
        reorder(theta, np.argsort(units))
    return Run(np.array(loss.values), thetas, network.logits(X).astype(float))


@pytest.fixture
def numpy_only():
    with computing_with("NumPy"):
        yield


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_first_epoch_agrees_with_that_of_tinyclf_to_rounding(page, setting, numpy_only):
    """The page is at most three times as far from a float64 run as tinyclf's float32 runs are.

    Those are six, which differ only in the order in which sums are added. The largest counts; for a loss, at
    least the rounding unit of float32.
    """
    found = evaluate_with(
        page,
        f"""const one = training(argument, {{ seed: {SEED} }});
        const start = pack(one.learners[0].network.theta);
        const results = {{}};
        for (const {{ name }} of one.learners) results[name] = {{ losses: [], thetas: [] }};
        for (let i = 0; i < one.stepsPerEpoch; i += 1) {{
            const report = one.advance();
            for (const {{ name, network }} of one.learners) {{
                results[name].losses.push(String(report[name].loss));
                results[name].thetas.push(pack(network.theta));
            }}
        }}
        const {{ X, y }} = one.train;
        for (const {{ name, network }} of one.learners) {{
            results[name].logits = Array.from(y, (_, i) => {{
                network.forward(X.subarray(64 * i, 64 * i + 64), 1);
                return pack(network.z.subarray(0, 10));
            }});
        }}
        return {{ start, order: one.order, X: pack(X), y: Array.from(y), results }};""",
        setting,
    )
    experiment, *_ = RUNS[setting]
    X, y, start = floats(found["X"]).reshape(-1, 64), np.array(found["y"]), floats(found["start"])
    order, rng = np.array(found["order"]), np.random.default_rng(0)
    for name in NAMES:
        result = found["results"][name]
        run = Run(
            np.array([float(loss.replace("Infinity", "inf")) for loss in result["losses"]]),
            np.array([floats(theta) for theta in result["thetas"]], float),
            np.array([floats(z) for z in result["logits"]], float),
        )
        exact = first_epoch(experiment, name, X, y, start, order, "float64")
        own = [first_epoch(experiment, name, X, y, start, order)]
        own += [first_epoch(experiment, name, X, y, start, order, rng=rng) for _ in range(5)]
        for a, b in zip(dataclasses.astuple(run), dataclasses.astuple(own[0]), strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_array_equal(np.isinf(a), np.isinf(b))
        errors, ours = run.errors(exact, start), [r.errors(exact, start) for r in own]
        for part, error in errors.items():
            limit = 3 * np.max([e[part] for e in ours], axis=0)
            finite = np.isfinite(limit)
            assert np.all(np.asarray(error)[finite] <= limit[finite]), (name, part)


@pytest.mark.parametrize("name", NAMES)
def test_stuck_rows_and_the_largest_logit_are_those_of_tinyclf(page, name):
    found = evaluate_with(
        page,
        """const one = training("quiet", { names: [argument] });
        return Array.from({ length: one.stepsPerEpoch }, () => {
            const report = one.advance()[argument];
            const place = one.step - 1;
            const rows = one.order.slice(place * one.batch, (place + 1) * one.batch);
            const z = one.learners[0].network.z.subarray(0, 10 * rows.length);
            return [report.stuck, report.largest, report.n, pack(z), rows.map((row) => one.train.y[row])];
        });""",
        name,
    )
    total = 0
    for stuck, largest, n, z, y in found:
        z, y = floats(z).reshape(-1, 10), np.array(y)
        _, gradient = evaluate(LOSSES[name], z, y)
        count = np.sum((z.argmax(axis=1) != y) & ~gradient.any(axis=1))
        assert n == len(y)
        assert stuck == pytest.approx(count / n, abs=1e-12)
        assert largest == np.abs(z).max()
        total += count
    assert (total > 100) == (name == "clipped")


def test_accuracy_and_recall_are_those_of_the_network(page):
    found = evaluate_with(
        page,
        """const one = training("scaled", { names: ["stable"] });
        for (let i = 0; i < 20; i += 1) one.advance();
        const { X, y } = one.test;
        return [one.measure().stable, pack(one.learners[0].network.theta), pack(X), Array.from(y)];""",
    )
    measured, theta, X, y = found[0], floats(found[1]), floats(found[2]).reshape(-1, 64), np.array(found[3])
    network = RUNS["scaled"][0].network(0)
    network.theta = theta
    correct = network.logits(X).argmax(axis=1) == y
    assert 0.3 < correct.mean() < 1
    assert measured["accuracy"] == pytest.approx(correct.mean())
    np.testing.assert_allclose(measured["recall"], [correct[y == digit].mean() for digit in range(10)])


def test_a_network_with_a_logit_that_is_not_finite_has_no_accuracy(page):
    found = evaluate_with(
        page,
        """const one = training("unscaled");
        one.advance();
        const { naive, stable } = one.measure();
        return [naive.accuracy, ...naive.recall, stable.accuracy].map(Number.isFinite);""",
    )
    assert found == [False] * 11 + [True]


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(SGD(0.3), {}), (Adam(0.01), {}), (Adam(0.2, 0.5, 0.9, 1e-3), {})],
    ids=["SGD", "Adam", "Adam, other decays"],
)
def test_steps_of_the_optimizers_have_the_bits_of_tinyclf(page, optimizer, options, numpy_only):
    """Each operation is rounded in the same way; also where moments decay to subnormal numbers."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=60).astype("float32")
    g = (rng.normal(size=60) * np.geomspace(1e-30, 1e15, 60)).astype("float32")
    g[::7] = 0.0
    steps, rates = 250, [optimizer.learning_rate, optimizer.learning_rate / 3]
    found = evaluate_with(
        page,
        """const { name, options, steps, rates } = argument;
        const [theta, g, empty] = [argument.theta, argument.g, btoa("\\0".repeat(240))].map(unpackFloats);
        const optimizer = new OPTIMIZERS[name](options, theta.length);
        for (let i = 0; i < steps; i += 1) {
            optimizer.step(theta, i < 20 ? g.map((v) => v / (i + 1)) : empty, rates[i % 2]);
        }
        return [theta, optimizer.M ?? empty, optimizer.V ?? empty].map(pack);""",
        {
            "theta": base64.b64encode(theta.tobytes()).decode(),
            "g": base64.b64encode(g.tobytes()).decode(),
            "name": type(optimizer).__name__,
            "options": dataclasses.asdict(optimizer),
            "steps": steps,
            "rates": rates,
        },
    )
    s = optimizer.init(theta)
    with np.errstate(all="ignore"):
        for i in range(steps):
            gradient = (g.astype(float) / (i + 1)).astype("float32") if i < 20 else np.zeros_like(g)
            optimizer.step(theta, gradient, s, rates[i % 2])
    zeros = np.zeros_like(theta)
    expected = [theta, s.arrays.get("M", zeros), s.arrays.get("V", zeros)]
    for packed, array in zip(found, expected, strict=True):
        np.testing.assert_array_equal(floats(packed), array)


# The worker and the view


def test_the_worker_answers_each_request_with_one_message_in_bounded_time(page):
    messages = evaluate_with(
        page,
        """const messages = [];
        let start;
        const postMessage = ({ steps, tests, total }) => {
            messages.push([steps.length, tests.map((t) => t.step), total, performance.now() - start]);
        };
        const port = { postMessage };
        serve(port);
        const settings = settingsOf("unscaled", { seed: 0, epochs: 200 });
        const requests = [{ settings, digits: DIGITS, batches: 0 }, { batches: 1, measures: true }];
        for (const data of [...requests, { batches: Infinity }]) {
            start = performance.now();
            port.onmessage({ data });
        }
        return messages;""",
    )
    assert [message[:2] for message in messages[:2]] == [[0, []], [1, [1]]]
    (steps, tests, total, after) = messages[2]
    assert len(messages) == 3
    assert 0 < steps < total == 200 * 22
    assert tests == [i for i in range(2, steps + 2) if i % 22 == 0]
    assert after < 2000  # about 100, but the machine may be busy


def wait_for(page, condition):
    end = time.monotonic() + 60
    while not page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def press(page, name):
    buttons = "[...document.querySelectorAll('#live-buttons button')]"
    page.evaluate(f"name => {buttons}.find((button) => button.textContent === name).click()", name)


def text_of(page, name):
    return page.evaluate("id => document.getElementById(id).textContent", name)


def reset(page, setting):
    page.evaluate(
        """setting => {
            const { white, rate, hidden } = settingsOf(setting);
            set({ setting, white, rate, hidden, liveSeed: 0 });
            document.getElementById("live-status").textContent = "";
        }""",
        setting,
    )
    press(page, "Reset")
    wait_for(page, "document.getElementById('live-progress').textContent === 'Not trained yet'")


def test_one_batch_shows_the_results_of_one_step(page):
    reset(page, "unscaled")
    press(page, "One batch")
    wait_for(page, "document.getElementById('live-status').textContent")
    assert "after epoch 1, batch 1." in text_of(page, "live-status")
    expected = evaluate_with(
        page,
        """const one = training("unscaled");
        const report = one.advance();
        const measured = one.measure();
        const shown = (name) => [number(report[name].loss), percent(measured[name].accuracy)];
        return ["clipped", "stable"].map(shown);""",
    )
    wait_for(page, "document.getElementById('live-table').textContent.includes('nan')")
    cells = "[...row.cells].map((cell) => cell.textContent)"
    rows = page.evaluate(
        f"() => [...document.querySelectorAll('#live-table tbody tr')].map((row) => {cells})"
    )
    assert rows[0][1] in ("inf", "nan")
    assert rows[0][3:] == ["nan", "none"]
    assert [[row[1], row[4]] for row in rows[1:]] == expected


def test_training_runs_to_the_end_pauses_and_starts_again(page):
    reset(page, "scaled")
    page.evaluate("() => set({ hidden: 16 })")
    press(page, "Start")
    wait_for(page, "live.steps.length > 50")
    press(page, "Pause")
    wait_for(page, "document.getElementById('live-status').textContent.startsWith('Paused')")
    steps = page.evaluate("() => live.steps.length")
    time.sleep(0.3)
    assert page.evaluate("() => live.steps.length") == steps
    press(page, "Start")
    wait_for(page, "document.getElementById('live-status').textContent.startsWith('Finished')")
    finished = text_of(page, "live-status")
    assert finished.startswith("Finished after epoch 30.")
    same = evaluate_with(
        page,
        """const one = training("scaled", { hidden: 16 });
        while (one.step < one.steps) one.advance();
        return pack(Float64Array.of(one.measure().stable.accuracy, live.tests.at(-1).stable.accuracy));""",
    )
    once, live = np.frombuffer(base64.b64decode(same), float)
    assert once == live > 0.9  # pauses do not change the training
    for chart in ("live-loss", "live-logit", "live-no-gradient", "live-accuracy", "live-recall"):
        label = page.evaluate(
            "c => document.querySelector(`[data-chart=${c}] svg`).getAttribute('aria-label')", chart
        )
        assert any(character.isdigit() for character in label.split("Now:")[-1])
    press(page, "Start")  # once more, from the beginning
    wait_for(page, "live.steps.length > 0 && live.steps.length < live.total")
    press(page, "Reset")


def test_settings_that_change_during_training_restart_it_without_a_queue_of_requests(page):
    reset(page, "unscaled")
    press(page, "Start")
    wait_for(page, "live.steps.length > 0")
    sent = page.evaluate(
        """() => {
            let count = 0;
            const send = live.worker.postMessage;
            live.worker.postMessage = (...message) => { count += 1; send.apply(live.worker, message); };
            for (let i = 0; i < 50; i += 1) set({ white: i + 1, hidden: 16 });
            delete live.worker.postMessage;
            return [count, live.steps.length];
        }"""
    )
    assert sent[0] <= 1
    assert sent[1] == 0
    wait_for(page, "live.steps.length > 0")
    found = page.evaluate("() => [live.steps[0].stable.loss, live.running]")
    expected = evaluate_with(
        page, 'return training("unscaled", { white: 50, hidden: 16 }).advance().stable.loss;'
    )
    assert found == [expected, True]
    press(page, "Reset")


def test_drawing_that_is_slow_leaves_most_of_the_time_to_the_reader(page):
    reset(page, "unscaled")
    share = page.evaluate(
        """async () => {
            let [drawn, active] = [0, true];
            const slow = () => {
                const end = performance.now() + (active ? 60 : 0);
                while (performance.now() < end);
                drawn += active ? 60 : 0;
            };
            shows(["live"], slow);
            startTraining();
            const start = performance.now();
            await new Promise((resolve) => setTimeout(resolve, 3000));
            active = false;
            return drawn / (performance.now() - start);
        }"""
    )
    press(page, "Reset")
    assert 0.02 < share < 0.4


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_preset_has_the_settings_of_its_step(page, setting):
    step = {"unscaled": "5", "quiet": "6", "steep": "8", "scaled": "9"}[setting]
    page.evaluate("() => set({ white: 2, rate: 1, hidden: 32 })")
    buttons = "document.querySelectorAll('#live-setting button')"
    page.evaluate(f"step => [...{buttons}].find((button) => button.textContent === step).click()", step)
    pressed = f"[...{buttons}].filter((b) => b.ariaPressed === 'true').map((b) => b.textContent)"
    assert page.evaluate(f"() => {pressed}") == [step]
    assert str(RUNS[setting][0]) in text_of(page, "live-setup")


def test_a_browser_without_workers_gets_a_message(page):
    reset(page, "scaled")
    page.evaluate(
        """() => {
            live.worker = null;
            globalThis.ownWorker = Worker;
            globalThis.Worker = class { constructor() { throw new Error("workers are forbidden"); } };
        }"""
    )
    press(page, "Start")
    wait_for(page, "document.getElementById('live-progress').textContent.includes('workers are forbidden')")
    assert "Start" in text_of(page, "live-buttons")
    page.evaluate("() => { globalThis.Worker = ownWorker; }")


def test_an_address_holds_the_settings_within_what_a_browser_can_train(page):
    page.evaluate("() => set({ setting: 'quiet', white: 4, rate: 0.01, hidden: 32, liveSeed: 7 })")
    address = "#live?setting=quiet&white=4&rate=0.01&hidden=32&liveSeed=7"
    assert page.evaluate("() => fragment(document.getElementById('live'))") == address
    read = "address => readFragment(address).changes"
    changes = {"setting": "quiet", "white": 4, "rate": 0.01, "hidden": 32, "liveSeed": 7}
    assert page.evaluate(read, address) == changes
    limited = {"white": 0.001, "rate": 1000, "hidden": 1024, "liveSeed": 2}
    assert page.evaluate(read, "#live?setting=x&white=-1&rate=1e300&hidden=1e12&liveSeed=1.6") == limited
    assert page.evaluate(read, "#live?white=nan&hidden=") == {}


def test_the_question_is_answered_when_the_training_of_step_5_has_finished(page):
    found = page.evaluate(
        """() => {
            const box = document.getElementById("live-question");
            const finish = (setting, accuracy) => {
                set({ ...preset(setting), liveSeed: 0 });
                const tests = [{ step: 1, naive: {}, clipped: { accuracy, recall: [] }, stable: {} }];
                const one = { loss: 1, largest: 1, stuck: 0, n: 1 };
                const steps = [{ naive: one, clipped: one, stable: one }];
                live.fresh = false;
                receive({ steps, tests, total: 1, stepsPerEpoch: 1 });
                return box.dataset.truth;
            };
            const truths = [finish("scaled", 0.5), finish("unscaled", NaN), finish("unscaled", 0.25)];
            reset();
            return truths.map((truth) => truth ?? "none");
        }"""
    )
    assert found == ["none", "none", "25%"]


@pytest.mark.parametrize("size", [1e-3, 30, 99000, 1e9])
def test_no_text_of_the_charts_is_cut_off(page, size):
    cut = page.evaluate(
        """size => {
            const one = { loss: size, largest: size, stuck: 0.5, n: 1 };
            const result = { accuracy: 0.5, recall: Array(10).fill(0.05) };
            const all = (v) => ({ naive: v, clipped: v, stable: v });
            const tests = [{ step: 2, ...all(result) }];
            Object.assign(live, { steps: [all(one), all(one)], tests, total: 2, stepsPerEpoch: 1 });
            refresh(["live", "tests"]);
            const texts = [...document.querySelectorAll("#live .charts svg text")].filter((e) => {
                const box = e.getBoundingClientRect();
                const picture = e.ownerSVGElement.getBoundingClientRect();
                return box.left < picture.left - 2 || box.right > picture.right + 2;
            });
            const words = texts.map((e) => e.textContent);
            reset();
            return words;
        }""",
        size,
    )
    assert cut == []
