"""The page of the lesson in an offline browser: its results equal those of tinyclf; its controls work."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.browser import open_page
from tests.support.numbers import number, plain
from tests.teaching.conftest import show_answers
from tinyclf.teaching.arithmetic import DTYPES, VECTORS, right_row, vector, wrong_row
from tinyclf.teaching.bfloat16 import of_type
from tinyclf.teaching.experiments import UNSCALED
from tinyclf.teaching.lesson import SHOWN
from tinyclf.teaching.libraries import FAULTS, is_right, overview, read, truths
from tinyclf.teaching.loss_audit import VERDICTS
from tinyclf.teaching.naive_losses import LOSSES, evaluate
from tinyclf.teaching.page import _typeset

pytestmark = pytest.mark.browser

STEPS = 11
SCREENS = {
    f"{name}, {scheme}": {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for (name, width, height) in (("desktop", 1280, 900), ("phone", 360, 740))
    for scheme in ("light", "dark")
}


@pytest.fixture
def lesson(measured):
    return measured


def open_lesson(page, address):
    """Open the page and show all answers, as a teacher would."""
    page.goto(address)
    show_answers(page)


def value_of(page, name):
    """The value on the card of a loss in step 3."""
    return page.locator(f"#cards [data-loss={name}] .loss").inner_text()


def type_number(page, label, number):
    page.get_by_label(f"{label}, as a number", exact=True).fill(str(number))


@pytest.mark.parametrize("screen", SCREENS)
def test_every_step_has_a_number_and_a_chart_on_every_screen(browser, address, screen):
    with open_page(browser, "file:", offline=True, **SCREENS[screen]) as (page, complaints):
        open_lesson(page, address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator(".step").count() == STEPS
        for step in page.locator(".step").all():
            number = step.locator(".figure b").inner_text()
            assert any(character.isdigit() for character in number), number
            pictures = step.locator("svg[role=img]").all()
            assert pictures
            for picture in pictures:
                box = picture.bounding_box()
                assert box["width"] > 150
                assert box["height"] > 70
                assert picture.get_attribute("aria-label")
        text = page.locator("main").inner_text()
        assert "undefined" not in text
        assert "[object" not in text
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_sufficient_contrast(browser, address, scheme):
    """WCAG 2.1, 1.4.3: at least 4.5 to 1, for the colors of losses and of text on both backgrounds."""

    def luminance(color):
        c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    with open_page(browser, "file:", offline=True, color_scheme=scheme) as (page, _):
        page.goto(address)
        names = ["ink", "soft", "accent", *LOSSES, "paper", "card"]
        style = "getComputedStyle(document.documentElement)"
        values = page.evaluate(f"n => n.map(name => {style}.getPropertyValue('--' + name))", names)
        found = {
            name: luminance(v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:]))
            for name, v in zip(names, values, strict=True)
        }
    for text, ground in itertools.product([*LOSSES, "ink", "soft", "accent"], ["paper", "card"]):
        low, high = sorted((found[text], found[ground]))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_losses_differ_in_mark_and_dash_and_not_only_in_color(page):
    assert len(set(page.evaluate("Object.values(MARKS)"))) == len(LOSSES)
    for name in SHOWN:
        page.locator("#gradient").get_by_role("checkbox", name=name).set_checked(True)
    lines = page.locator("[data-chart=losses] .line")
    looks = lines.evaluate_all(
        "all => all.map(e => getComputedStyle(e).strokeDasharray + getComputedStyle(e).strokeWidth)"
    )
    assert len(set(looks)) == len(SHOWN)


# Results that the page computes


def grid(dtype):
    """Rows of logits from small ones to those beyond the thresholds of the dtype, with ties."""
    rng = np.random.default_rng(0)
    reach = {"float16": 30, "bfloat16": 200, "float32": 200, "float64": 1500}[dtype]
    rows = [rng.normal(size=3) * scale for scale in np.geomspace(0.01, reach, 120)]
    rows += [[s, 0.0, 0.0] for s in np.linspace(-reach, reach, 101)]
    rows += [[s, s, s] for s in (0.0, 1.0, 5.0, reach / 2)]
    rows += [[1e4, 0.0, 1.0], [-1e4, -1e4, 3.0], [1000.0, 0.0, 0.0]]
    return of_type(rows, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_of_the_page_equals_that_of_tinyclf(page, name, dtype):
    rows = grid(dtype)
    labels = np.arange(len(rows)) % 3
    script = """([name, rows, labels, dtype]) => rows.map((z, i) => {
        const { loss, gradient } = LOSSES[name](z, labels[i], dtype);
        return [loss, ...gradient].map((v) => (Number.isFinite(v) ? v : String(v)));
    })"""
    found = page.evaluate(script, [name, rows.tolist(), labels.tolist(), dtype])
    found = np.array([[float(str(v).replace("Infinity", "inf")) for v in row] for row in found])
    losses, gradients = evaluate(LOSSES[name], rows, labels)
    truth = np.column_stack([losses, gradients])
    small = dtype in ("float16", "bfloat16")
    kind = "float32" if name == "stable" and small else dtype
    assert truth.dtype == ("float32" if kind == "bfloat16" else kind)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(truth))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(truth))
    eps = 2.0**-7 if kind == "bfloat16" else float(np.finfo(kind).eps)
    finite = np.isfinite(truth)
    # Near p = 1, p - 1 and log p consist of rounding errors; only the stable loss is accurate there.
    np.testing.assert_allclose(
        found[finite], truth[finite].astype("float64"), rtol=4 * eps, atol=0 if name == "stable" else 4 * eps
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_in_the_page_equals_that_of_numpy_and_of_ml_dtypes(page, dtype):
    kind = np.float16 if dtype == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    with np.errstate(invalid="ignore"):  # signaling nan
        every = np.arange(2**16, dtype=np.uint16).view(kind).astype(float)
    exact = np.sort(every[np.isfinite(every)])
    middles = (exact[1:] + exact[:-1]) / 2  # ties
    above, below = np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)
    end = 65520.0 if dtype == "float16" else 2.0**128 - 2.0**119  # rounds to infinity
    beyond = [end, end * (1 - 1e-7), end * (1 - 1e-15), 1e6 * end, -end, 1e-30, -1e-30, 1e-45, 0.0]
    values = np.concatenate([exact, middles, above, below, beyond])
    found = page.evaluate(
        "([v, dtype]) => v.map(ROUND[dtype]).map(x => Number.isFinite(x) ? x : String(x))",
        [values.tolist(), dtype],
    )
    found = np.array([float(str(v).replace("Infinity", "inf")) for v in found])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, values.astype(kind).astype(float))


def test_a_row_with_nan_or_inf_is_nan_in_the_stable_loss_of_the_page(page):
    script = """([z]) => {
        const { loss, gradient } = LOSSES.stable(z.map(Number), 0, "float64");
        return [loss, ...gradient].every(Number.isNaN);
    }"""
    for row in (["NaN", "0"], ["Infinity", "0"], ["-Infinity", "-Infinity"]):
        assert page.evaluate(script, [row])


# Values that the charts show


class ChartReader:
    """Reads values from a chart, by the numbers at its axes; other texts at the axes are skipped."""

    def __init__(self, page, chart):
        self.svg = page.locator(f"[data-chart={chart}] svg").first
        ticks = self.svg.locator("text.tick").evaluate_all(
            "all => all.map(e => [...['text-anchor', 'x', 'y'].map(n => e.getAttribute(n)), e.textContent])"
        )
        value = lambda words: number(words.rstrip("%")) / (100 if words.endswith("%") else 1)  # noqa: E731
        self.x = [
            (float(x), value(words))
            for anchor, x, _, words in ticks
            if anchor == "middle" and words[-1] in "0123456789%"
        ]
        self.y = [
            (float(y) - 5, value(words))
            for anchor, _, y, words in ticks
            if anchor == "end" and words[0].isdigit()
        ]

    def value(self, axis, pixels, log=False):
        at, values = np.array(axis).T
        slope, start = np.polyfit(at, np.log10(values) if log else values, 1)
        found = slope * np.asarray(pixels) + start
        return 10**found if log else found

    def points(self, selector):
        """The points of a path, in pixels."""
        path = self.svg.locator(selector).last.get_attribute("d")
        return np.array([pair.split() for pair in path.replace("M", "L").split("L")[1:]], float)

    def spots(self, selector):
        """The positions of marks, in pixels."""
        moved = self.svg.locator(selector).evaluate_all("all => all.map(e => e.getAttribute('transform'))")
        return np.array([m.split("(")[1].split(")")[0].split() for m in moved], float).reshape(-1, 2)


@pytest.mark.parametrize(("dtype", "run"), [("float32", "unscaled"), ("float64", "unscaled64")])
def test_the_curves_are_the_measured_ones(page, lesson, dtype, run):
    page.locator("#training-dtype").get_by_role("radio", name=dtype, exact=True).check()
    for chart, part in (("curves", "curve"), ("no-gradient", "no_gradient")):
        picture = ChartReader(page, chart)
        for name in ("clipped", "stable"):
            x, y = picture.points(f".line.series-{name}:not(.faint)").T
            values = np.mean([getattr(o, part) for o in lesson.runs[run][name].outcomes], axis=0)
            top = picture.value(picture.y, 30)  # the top of the plot, where lines are clamped
            np.testing.assert_allclose(picture.value(picture.x, x), np.arange(1, 31), atol=0.1)
            shown = picture.value(picture.y, y)
            clamped = shown > 0.995 * top
            np.testing.assert_allclose(shown[~clamped], values[~clamped], atol=0.01 * top)
            assert (values[clamped] >= 0.98 * top).all()
    assert ChartReader(page, "curves").svg.locator(".cross.series-naive").count() == 1


def test_the_left_bars_are_the_recall_of_clipped_and_the_right_bars_that_of_stable(page, lesson):
    type_number(page, "Seed", lesson.seeds[1])
    picture = ChartReader(page, "recall")
    bottom, top = (
        picture.svg.locator(line).first.evaluate("e => +e.getAttribute('y1')")
        for line in (".axis", ".grid >> nth=-1")
    )
    for name in ("clipped", "stable"):
        bars = picture.svg.locator(f".bar.series-{name}").evaluate_all(
            "all => all.map(e => [+e.getAttribute('x'), +e.getAttribute('height')])"
        )
        x, height = np.array(bars).T
        recall = lesson.runs["quiet"][name].outcomes[1].recall
        np.testing.assert_allclose(height / (bottom - top), recall, atol=0.01)
        lost = picture.spots(f".cross.series-{name}")
        assert len(lost) == np.sum(recall < 0.1)
        if name == "clipped":
            left = x
    assert (left < x).all()


@pytest.mark.parametrize(
    ("chart", "run"), [("quiet-accuracies", "quiet"), ("steep", "steep"), ("scaled", "scaled")]
)
def test_a_strip_has_a_mark_for_each_seed_and_a_bar_for_the_mean(page, lesson, chart, run):
    picture = ChartReader(page, chart)
    for name, s in lesson.runs[run].items():
        finite = [o.accuracy for o in s.outcomes if np.isfinite(o.accuracy)]
        spots = picture.spots(f".mark.series-{name}")
        assert len(spots) == len(finite)
        assert picture.svg.locator(f".cross.series-{name}").count() == (len(finite) < len(s.outcomes))
        if finite:
            np.testing.assert_allclose(picture.value(picture.x, spots[:, 0]), finite, atol=0.005)
            mean = picture.svg.locator(f".mean.series-{name}").evaluate("e => +e.getAttribute('x1')")
            np.testing.assert_allclose(picture.value(picture.x, mean), np.mean(finite), atol=0.005)


def test_the_bars_of_step_2_end_at_the_thresholds(page, lesson):
    picture = ChartReader(page, "thresholds")
    # Only the x axis has numbers: the y axis has the dtypes, and letters are above the bars.
    ends = picture.svg.locator(".range").evaluate_all(
        "all => all.map(e => +e.getAttribute('x') + +e.getAttribute('width'))"
    )
    found = picture.value(picture.x, ends, log=True)
    np.testing.assert_allclose(
        found,
        [lesson.arithmetic["thresholds"][dtype]["exp"] for dtype in DTYPES],
        rtol=0.02,
    )
    table = page.locator("#threshold-table").inner_text()
    for t in lesson.arithmetic["thresholds"].values():
        for value in t.values():
            assert f"{value:.3f}" in table


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradient_are_drawn_up_to_the_last_finite_value(page, lesson, dtype):
    page.locator("#gradient").get_by_role("radio", name=dtype, exact=True).check()
    reach = {"float16": 24, "bfloat16": 120, "float32": 120, "float64": 800}[dtype]
    end = lesson.arithmetic["thresholds"][dtype]["exp"]
    for chart in ("losses", "gradients"):
        picture = ChartReader(page, chart)
        (spot,) = picture.spots(".cross.series-naive")
        np.testing.assert_allclose(picture.value(picture.x, spot[0]), end, atol=0.02 * reach)
        x, y = picture.points(".line.series-stable").T
        x, y = picture.value(picture.x, x), picture.value(picture.y, y)
        assert x[-1] == pytest.approx(reach, rel=0.01)
        late = x > 5
        np.testing.assert_allclose(
            y[late], x[late] if chart == "losses" else 1.0, atol=0.012 * max(1, x.max() * (chart == "losses"))
        )
    if dtype != "float16":
        x, y = picture.points(".line.series-clipped").T
        x, y = picture.value(picture.x, x), picture.value(picture.y, y)
        np.testing.assert_allclose(y[x > 18], 0.0, atol=0.01)
        np.testing.assert_allclose(y[(x > 6) & (x < 15)], 1.0, atol=0.02)


def test_bars_point_right_for_the_true_logit_and_left_for_the_others(page):
    card = page.locator("#cards [data-loss=stable] svg[role=img]")
    middle = card.locator(".axis").evaluate("e => +e.getAttribute('x1')")
    bars = card.locator("rect.bar").evaluate_all(
        "all => all.map(e => [+e.getAttribute('x'), +e.getAttribute('width')])"
    )
    (left, width), (right, as_wide), *_ = bars
    assert left + width == pytest.approx(middle)
    assert right == pytest.approx(middle)
    assert width == pytest.approx(as_wide)
    assert card.locator(".value").evaluate_all("all => all.map(e => e.textContent)")[:2] == [
        "\N{MINUS SIGN}1",
        "1",
    ]


def cells(page, selector):
    return [
        [plain(words) for words in row.locator("th, td").all_inner_texts()]
        for row in page.locator(f"{selector} tbody tr").all()
    ]


def test_the_table_of_step_3_shows_the_results_of_tinyclf(page):
    for name, row in zip(SHOWN, cells(page, "#cases"), strict=True):
        assert row[0] == name
        for scale, loss, gradient in zip((20, 100, 1000), row[1::2], row[2::2], strict=True):
            true_loss, true_gradient = wrong_row(scale, name)
            np.testing.assert_allclose(float(loss), true_loss, rtol=1e-4)
            np.testing.assert_allclose(
                [float(v) for v in gradient.strip("[]").split(",")], true_gradient, rtol=1e-2
            )


@pytest.mark.parametrize("which", VECTORS)
def test_the_table_of_step_1_shows_the_results_of_numpy(page, which):
    page.locator("#vector-choice").get_by_role("radio").nth(list(VECTORS).index(which)).check()
    v = vector(VECTORS[which])
    parts = ("x", "exp", "naive_softmax", "softmax", "log_of_softmax", "log_softmax")
    found = np.array(cells(page, "#vector-table"), float)
    np.testing.assert_allclose(found, np.column_stack([v[part] for part in parts]), rtol=1e-4)


def test_the_readout_of_step_7_shows_the_results_of_tinyclf(page):
    for gap in (5, 20, 40):
        type_number(page, "gap", gap)
        numbers = [number(words) for words in page.locator("#tiny-readout b").all_inner_texts()]
        expected = [
            f(right_row(gap, name))
            for name in ("textbook", "stable")
            for f in (lambda r: r[0], lambda r: r[1][0])
        ]
        np.testing.assert_allclose(numbers, expected, rtol=1e-6, atol=1e-7 if gap == 5 else 0)


def test_the_scripts_write_numbers_as_the_text_does(page):
    values = [0.0, 1.0, -1.0, 16.118, 1e-7, -1e-7, 2.0611537e-9, -3.5e-38, 1e20, -2.5e7, 65504.0, 104.05]
    found = page.evaluate("all => all.map((v) => number(v, 8))", values)
    assert found == [_typeset(f"{v:.8g}") if abs(v) < 1e7 else _typeset(f"{v:g}") for v in values]
    assert page.evaluate("[NaN, Infinity, -Infinity].map((v) => number(v))") == [
        "nan",
        "inf",
        "\N{MINUS SIGN}inf",
    ]


def test_step_11_shows_the_stored_audits(page):
    entries = read()
    rows = page.locator("#audit-table tbody tr").all()
    assert len(rows) == len(entries) + 1
    for row, returns in zip(rows, [truths(), *(entry["returns"] for entry in entries)], strict=True):
        *shown, _ = row.locator("td").all()
        for cell, (case, value) in zip(shown, returns.items(), strict=True):
            if value is None:
                assert cell.inner_text() == ""
                continue
            np.testing.assert_allclose(number(cell.inner_text()), float(value), rtol=1e-3)
            assert (cell.get_attribute("class") == "bad") == (not is_right(case, float(value)))
    chart = ChartReader(page, "audit")
    for name in FAULTS:
        starts = [overview(entry)["starts"].get(name) for entry in entries]
        spots = chart.spots(f".mark.series-{name}")
        found = chart.value(chart.x, spots[:, 0], log=True)
        np.testing.assert_allclose(found, [x for x in starts if x], rtol=0.02)
    verdicts = chart.svg.locator("text.tick").all_text_contents()
    assert [v for v in verdicts if v.split(",")[0] in VERDICTS] == [overview(e)["verdict"] for e in entries]
    text = page.locator("#audit").inner_text()
    for entry in entries:
        if entry["library"] in ("ONNX reference", "Spark", "JAX", "MLX", "Optax", "Keras"):
            assert entry["version"] in text


# Interaction


def test_the_naive_loss_in_float32_is_finite_at_scale_88_and_inf_at_89(page):
    table = page.locator("#gradient-table")
    for scale, loss in ((88, "88"), (89, "inf")):
        type_number(page, "scale", scale)
        naive = table.locator("tr", has_text="naive")
        assert naive.locator("td").first.inner_text() == loss
        assert table.locator("tr", has_text="stable").locator("td").first.inner_text() == str(scale)
    assert table.locator("tr", has_text="clipped").locator("td").nth(1).inner_text() == "0"


def test_the_examples_show_naive_inf_or_nan_clipped_without_gradient_and_stable_correct(page):
    page.locator("#presets button", has_text="[2, 1, 0]").click()
    states = lambda: page.locator("#cards article").evaluate_all("all => all.map(e => e.dataset.state)")  # noqa: E731
    assert states() == ["right", "right", "right"]
    page.locator("#presets button", has_text="[20, 0, 0]").click()
    assert states() == ["right", "stuck", "right"]
    page.locator("#presets button", has_text="[100, 0, 0]").click()
    assert states() == ["broken", "stuck", "right"]
    assert (value_of(page, "naive"), value_of(page, "stable")) == ("inf", "100")
    assert "nan" in page.locator("#cards [data-loss=naive] svg[role=img]").get_attribute("aria-label")
    page.locator("#true-class").get_by_role("radio").first.check()
    assert value_of(page, "naive") == "nan"  # exp overflows for the true class
    assert number(value_of(page, "stable")) == pytest.approx(2 * np.exp(-100), rel=0.01)  # a subnormal


def test_the_dtype_determines_the_threshold(page):
    type_number(page, "z0", 100)
    for dtype, naive, clipped in (
        ("float32", "inf", "16.118"),
        ("float64", "100", "16.118"),
        ("float16", "inf", "15.945"),
    ):
        page.locator("#half").get_by_role("radio", name=dtype, exact=True).check()
        assert value_of(page, "naive") == naive
        assert value_of(page, "clipped") == clipped
        assert value_of(page, "stable") == "100"
    assert (
        page.locator("#gradient").get_by_role("radio", name="float16", exact=True).is_checked()
    )  # all steps use the same dtype


def test_the_choice_of_losses_applies_to_all_steps(page):
    page.locator("#half").get_by_role("checkbox", name="padded").check()
    page.locator("#half").get_by_role("checkbox", name="naive").uncheck()
    cards = page.locator("#cards article").evaluate_all("all => all.map(e => e.dataset.loss)")
    assert cards == ["clipped", "padded", "stable"]
    rows = page.locator("#training-table tbody th").all_inner_texts()
    assert rows == cards


def test_sliders_reach_beyond_the_threshold_of_each_dtype(page):
    for dtype, threshold in (("float16", 11.09), ("float32", 88.73), ("float64", 709.8)):
        page.locator("#thresholds").get_by_role("radio", name=dtype, exact=True).check()
        slider = page.get_by_label("x", exact=True)
        assert float(slider.get_attribute("max")) > threshold
        slider.focus()
        page.keyboard.press("End")
        assert "exp(x) = inf" in page.locator("#threshold-readout").inner_text()
        page.keyboard.press("Home")
        assert "exp(x) = 1," in page.locator("#threshold-readout").inner_text()


def test_a_field_is_not_overwritten_while_it_has_the_focus(page):
    field = page.get_by_label("scale, as a number", exact=True)
    field.fill("")
    field.press_sequentially("-0.50")
    assert field.input_value() == "-0.50"
    assert "at scale \N{MINUS SIGN}0.5," in page.locator("#gradient-table").inner_text()


def test_the_recall_is_that_of_the_selected_seed(page, lesson):
    for i, seed in enumerate(lesson.seeds):
        type_number(page, "Seed", seed)
        label = page.locator("[data-chart=recall] svg").get_attribute("aria-label")
        recall = lesson.runs["quiet"]["clipped"].outcomes[i].recall
        assert "Clipped: " + ", ".join(f"{np.floor(100 * v + 0.5):.0f}%" for v in recall) in label


def test_curves_and_tables_show_the_selected_run(page, lesson):
    for dtype, run in (("float32", "unscaled"), ("float64", "unscaled64")):
        page.locator("#training-dtype").get_by_role("radio", name=dtype, exact=True).check()
        table = page.locator("#training-table").inner_text()
        description = page.locator("[data-chart=curves] svg").get_attribute("aria-label")
        for name in ("clipped", "stable"):
            s = lesson.runs[run][name]
            assert f"{s.accuracy:.1%} ({s.lowest:.1%} to {s.highest:.1%})" in table
            assert f"{name}: {np.floor(100 * s.accuracy + 0.5):.0f}% accuracy" in description
        assert f"naive: not finite from {lesson.runs[run]['naive'].first}" in description
        assert str(UNSCALED) in page.locator("figcaption[data-setup=unscaled]").inner_text()


def test_controls_work_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_label("scale", exact=True).focus()
    before = page.locator("#gradient-table").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#gradient-table").inner_text() != before
    radio = page.locator("#gradient").get_by_role("radio", name="float32", exact=True)
    radio.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#gradient").get_by_role("radio", name="float64").is_checked()
    box = page.locator("#gradient").get_by_role("checkbox", name="shifted")
    box.focus()
    page.keyboard.press("Space")
    assert "shifted" in page.locator("#gradient-table").inner_text()
    summary = page.locator("#gradient summary")
    summary.focus()
    for visible in (False, True):
        page.keyboard.press("Enter")
        assert page.locator("#gradient details p").first.is_visible() == visible


def test_presentation_mode_shows_one_step_at_a_time(page):
    visible = lambda: [s.get_attribute("id") for s in page.locator(".step").all() if s.is_visible()]  # noqa: E731
    assert len(visible()) == STEPS
    page.keyboard.press("p")
    assert page.locator("#basics").is_visible()
    assert not page.locator(".cover .lead").is_visible()
    assert visible() == []
    page.keyboard.press("ArrowRight")
    assert visible() == ["vectors"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageDown")
    assert visible() == ["half"]
    assert page.locator("#half h2").evaluate("e => getComputedStyle(e, '::before').content").startswith('"3')
    page.locator("#contents a").nth(4).click()
    assert visible() == ["training"]
    assert page.locator("#contents a[aria-current]").inner_text() == "5"
    page.keyboard.press("ArrowLeft")
    assert visible() == ["gradient"]
    for _ in range(STEPS + 3):
        page.locator("#next").click()
    assert page.locator("#limits").is_visible()
    assert visible() == []
    page.keyboard.press("Escape")
    assert len(visible()) == STEPS


def test_page_up_and_down_change_the_step_even_if_a_slider_has_the_focus(page):
    page.keyboard.press("p")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    page.get_by_label("x", exact=True).focus()
    page.keyboard.press("PageDown")
    assert page.locator("#half").is_visible()
    assert page.evaluate("document.activeElement.tagName") == "H2"
    assert page.url.split("?")[0].endswith("#half")


def test_links_to_steps_work_in_presentation_mode(page):
    page.keyboard.press("p")
    for _ in range(2):
        page.locator("#next").click()
    page.locator("#thresholds a[href='#training']").click()
    page.locator("#training").wait_for(state="visible")  # the page's security policy blocks wait_for_function
    assert not page.locator("#thresholds").is_visible()
    page.reload()
    # Until the page has been scrolled to the step, another one may be current.
    page.locator("#contents a[aria-current]", has_text="5").wait_for()


def test_a_field_shows_the_accepted_value_when_it_loses_the_focus(page, lesson):
    field = page.get_by_label("Seed, as a number", exact=True)
    field.fill("99")
    field.blur()
    assert field.input_value() == str(lesson.seeds[-1])
    field = page.get_by_label("gap, as a number", exact=True)
    field.fill("")
    field.blur()
    assert field.input_value() == "20"


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_text_of_a_chart_is_cut_off(browser, address, screen, dtype):
    with open_page(browser, "file:", offline=True, **SCREENS[screen]) as (page, _):
        open_lesson(page, address)
        page.evaluate(
            "dtype => { SHOWN.forEach(n => state.losses.add(n)); set({ dtype }); refresh(); }", dtype
        )
        cut = page.evaluate(
            """() => [...document.querySelectorAll("svg[role=img] text")].filter((e) => {
                const box = e.getBoundingClientRect();
                const picture = e.ownerSVGElement.getBoundingClientRect();
                return box.left < picture.left - 2 || box.right > picture.right + 2;
            }).map((e) => e.textContent)"""
        )
        assert cut == []


def test_the_printed_page_is_light_and_has_bars_and_answers(browser, address):
    with open_page(browser, "file:", offline=True, color_scheme="dark") as (page, _):
        open_lesson(page, address)
        page.emulate_media(media="print")
        assert page.locator("[data-chart=recall] .bar.series-stable").first.is_visible()
        assert not page.locator(".topbar").is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 251, 248)"
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0


def test_the_text_and_its_numbers_are_visible_without_scripts(browser, address):
    with open_page(browser, "file:", offline=True, java_script_enabled=False) as (page, _):
        page.goto(address)
        assert page.locator("noscript").inner_text()
        assert not page.locator("figure").first.is_visible()
        assert page.locator("#training .figure b").is_visible()
        page.locator("#thresholds summary").last.click()
        assert page.locator("#thresholds a").inner_text() == "5"


def test_a_change_redraws_only_the_charts_that_show_the_value(page):
    page.evaluate("window.before = document.querySelector('[data-chart=curves] svg')")
    type_number(page, "Seed", 1)
    assert page.evaluate("document.querySelector('[data-chart=curves] svg') === before")


def test_the_reader_can_switch_between_light_and_dark(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.keyboard.press("d")
    assert page.evaluate(paper) != light
    assert page.locator("#theme").inner_text() == "Light"
    page.locator("#theme").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, address, scheme, width):
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with open_page(browser, "file:", offline=True, **options) as (page, complaints):
        page.goto(address)
        for state in ("asked", "shown", "presented"):
            if state == "shown":
                open_lesson(page, address)
            if state == "presented":
                page.keyboard.press("p")
            result = axe.run(page, options={"resultTypes": ["violations"]})
            assert len(result["passes"]) > 20
            violations = {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in result["violations"]}
            assert violations == {}
        assert complaints == []


def test_a_table_or_program_that_does_not_fit_can_be_scrolled_by_keyboard(browser, address):
    boxes = ".scroll:visible, pre:visible"
    for width, some in ((1280, False), (390, True)):
        with open_page(browser, "file:", viewport={"width": width, "height": 900}) as (page, _):
            open_lesson(page, address)
            page.wait_for_timeout(300)  # the page's security policy blocks wait_for_function
            found = page.locator(boxes).evaluate_all(
                "all => all.map(e => [e.scrollWidth > e.clientWidth, e.tabIndex, e.getAttribute('role')])"
            )
            assert len(found) > 10
            for wide, *attributes in found:
                assert attributes == ([0, "region"] if wide else [-1, None])
            assert any(wide for wide, *_ in found) == some
            names = page.locator("[role=region]").evaluate_all("all => all.map(e => e.ariaLabel)")
            assert all(name.startswith(("Table, scrollable: ", "Program, scrollable: ")) for name in names)


def test_on_a_phone_the_steps_are_chosen_by_name(browser, address):
    with open_page(browser, "file:", viewport={"width": 360, "height": 740}) as (page, _):
        open_lesson(page, address)
        assert not page.locator("#contents").is_visible()
        names = page.get_by_label("Step", exact=True)
        options = names.locator("option").all_inner_texts()
        titles = page.locator("main h2[tabindex]").evaluate_all(
            "all => all.map(e => [e.dataset.number, e.textContent].filter(Boolean).join(' '))"
        )
        assert options == ["Start", *titles]
        names.select_option("6 A failure without overflow or warning")
        assert page.evaluate("document.activeElement.closest('section').id") == "quiet"
        page.locator("#next").evaluate("e => e.click()")  # page.click scrolls, as the bar is sticky
        page.locator("#contents li:nth-child(7) a[aria-current]").wait_for(state="attached")
        assert names.evaluate("e => e.selectedOptions[0].text") == "7 Tiny losses"
        names.select_option("Start")
        assert page.evaluate("scrollY") == 0


def test_what_was_visible_before_a_jump_does_not_become_the_current_step(browser, address):
    with open_page(browser, "file:", viewport={"width": 1280, "height": 900}) as (page, _):
        page.add_init_script(
            """const Observer = IntersectionObserver;
            globalThis.IntersectionObserver = class extends Observer {
                constructor(callback, options) {
                    super(callback, options);
                    globalThis.observed = callback;
                }
            };"""
        )
        page.goto(address)
        current = page.evaluate(
            """() => {
                const entry = { isIntersecting: true, target: pages[1], time: performance.now() - 1 };
                go(5);
                observed([entry]);  // on a busy machine, it arrives late
                return current;
            }"""
        )
        assert current == 5


def test_the_first_picture_shows_the_answers_of_the_network(page):
    opening = page.evaluate("DATA.opening")
    picture = page.locator("[data-chart=opening] svg")
    answers = [words.split()[0] for words in picture.locator("text").all_text_contents()]
    assert answers == [str(answer) for answer in opening["answers"]]
    assert picture.locator(".answer:not(.wrong)").count() == opening["right"]
    darkest = picture.locator(".digit").evaluate_all(
        "all => all.map(e => [...e.children].map(r => [+r.getAttribute('x'), +r.getAttribute('y'),"
        " +r.getAttribute('fill-opacity')]))"
    )
    for found, pixels in zip(darkest, load_digits().data[opening["images"]], strict=True):
        image = np.zeros((8, 8))
        for x, y, v in found:
            image[int(y), int(x)] = 16 * v
        np.testing.assert_array_equal(image.ravel(), pixels)


def test_the_words_of_a_step_cover_nothing_while_the_page_scrolls(page):
    for step in page.locator(".step").all():
        step.evaluate("e => scrollTo({ top: e.offsetTop + e.offsetHeight - 800, behavior: 'instant' })")
        parts = step.evaluate(
            "e => [...e.children].map(part => part.getBoundingClientRect()).filter(box => box.height)"
            ".map(box => [box.left, box.right, box.top, box.bottom])"
        )
        for (left, right, top, bottom), other in itertools.combinations(parts, 2):
            beside = right <= other[0] + 1 or other[1] <= left + 1
            assert beside or bottom <= other[2] + 1 or other[3] <= top + 1, step.get_attribute("id")


@pytest.mark.parametrize("width", [360, 320])  # the second one is a desktop screen with a zoom of 400%
def test_formulas_fit_on_a_phone(browser, address, width):
    with open_page(browser, "file:", viewport={"width": width, "height": 740}) as (page, _):
        page.goto(address)
        formulas = page.locator("math").all()
        assert len(formulas) >= 3
        for formula in formulas:
            ends = formula.locator("mi").evaluate_all(
                "all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])"
            )
            assert min(left for left, _ in ends) > 10
            assert max(right for _, right in ends) < width - 10


def test_a_loss_that_is_not_selected_is_not_struck_through(page):
    box = page.locator("#half").get_by_role("checkbox", name="shifted")
    looks = []
    for on in (False, True):
        box.set_checked(on)
        looks.append(
            box.evaluate(
                "e => [e.nextElementSibling.textContent, getComputedStyle(e.nextElementSibling).borderStyle,"
                " getComputedStyle(e.nextElementSibling, '::before').content,"
                " getComputedStyle(e.nextElementSibling).textDecorationLine]"
            )
        )
    assert looks == [
        ["shifted", "dashed", '""', "none"],
        ["shifted", "solid", '"\N{CHECK MARK}"', "none"],
    ]


def test_controls_have_names(page):
    for control in page.locator("input, button, a").all():
        name = control.evaluate(
            "e => e.getAttribute('aria-label') || e.textContent || (e.labels && e.labels[0]?.textContent)"
        )
        assert name, control.evaluate("e => e.outerHTML")
