"""The notebook examples/lab.py: as a script, as an app in a browser, and in the editor."""

import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from tests.support.browser import open_browser, open_page
from tinyclf.teaching import experiments, naive_losses

pytest.importorskip("marimo")
matplotlib = pytest.importorskip("matplotlib")
psutil = pytest.importorskip("psutil")  # marimo needs it, too

HOME = "http://127.0.0.1:"
SCREEN = {"viewport": {"width": 1280, "height": 900}}
TIMEOUT = 90_000  # milliseconds, enough for a busy computer


@pytest.fixture(scope="module")
def script(root):
    run = subprocess.run(
        [sys.executable, "-W", "error", root / "examples" / "lab.py"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


@pytest.fixture(scope="module")
def lab(root):
    """The functions of the notebook."""
    return runpy.run_path(str(root / "examples" / "lab.py"))


@pytest.mark.parametrize(
    ("pattern", "bounds"),
    [
        (r"^Log-sum-exp: \*\*inf\*\* naive, \*\*1000\*\* shifted", []),
        (r"^\| 1000 +\| inf +\| nan +\| 1 +\| 0 +\| 0 ", []),
        (r"^\| float32 +\| ([\d.]+) +\| ([\d.]+)", [(88.72, 88.73), (86.42, 86.43)]),
        (r"^\| naive +\| inf +\| \[nan, nan\] +\| ✗ not finite", []),
        (r"^\| shifted +\| 99\.9831 +\| \[inf, nan\] +\| ✗ not finite", []),
        (r"^\| clipped +\| 16\.1181 +\| \[0, 0\] +\| ○ no gradient", []),
        (r"^\| textbook +\| 100 +\| \[1, -1\] +\| ✓ right", []),
        (r"^\| stable +\| 100 +\| \[1, -1\] +\| ✓ right", []),
        (r"naive nan, shifted nan, clipped [\d.e-]+, padded [\d.e-]+, textbook 0, stable 0\.", []),
        (r"^\| naive +\| step 1 .*\| nan +\| nan +\| nan ", []),
        (r"^\| clipped +\| - +\| ([\d.]+) +\| ([\d.e+]+) +\| ([\d.]+)", [(5, 16), (200, 1e5), (0, 0.6)]),
        (r"^\| clipped .*\| (\d+)% ", [(50, 100)]),
        (r"^\| stable +\| - +\| ([\d.e-]+) +\| ([\d.e-]+) +\| ([\d.]+)", [(0, 0.1), (0, 0.1), (0.94, 1)]),
        (r"^\| textbook +\| 0 +\| \[0, 2\.061e-09\] +\| ≠ off", []),
        (r"^\| stable +\| 2\.06115e-09 +\| \[-2\.061e-09, 2\.061e-09\] +\| ✓ right", []),
        (r"^`my_loss` is right on 2 of 6 float32 rows", []),
        (r"^\| my_loss \| step 1 ", []),
    ],
)
@pytest.mark.processes
def test_the_script_prints_its_measurements(script, pattern, bounds):
    match = re.search(pattern, script, re.MULTILINE)
    assert match, f"{pattern!r} is not in:\n{script}"
    for number, (low, high) in zip(match.groups(), bounds, strict=True):
        assert low <= float(number) <= high, match.group()


@pytest.mark.processes
def test_marimo_check_reports_no_problem(root, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", root / "examples" / "lab.py"],
        capture_output=True,
        check=False,
        text=True,
        env=environment(tmp_path),
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["naive", "clipped", "textbook", "stable"])
def test_the_losses_of_the_notebook_equal_those_of_the_package(lab, name, dtype):
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(40, 5)) * scale for scale in (1, 20, 300, 2000)]).astype(dtype)
    t = rng.integers(5, size=len(z))
    with np.errstate(all="ignore"):
        values, gradients = lab[name](z, t)
    expected_values, expected_gradients = naive_losses.evaluate(naive_losses.LOSSES[name], z, t)
    assert values.dtype == gradients.dtype == expected_values.dtype
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(gradients, expected_gradients)


@pytest.mark.parametrize("name", ["naive", "clipped"])
def test_training_in_the_notebook_equals_that_of_the_package(lab, name):
    got = lab["fit"](name, lab[name], experiments.UNSCALED, 1, "float32")
    expected = experiments.UNSCALED.train(name, 1)[1]
    assert vars(got).keys() == vars(expected).keys()
    for attribute, value in vars(expected).items():
        np.testing.assert_equal(getattr(got, attribute), value, attribute)


def test_a_verdict_distinguishes_nonfinite_results_missing_gradients_and_inexact_results(lab):
    def verdict(function, logits, label):
        return lab["compare"](function, logits, label, "float32")["verdict"]

    assert verdict(lab["naive"], [100, 0], 1) == "✗ not finite"
    assert verdict(lab["clipped"], [100, 0], 1) == "○ no gradient"
    assert verdict(lab["textbook"], [100, 0], 1) == "✓ right"
    assert verdict(lab["textbook"], [20, 0], 0) == "≠ off"
    assert verdict(lab["stable"], [20, 0], 0) == "✓ right"


def environment(folder):
    """Environment variables: marimo does not check for updates, and writes its files to a folder."""
    return {
        **os.environ,
        "MARIMO_SKIP_UPDATE_CHECK": "1",
        "MPLCONFIGDIR": matplotlib.get_configdir(),
        "PYTHONPYCACHEPREFIX": str(folder / "pycache"),  # marimo writes its __marimo__ folder there, too
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error::RuntimeWarning",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }


@contextmanager
def served(command, notebook, folder):
    """Run the server of `marimo run` or `marimo edit`; yield its address and its log file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log.txt"
    options = ["--headless", "--host", "127.0.0.1", "--port", str(port), "--no-token"]
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "marimo", command, notebook, *options],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + TIMEOUT / 1000
            while not answers(f"{HOME}{port}/health"):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield f"{HOME}{port}/", log
        finally:
            processes = [server]
            with suppress(psutil.NoSuchProcess):
                processes += psutil.Process(server.pid).children(recursive=True)  # the editor's kernel
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(10)
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(10)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def chromium():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def app(chromium, root, tmp_path_factory):
    with (
        served("run", root / "examples" / "lab.py", tmp_path_factory.mktemp("app")) as (url, log),
        open_page(chromium, HOME, **SCREEN) as (page, complaints),
    ):
        page.set_default_timeout(TIMEOUT)
        yield url, log, page, complaints


@pytest.fixture
def page(app):
    """The app with its default outputs; the test fails if the page or a cell raises an error."""
    url, log, page, complaints = app
    complaints.clear()
    page.goto(url)  # a new session has the default settings
    page.get_by_alt_text("my_loss: not finite").wait_for()  # the last output
    yield page
    assert complaints == []
    assert "Traceback" not in log.read_text(), log.read_text()  # the app does not show errors of cells


def cells(page, column, name, table=0):
    """The cells of the row of a loss, in one of the tables that have the column."""
    tables = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name=column, exact=True))
    row = tables.nth(table).get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    return row.get_by_role("cell").all_inner_texts()


@pytest.mark.browser
def test_the_app_shows_every_output(page):
    assert page.get_by_role("heading").all_inner_texts() == [
        "How the loss is computed decides whether a network learns",
        "1. Softmax of six numbers",
        "2. Where exp overflows and underflows",
        "The losses",
        "3. Subtracting the maximum is half of the fix",
        "4. Loss and gradient",
        "5, 6, 8 and 9. Train a network",
        "7. Tiny losses",
        "Your own loss",
    ]
    assert page.get_by_role("table").count() == 7
    assert page.locator("img[alt]").count() == 3
    assert all(page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth > 0)"))
    for function in ("chain", "naive", "clipped", "textbook", "stable", "my_loss"):
        assert page.locator("pre").filter(has_text=f"def {function}(").count() == 1


@pytest.mark.browser
def test_every_control_has_a_label(page):
    controls = {
        "slider": "Logit of class 0, Logit of class 1, Seed, Epochs, Logit of the true class",
        "combobox": "Row of logits, True class, Type of the logits, Setting, Type of the weights, Pixels, "
        "Optimizer, Learning rate, Hidden units, Batch size",
        "checkbox": "naive, shifted, clipped, padded, textbook, stable, subtract the mean image, "
        "falling to 0",
    }
    for role, names in controls.items():
        assert page.get_by_role(role).count() == len(names.split(", ")), role
        for name in names.split(", "):
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert page.get_by_role("button", name="Train with ten seeds").count() == 1


@pytest.mark.browser
def test_the_naive_loss_is_finite_at_88_and_inf_at_89(page):
    slider = page.get_by_role("slider", name="Logit of class 0", exact=True)
    slider.press("PageDown")
    for _ in range(2):
        slider.press("ArrowLeft")
    page.get_by_text("float32 logits [88, 0], true class 1").wait_for()
    assert cells(page, "verdict", "naive") == ["naive", "88", "[1, -1]", "✓ right"]
    assert cells(page, "verdict", "clipped") == ["clipped", "16.1181", "[0, 0]", "○ no gradient"]
    slider.press("ArrowRight")
    page.get_by_text("float32 logits [89, 0], true class 1").wait_for()
    assert cells(page, "verdict", "naive") == ["naive", "inf", "[nan, nan]", "✗ not finite"]
    assert cells(page, "verdict", "stable") == ["stable", "89", "[1, -1]", "✓ right"]
    page.get_by_alt_text("naive, not finite beyond 88").wait_for()


@pytest.mark.browser
def test_a_wider_type_raises_the_threshold(page):
    assert cells(page, "verdict", "naive")[-1] == "✗ not finite"
    page.get_by_label("Type of the logits").select_option("float64")
    page.get_by_text("float64 logits [100, 0], true class 1").wait_for()
    assert cells(page, "verdict", "naive")[-1] == "✓ right"
    page.get_by_alt_text("naive, not finite beyond 7").wait_for()


@pytest.mark.browser
def test_the_selected_row_of_logits_is_computed(page):
    page.get_by_label("Row of logits").select_option("moderate")
    page.get_by_text("12.408216490736").first.wait_for()


@pytest.mark.browser
def test_networks_learn_unscaled_pixels_only_with_the_stable_loss(page):
    assert cells(page, "test accuracy", "naive")[1:5] == ["step 1", "nan", "nan", "nan"]
    assert float(cells(page, "test accuracy", "clipped")[4]) < 0.6
    assert float(cells(page, "test accuracy", "stable")[4]) > 0.9


@pytest.mark.browser
def test_selecting_a_loss_trains_a_network_with_it(page):
    assert cells(page, "test accuracy", "padded") == []
    for name in ("padded", "naive"):
        page.get_by_label(name, exact=True).click()
    page.get_by_alt_text(re.compile("^clipped: .* padded: .* stable: ")).wait_for()
    assert float(cells(page, "test accuracy", "padded")[4]) < 0.9
    assert cells(page, "test accuracy", "naive") == []


@pytest.mark.browser
def test_networks_learn_scaled_pixels_with_every_loss(page):
    page.get_by_label("Setting").select_option("9. The fix")
    page.get_by_text("digits, pixels 0 to 1; 64-64-10, ReLU, He-normal; SGD 0.3").wait_for()
    for name in ("naive", "clipped", "stable"):
        assert float(cells(page, "test accuracy", name)[4]) > 0.9
    page.get_by_label("Pixels").select_option("0 to 255")
    page.get_by_text("digits, pixels 0 to 255; 64-64-10, ReLU, He-normal; SGD 0.3").wait_for()
    assert cells(page, "test accuracy", "naive")[4] == "nan"


@pytest.mark.browser
def test_ten_seeds_agree(page):
    page.get_by_role("button", name="Train with ten seeds").click()
    page.get_by_role("columnheader", name="mean accuracy").wait_for()
    assert cells(page, "mean accuracy", "naive")[1:3] == ["10 of 10", "none"]
    assert float(cells(page, "mean accuracy", "clipped")[2]) < 0.5
    assert float(cells(page, "mean accuracy", "stable")[2]) > 0.96


@pytest.mark.browser
def test_editing_a_loss_repeats_the_comparison_and_the_training(chromium, root, tmp_path):
    notebook = shutil.copy(root / "examples" / "lab.py", tmp_path)
    settings = tmp_path / "config" / "marimo" / "marimo.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[runtime]\nauto_instantiate = true\n")  # run all cells when the notebook opens
    with (
        served("edit", notebook, tmp_path) as (url, log),
        open_page(chromium, HOME, **SCREEN) as (page, complaints),
    ):
        page.set_default_timeout(TIMEOUT)
        page.goto(url)
        page.get_by_alt_text("my_loss: not finite").wait_for()
        page.get_by_text("is right on 2 of 6").wait_for()
        page.get_by_role("heading", name="Your own loss").scroll_into_view_if_needed()
        page.locator(".cm-content").filter(has_text="def my_loss").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text("def my_loss(z, t):\n    return textbook(z, t)")
        page.keyboard.press("Control+Enter")
        page.get_by_text("is right on 5 of 6").wait_for()
        page.get_by_alt_text(re.compile(r"^my_loss: 9\d% .* stable: 9\d% ")).wait_for()
        assert complaints == []
        assert "Traceback" not in log.read_text(), log.read_text()
