"""The reader predicts results, drags logits, and copies addresses and code."""

import io
import itertools
import json
import re
from contextlib import redirect_stdout

import numpy as np
import pytest

from tests.support.browser import open_page
from tests.support.numbers import number, plain
from tests.teaching.conftest import show_answers
from tinyclf.teaching.arithmetic import DTYPES, wrong_row
from tinyclf.teaching.bfloat16 import of_type
from tinyclf.teaching.lesson import SHOWN
from tinyclf.teaching.naive_losses import LOSSES, evaluate

pytestmark = pytest.mark.browser

WIDTHS = {"desktop": 1280, "phone": 390}
STEPS = ("vectors", "thresholds", "half", "gradient", "training", "quiet", "tiny", "not-cured", "cure")
FIGURES = ", ".join(f"#{step} figure" for step in STEPS)


def outcome(page, step):
    return page.locator(f"#{step} > .predict .outcome").inner_text()


def center(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def answer(page, step, kind):
    """Answer the question of a step by keyboard, and ask for its result."""
    question = page.locator(f"#{step} > .predict")
    if kind == "choice":
        question.get_by_role("radio").nth(1).focus()
        page.keyboard.press("Space")
    else:
        question.get_by_role("slider").focus()
        for key in ("ArrowUp", "ArrowRight", "ArrowUp"):
            page.keyboard.press(key)
    question.get_by_role("button", name="Show the answer").click()


# Questions


@pytest.mark.parametrize("screen", WIDTHS)
def test_each_step_hides_its_result_until_the_reader_has_answered(browser, address, screen):
    size = {"viewport": {"width": WIDTHS[screen], "height": 900}, "has_touch": screen == "phone"}
    with open_page(browser, "file:", offline=True, **size) as (page, complaints):
        page.goto(address)
        for step in STEPS:
            section = page.locator(f"#{step}")
            hidden = [section.locator(part).first for part in (".words", ".figure", "figure")]
            assert section.locator("h2").is_visible()
            question = page.locator(f"#{step} > .predict")
            assert question.locator("> p").first.is_visible()
            assert not any(part.is_visible() for part in hidden)
            assert question.get_by_role("button", name="Show the answer").is_disabled()
            assert question.locator(".outcome").is_hidden()
            answer(page, step, question.get_attribute("data-predict"))
            assert all(part.is_visible() for part in hidden)
            section.locator("figure svg[role=img]").first.wait_for()
            focused = page.evaluate("document.activeElement.textContent")
            assert focused == outcome(page, step)
            assert focused.startswith("You ")
            assert question.locator(".reveal").is_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert complaints == []


def test_every_step_asks_one_question_of_a_kind_and_each_kind_occurs(asking):
    kinds = asking.locator(".step > .predict").evaluate_all(
        "all => all.map(e => [e.parentNode.id, e.dataset.predict])"
    )
    assert [step for step, _ in kinds] == [*STEPS, "live", "audit"]
    assert {kind for _, kind in kinds} == {"number", "curve", "choice"}


def test_the_answer_to_a_question_in_an_aside_is_hidden_until_the_reader_has_answered(browser, address):
    with open_page(browser, "file:", offline=True, viewport={"width": 390, "height": 900}) as (
        page,
        complaints,
    ):
        page.goto(address)
        for step in (*STEPS, "audit"):
            answer(page, step, page.locator(f"#{step} > .predict").get_attribute("data-predict"))
        asides = page.locator("details", has=page.locator(".predict")).all()
        assert len(asides) == page.locator("summary", has_text="Question").count() > 5
        for aside in asides:
            explanation = aside.locator("> p")
            aside.locator("summary").click()
            assert not explanation.is_visible()
            if aside.locator(".predict").get_attribute("data-predict") == "choice":
                aside.get_by_role("radio").first.check()
            else:
                aside.get_by_role("spinbutton").fill("30")
            aside.get_by_role("button", name="Show the answer").click()
            assert explanation.is_visible()
            assert aside.locator(".outcome").inner_text().startswith("You said")
        assert complaints == []


def marks(page, step):
    """The positions of the marks of the reader and of the result on an axis, and its ticks."""
    chart = page.locator(f"#{step} > .predict svg")
    at = lambda name: float(  # noqa: E731
        chart.locator(f".mark.series-{name}").get_attribute("transform").split("(")[1].split()[0]
    )
    ticks = chart.locator(".tick").evaluate_all("all => all.map(e => [+e.getAttribute('x'), e.textContent])")
    return at, np.array([(x, number(words.rstrip("%"))) for x, words in ticks])


def test_a_number_is_marked_beside_the_measured_one_on_the_same_axis(asking, measured):
    field = asking.locator("#thresholds > .predict").get_by_role("spinbutton")
    field.fill("50")
    field.press("Enter")
    truth = measured.arithmetic["thresholds"]["float32"]["exp"]
    assert outcome(asking, "thresholds") == f"You said 50; measured: {truth:.2f}."
    at, ticks = marks(asking, "thresholds")
    slope, start = np.polyfit(np.log10(ticks[:, 1]), ticks[:, 0], 1)
    assert at("yours") == pytest.approx(start + slope * np.log10(50), abs=0.5)
    assert at("truth") == pytest.approx(start + slope * np.log10(truth), abs=0.5)
    assert asking.locator("#thresholds > .predict [role=slider]").is_hidden()


def test_a_question_whose_field_is_empty_has_no_answer(asking):
    question = asking.locator("#thresholds > .predict")
    field, button = question.get_by_role("spinbutton"), question.get_by_role("button")
    for words, enabled in (("50", True), ("", False), ("-1e30", True), ("", False)):
        field.fill(words)
        assert button.is_enabled() == enabled
    field.press("Enter")
    assert not asking.locator("#thresholds figure").is_visible()
    question.get_by_role("slider").focus()
    asking.keyboard.press("Space")  # accepts the position of the handle
    assert (button.is_enabled(), field.input_value()) == (True, "71")


def test_the_number_of_the_reader_is_written_as_the_others_are(asking):
    question = asking.locator("#thresholds > .predict")
    question.get_by_role("spinbutton").fill("-1e30")
    question.get_by_role("button").click()
    assert outcome(asking, "thresholds").startswith("You said \u221210\u00b3\u2070; measured: ")


def test_a_percentage_has_its_unit(asking, measured):
    asking.locator("#not-cured > .predict").get_by_role("spinbutton").fill("90")
    asking.locator("#not-cured > .predict .reveal").click()
    accuracy = measured.runs["steep"]["stable"].accuracy
    assert outcome(asking, "not-cured") == f"You said 90%; measured: {accuracy:.0%}."
    at, ticks = marks(asking, "not-cured")
    slope, start = np.polyfit(ticks[:, 1], ticks[:, 0], 1)
    assert at("yours") == pytest.approx(start + slope * 90, abs=0.5)
    assert at("stable") == pytest.approx(start + slope * round(100 * accuracy), abs=0.6)


def test_the_handle_of_a_number_follows_pointer_and_keyboard(asking):
    question = asking.locator("#quiet > .predict")
    handle, field = question.get_by_role("slider"), question.get_by_role("spinbutton")
    assert handle.get_attribute("aria-valuetext") == "no answer yet"
    handle.scroll_into_view_if_needed()
    x, y = center(handle.bounding_box())
    asking.mouse.move(x, y)
    asking.mouse.down()
    asking.mouse.move(x + 100, y + 300, steps=4)
    asking.mouse.up()
    chosen = int(field.input_value())
    assert 10 < chosen < 20
    assert center(handle.bounding_box())[0] == pytest.approx(x + 100, abs=20)
    assert handle.get_attribute("aria-valuetext") == f"forgotten digits {chosen}"
    handle.focus()
    for key, expected in (
        ("ArrowRight", chosen + 1),
        ("ArrowDown", chosen),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("Shift+ArrowRight", 10),
        ("End", 20),
    ):
        asking.keyboard.press(key)
        assert field.input_value() == str(expected)
        assert handle.get_attribute("aria-valuenow") == str(expected)
    assert asking.locator("#quiet").is_visible()  # the arrow keys do not change the step


def curve_of(page, step, name):
    """The points of a drawn curve, as values of the axes."""
    chart = page.locator(f"#{step} > .predict svg")
    path = chart.locator(f".line.series-{name}").get_attribute("d")
    points = np.array([pair.split() for pair in path.replace("M", "L").split("L")[1:]], float)
    ticks = chart.locator(".tick").evaluate_all(
        "all => all.map(e => ['text-anchor', 'x', 'y'].map(n => e.getAttribute(n)).concat(e.textContent))"
    )
    x = np.array([(float(at), number(v)) for anchor, at, _, v in ticks if anchor == "middle"])
    y = np.array([(float(at) - 5, number(v)) for anchor, _, at, v in ticks if anchor == "end"])
    return tuple(
        np.polyval(np.polyfit(*axis.T, 1), values) for axis, values in zip((x, y), points.T, strict=True)
    )


def drag(page, area, *stops):
    """Drag the pointer through positions given as fractions of an area."""
    box = area.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stops]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def test_a_drawn_curve_stands_beside_the_computed_one(asking):
    area = asking.locator("#gradient > .predict .axis").first
    area.scroll_into_view_if_needed()
    drag(asking, area, (0.2, 0.4), (0.5, 0.4), (0.9, 0.4))
    asking.locator("#gradient > .predict .reveal").click()
    x, y = curve_of(asking, "gradient", "yours")
    assert (x[0], x[-1]) == (pytest.approx(4, abs=3), pytest.approx(36, abs=3))
    assert len(x) > 30
    np.testing.assert_allclose(y, y[0], atol=0.02)
    scales, values = curve_of(asking, "gradient", "clipped")
    expected = [-wrong_row(scale, "clipped")[1][1] for scale in np.round(4 * scales) / 4]
    np.testing.assert_allclose(values, expected, atol=0.02)
    said = outcome(asking, "gradient")
    assert (
        said
        == f"You drew {y[0]:.2g} at scale 10, {y[0]:.2g} at scale 30; clipped: 1 at scale 10, 0 at scale 30."
    )


def test_the_curve_of_step_5_is_the_measured_one(page, measured):
    x, y = curve_of(page, "training", "clipped")
    np.testing.assert_allclose(x, np.arange(1, 31), atol=0.1)
    np.testing.assert_allclose(y, measured.runs["unscaled"]["clipped"].curve, atol=0.1)


def test_a_curve_can_be_drawn_by_keyboard(asking):
    question = asking.locator("#gradient > .predict")
    handle = question.get_by_role("slider")
    handle.focus()
    asking.keyboard.press("ArrowUp")
    asking.keyboard.press("ArrowRight")
    assert "nothing drawn" in handle.get_attribute("aria-valuetext")
    assert question.get_by_role("button").is_disabled()
    asking.keyboard.press("End")
    for _ in range(10):
        asking.keyboard.press("ArrowDown")
    assert handle.get_attribute("aria-valuetext").startswith("scale 40: ")
    question.get_by_role("button").click()
    x, y = curve_of(asking, "gradient", "yours")
    np.testing.assert_allclose([*x, *y], [0, 40, 0.56, 0.16], atol=0.02)
    assert outcome(asking, "gradient").startswith("You drew 0.46 at scale 10, 0.26 at scale 30; ")


def swipe(page, area, start, end):
    """Move a finger over an area, in pixels from its center; return how far the page has scrolled."""
    area.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    page.wait_for_timeout(200)
    before = page.evaluate("scrollY")
    x, y = center(area.bounding_box())
    session = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.0), *(("touchMove", i / 10) for i in range(1, 11))):
        at = [a + share * (b - a) for a, b in zip(start, end, strict=True)]
        point = {"x": x + at[0], "y": y + at[1]}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(200)
    return page.evaluate("scrollY") - before


def test_a_finger_draws_and_drags_sideways_and_scrolls_up_and_down(browser, address):
    screen = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with open_page(browser, "file:", offline=True, **screen) as (page, complaints):
        page.goto(address)
        curve, axis = (page.locator(f"#{step} > .predict .axis").first for step in ("gradient", "quiet"))
        assert swipe(page, curve, (0, 0), (0, -150)) > 50
        assert page.locator("#gradient > .predict .line.series-yours[d*=M]").count() == 0
        assert page.locator("#gradient > .predict .reveal").is_disabled()
        assert swipe(page, curve, (-100, 0), (100, 0)) == 0
        assert page.locator("#gradient > .predict .reveal").is_enabled()
        assert swipe(page, axis, (50, 0), (50, -150)) > 50
        assert page.locator("#quiet > .predict .reveal").is_disabled()

        show_answers(page)
        bar = page.locator("#logit-bars .bar-slider").first
        assert swipe(page, bar, (0, 0), (0, -150)) > 50
        assert value(page, 0) == 20
        assert swipe(page, bar, (0, 0), (50, 20)) == 0
        assert 50 < value(page, 0) < 110
        assert complaints == []


def test_a_choice_is_marked_beside_the_computed_one(asking):
    asking.locator("#half > .predict").get_by_text("nan").click()
    asking.locator("#half > .predict .reveal").click()
    assert outcome(asking, "half") == "You said: nan; computed: exactly 0."
    notes = asking.locator("#half > .predict .option").evaluate_all(
        "all => all.map(e => e.lastChild.textContent)"
    )
    assert notes == ["", "", "computed", "your answer"]
    assert all(radio.is_disabled() for radio in asking.locator("#half > .predict").get_by_role("radio").all())
    asking.locator("#vectors > .predict").get_by_text("inf").click()
    asking.locator("#vectors > .predict .reveal").click()
    notes = asking.locator("#vectors > .predict .option").evaluate_all(
        "all => all.map(e => e.lastChild.textContent)"
    )
    assert notes == ["", "your answer, computed", "", ""]


def test_the_right_choices_are_those_that_are_measured(page):
    found = [outcome(page, step) for step in ("vectors", "half", "tiny")]
    assert found == ["Computed: inf.", "Computed: exactly 0.", "Computed: 0."]


def test_the_key_r_shows_all_answers_and_hides_them_again(asking):
    answer(asking, "vectors", "choice")
    figures = lambda: [f.is_visible() for f in asking.locator(FIGURES).all()]  # noqa: E731
    assert figures() == [True] + 8 * [False]
    asking.locator("#thresholds > .predict").get_by_role("spinbutton").press("r")  # in a field, R is a letter
    assert figures() == [True] + 8 * [False]
    asking.locator("h2").first.focus()
    asking.keyboard.press("R")
    assert figures() == 9 * [True]
    assert outcome(asking, "thresholds").startswith("Measured: ")
    assert asking.locator("details:not([open])").count() == 0
    assert {b.get_attribute("aria-pressed") for b in asking.locator(".answers").all()} == {"true"}
    asking.keyboard.press("r")
    assert figures() == [True] + 8 * [False]
    assert asking.locator("details[open]").count() == 0


def test_the_current_step_stays_in_place_when_the_key_r_shows_the_answers_of_the_others(browser, address):
    for screen, step in itertools.product(WIDTHS, ("thresholds", "training", "audit")):
        size = {"width": WIDTHS[screen], "height": 800}
        with open_page(browser, "file:", offline=True, viewport=size) as (page, _):
            page.goto(f"{address}#{step}")
            page.wait_for_selector(f"#{step}.current")
            top = f"document.querySelector('#{step} h2').getBoundingClientRect().top"
            before = page.evaluate(top)
            for _ in range(2):
                page.keyboard.press("r")
                page.wait_for_timeout(300)  # the charts of the steps before it are drawn
                assert page.evaluate(top) == pytest.approx(before, abs=3)
                assert page.evaluate("document.querySelector('.current').id") == step


def test_a_button_shows_all_answers_on_a_phone(browser, address):
    with open_page(browser, "file:", offline=True, viewport={"width": 390, "height": 800}) as (page, _):
        page.goto(address)
        page.get_by_role("button", name="Show all answers").click()
        assert all(figure.is_visible() for figure in page.locator(".step figure").all())


def test_presentation_mode_shows_the_question_first(asking):
    asking.keyboard.press("p")
    for _ in range(2):
        asking.keyboard.press("ArrowRight")
    assert asking.locator("#thresholds > .predict").is_visible()
    assert not asking.locator("#thresholds figure").is_visible()
    asking.locator("#thresholds > .predict").get_by_role("slider").focus()
    asking.keyboard.press("ArrowRight")
    asking.locator("#thresholds > .predict .reveal").click()
    assert asking.locator("#thresholds figure").is_visible()
    assert not asking.locator("#half").is_visible()


def test_answers_are_neither_stored_nor_in_the_address(asking):
    answer(asking, "thresholds", "number")
    asking.locator("#contents a").nth(1).click()
    wait_for_address(asking, "#thresholds?dtype=float32&x=60")
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"
    assert asking.evaluate(stored) == [0, 0, ""]
    asking.reload()
    assert not asking.locator("#thresholds figure").is_visible()


def test_a_printed_page_hides_the_answers_that_are_not_shown(asking):
    answer(asking, "vectors", "choice")
    asking.emulate_media(media="print")
    assert asking.locator("#vectors figure").is_visible()
    assert not asking.locator("#vectors details p").first.is_visible()
    question = asking.locator("#thresholds > .predict")
    assert question.locator("p").first.is_visible()
    assert not asking.locator("#thresholds .words").is_visible()
    assert not asking.locator("#limits").is_visible()  # the summary
    for part in ("[role=slider]", "[role=spinbutton]", "button"):
        assert not question.locator(part).first.is_visible()
    space = question.evaluate("e => parseFloat(getComputedStyle(e, '::after').height)")
    assert space > 30
    asking.keyboard.press("r")
    assert asking.locator("#thresholds .words").is_visible()
    assert asking.locator("#vectors details p").first.is_visible()
    assert asking.locator("#limits").is_visible()


def test_without_scripts_questions_and_results_can_be_read(browser, address):
    with open_page(browser, "file:", offline=True, java_script_enabled=False) as (page, _):
        page.goto(address)
        for step in STEPS:
            assert page.locator(f"#{step} > .predict > p").first.is_visible()
            assert page.locator(f"#{step} .figure").is_visible()
        assert page.locator("#vectors figure pre").is_visible()
        assert not page.locator("#vectors figcaption").is_visible()
        question, program = (
            page.locator(f"#half {part}").bounding_box() for part in ("> .predict", ".codes")
        )
        assert question["y"] + question["height"] <= program["y"]
        assert page.locator("#vectors > .predict li").all_inner_texts()[1] == "inf"


def test_a_result_that_is_known_later_can_be_added(asking):
    box = asking.locator("#thresholds > .predict")
    box.evaluate("e => delete e.dataset.truth")
    box.get_by_role("spinbutton").fill("50")
    box.get_by_role("button").click()
    assert outcome(asking, "thresholds") == "You said 50."
    assert box.locator(".mark.series-truth").count() == 0
    box.evaluate("e => tell(e, 60)")
    assert outcome(asking, "thresholds") == "You said 50; measured: 60."
    assert box.locator(".mark.series-truth").count() == 1


@pytest.mark.parametrize("screen", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_questions_and_figures(browser, address, theme, screen):
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    size = {"viewport": {"width": WIDTHS[screen], "height": 900}, "color_scheme": theme}
    with open_page(browser, "file:", offline=True, **size) as (page, complaints):
        page.goto(address)
        found = []
        for shown in (False, True):
            if shown:
                answer(page, "half", "choice")
                show_answers(page)
                page.locator("#half").get_by_role("button", name="Copy link").click()
            parts = [".predict", ".step figure .inputs", ".share", ".topbar", ".cover"]
            result = axe.run(page, {"include": [[part] for part in parts]}, {"resultTypes": ["violations"]})
            found += [(v["id"], v["nodes"][0]["html"][:200]) for v in result["violations"]]
        assert found == []
        assert complaints == []


# Logits


def value(page, i):
    return float(page.get_by_label(f"z{i}, as a number", exact=True).input_value())


def test_logits_are_dragged_by_pointer(page):
    area = page.locator("#logit-bars .bar-slider").first
    area.scroll_into_view_if_needed()
    handle = page.get_by_role("slider", name="z0", exact=True)
    drag(page, area, (0.5, 0.5), (0.8, 0.5), (0.9, 2.0))
    expected = 120 * 0.8 * area.bounding_box()["width"] / (area.bounding_box()["width"] - 28)
    assert value(page, 0) == pytest.approx(expected, abs=1)
    assert page.locator("#cards [data-loss=naive] .loss").inner_text() == "inf"
    assert handle.get_attribute("aria-valuenow") == f"{value(page, 0):g}"
    assert center(handle.bounding_box())[0] == pytest.approx(
        area.bounding_box()["x"] + 0.9 * area.bounding_box()["width"], abs=3
    )
    drag(page, area, (0.5, 0.5), (-0.2, 0.5))
    assert value(page, 0) == -120
    assert (value(page, 1), value(page, 2)) == (0, 0)


def test_logits_are_moved_by_keyboard(page):
    handle = page.get_by_role("slider", name="z1", exact=True)
    handle.focus()
    for key, expected in (
        ("ArrowRight", 0.5),
        ("Shift+ArrowUp", 5.5),
        ("ArrowLeft", 5),
        ("End", 120),
        ("ArrowRight", 120),
        ("Home", -120),
    ):
        page.keyboard.press(key)
        assert value(page, 1) == expected
        assert plain(handle.get_attribute("aria-valuetext")) == f"{expected:g}, the true class"
        assert handle.evaluate("e => e === document.activeElement")
    page.locator("#half").get_by_role("radio", name="float16", exact=True).check()
    assert (handle.get_attribute("aria-valuemax"), handle.get_attribute("aria-valuenow")) == ("24", "-24")
    page.locator("#true-class").get_by_role("radio").first.check()
    assert handle.get_attribute("aria-valuetext") == "\N{MINUS SIGN}120"


def next_above(x, dtype):
    if dtype == "bfloat16":
        return (np.float32(x).view(np.uint32) + np.uint32(1 << 16)).view(np.float32)
    return np.nextafter(np.dtype(dtype).type(x), np.dtype(dtype).type(np.inf))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_presets_are_on_both_sides_of_each_threshold(page, dtype):
    def loss(name, x):
        return float(evaluate(LOSSES[name], of_type([[x, 0, 0]], dtype), [1])[0][0])

    conditions = (
        lambda x: np.isfinite(loss("naive", x)),
        lambda x: loss("clipped", x) == loss("shifted", x),
        lambda x: np.isfinite(loss("shifted", x)),
    )
    page.locator("#half").get_by_role("radio", name=dtype, exact=True).check()
    buttons = page.locator("#cliffs button")
    assert buttons.count() == 6
    for i, holds in enumerate(conditions):
        for j, expected in ((0, True), (1, False)):
            buttons.nth(2 * i + j).click()
            assert [value(page, 1), value(page, 2)] == [0, 0]
            assert holds(value(page, 0)) == expected
        below, above = (float(buttons.nth(2 * i + j).inner_text()) for j in (0, 1))
        assert above == pytest.approx(below + 0.01) or of_type(above, dtype) == next_above(below, dtype)
    if dtype == "float32":
        assert buttons.all_inner_texts() == ["88.72", "88.73", "16.11", "16.12", "103.97", "103.98"]


def test_every_choice_of_a_type_has_the_same_four(page):
    groups = page.locator("[data-controls] [role=radiogroup]")
    assert groups.count() == 4
    for group in groups.all():
        assert group.locator("label").all_inner_texts() == list(DTYPES)


# Addresses


def wait_for_address(page, fragment):
    for _ in range(60):
        if page.url.partition("#")[2] == fragment.lstrip("#"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the address is {page.url}, expected {fragment}")


def selected(page):
    """The state of the page."""
    return page.evaluate("JSON.parse(JSON.stringify({ ...state, losses: [...state.losses] }))")


def test_the_address_has_the_step_and_the_settings_that_it_shows(page):
    page.locator("#contents a").nth(2).click()
    wait_for_address(page, "#half?dtype=float32&losses=naive,clipped,stable&z=20,0,0&label=1")
    page.locator("#half").get_by_role("radio", name="float16", exact=True).check()
    page.get_by_label("z0, as a number", exact=True).fill("12")
    wait_for_address(page, "#half?dtype=float16&losses=naive,clipped,stable&z=12,0,0&label=1")
    page.keyboard.press("Escape")
    page.locator("#cure h2").evaluate("e => e.scrollIntoView()")
    wait_for_address(page, "#cure")
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")


def test_a_link_opens_a_step_with_its_settings(browser, address):
    with open_page(browser, "file:", offline=True) as (page, complaints):
        page.goto(f"{address}#half?dtype=bfloat16&z=12,-1.5,1e2&label=2&losses=padded")
        assert page.locator("#half h2").evaluate("e => e === document.activeElement")
        state = selected(page)
        assert (state["dtype"], state["z"], state["label"]) == ("bfloat16", [12, -1.5, 100], 2)
        assert state["losses"] == ["padded"]
        show_answers(page)
        assert page.locator("#half").get_by_role("radio", name="bfloat16").is_checked()
        assert value(page, 2) == 100
        page.evaluate("location.hash = '#tiny?gap=30&dtype=float64'")
        page.locator("#tiny-readout", has_text="[30, 0] in float64").wait_for()
        assert page.locator("#tiny h2").evaluate("e => e === document.activeElement")
        page.evaluate("location.hash = '#training'")  # a link without settings leaves them
        assert selected(page)["gap"] == 30
        assert complaints == []


HOSTILE = (
    "#half?z=<img src=x onerror=alert(1)>,0,0&dtype=float16",
    "#half?z=%3Cscript%3Ealert(1)%3C/script%3E,0,0&dtype=float16",
    "#half?dtype=float16&dtype=__proto__&z=NaN,Infinity,1e999",
    "#half?dtype=float128&label=7&z=1,2",
    "#half?label=1.5&losses=naive,evil&z=,,",
    "#half?z=0x10,1,2&label=&scale=50",
    "#half?__proto__=1&constructor=2&toString",
    "#half?%E0%A4%A",
    "#half?&&==?=&?",
    "#<img src=x onerror=alert(1)>?dtype=float16",
    "#data?dtype=float16",
    "#%",
    "#quiet?seed=77&vector=__proto__&run=steep",
    f"#half?z={'9' * 5000},0,0",
)


@pytest.mark.parametrize("fragment", HOSTILE)
def test_an_invalid_address_is_ignored(browser, address, fragment):
    with open_page(browser, "file:", offline=True) as (page, complaints):
        page.goto(address)
        default, elements = selected(page), page.locator("body *:not(svg *)").count()
        page.goto("about:blank")
        page.goto(address + fragment)
        page.wait_for_timeout(100)
        state = selected(page)
        valid = "dtype=float16" in fragment and fragment.startswith("#half") and "__proto__" not in fragment
        assert state == default | ({"dtype": "float16"} if valid else {})
        assert page.locator("body *:not(svg *)").count() == elements
        page.evaluate(f"location.hash = {json.dumps(fragment)}")
        page.wait_for_timeout(100)
        show_answers(page)
        assert complaints == []


def test_quick_changes_write_the_address_only_a_few_times(page):
    page.locator("#contents a").nth(3).click()
    page.evaluate(
        """() => {
            window.writes = 0;
            const write = history.replaceState.bind(history);
            history.replaceState = (...rest) => { window.writes += 1; write(...rest); };
        }"""
    )
    page.get_by_label("scale", exact=True).focus()
    for _ in range(100):
        page.keyboard.press("ArrowRight")
    wait_for_address(page, "#gradient?dtype=float32&losses=naive,clipped,stable&scale=70")
    assert 1 <= page.evaluate("window.writes") <= 30


# Copies

RECORDER = """Object.defineProperty(navigator, "clipboard", {
    value: { writeText: async (words) => { window.copied = words; } },
})"""
SETTINGS = {
    "vectors": ["vector=moderate", "vector=overflow", "vector=extreme"],
    "thresholds": [f"dtype={dtype}&x={x}" for dtype in DTYPES for x in (-3.5, 12, 88.73, 1e30)],
    "half": [
        f"dtype={dtype}&z={z}&label={label}&losses=naive,shifted,clipped,padded,stable"
        for dtype, (z, label) in itertools.product(
            DTYPES, (("20,0,0", 1), ("88.73,0,-3", 1), ("2,1,0", 0), ("1e39,0,0", 0), ("-7.7,3.1,0.3", 2))
        )
    ],
    "gradient": [
        f"dtype={dtype}&scale={scale}&losses={losses}"
        for dtype, scale, losses in itertools.product(DTYPES, (15.3, 17), ("clipped,stable", "padded"))
    ],
    "training": ["run=unscaled&losses=naive,clipped", "run=unscaled64&losses=stable"],
    "quiet": ["seed=0", "seed=1"],
    "tiny": [f"dtype={dtype}&gap={gap}" for dtype in DTYPES for gap in (0, 5.6, 20, 40)],
    "not-cured": [""],
    "cure": [""],
}


def numbers(words):
    """The numbers of a text, by line; texts that are not numbers are left out."""
    found = []
    for line in words.splitlines():
        row = []
        for word in line.replace(",", " ").replace("=", " ").replace("[", " ").replace("]", " ").split():
            try:
                row.append(float(word))
            except ValueError:
                continue
        found.append(row)
    return found


def quantity(word):
    """A number, a percentage or "none"."""
    return number(word[:-1]) / 100 if word.endswith("%") else number(word.replace("none", "nan"))


def shown(page, step):
    """The numbers that a step shows, in the order in which its code prints them."""
    texts = lambda selector: page.locator(selector).all_inner_texts()  # noqa: E731
    if step == "vectors":
        return [[number(v) for v in row.split()] for row in texts("#vector-table tbody tr")]
    if step == "thresholds":
        return [[number(v)] for v in texts("#threshold-readout b")]
    if step == "half":
        return [
            [
                number(card.locator(".loss").inner_text()),
                *(
                    number(v)
                    for v in card.locator(".value").evaluate_all("all => all.map(e => e.textContent)")
                ),
            ]
            for card in page.locator("#cards article").all()
        ]
    if step in ("gradient", "training"):
        rows = page.locator(f"#{step}-table tbody tr").all()
        cells = [row.locator("td").all_inner_texts() for row in rows]
        return [[quantity(v.split()[0]) for v in row] for row in cells]
    if step == "tiny":
        values = [number(v) for v in texts("#tiny-readout b")]
        return [values[:2], values[2:]]
    description = page.locator(f"#{step} figure svg[role=img]").first.get_attribute("aria-label")
    percentages = lambda part: [float(v or "nan") for v in re.findall(r"(\d+)%|none", part)]  # noqa: E731
    if step == "quiet":
        return [percentages(part) for part in description.split("Stable")]
    return [[v] for v in percentages(description)]


@pytest.mark.parametrize("step", STEPS)
def test_the_copied_code_prints_the_numbers_of_the_page(browser, address, step):
    with open_page(browser, "file:", offline=True, viewport={"width": 1280, "height": 900}) as (
        page,
        complaints,
    ):
        page.add_init_script(RECORDER)
        page.goto(address)
        show_answers(page)
        for settings in SETTINGS[step]:
            page.evaluate(f"location.hash = '#{step}?{settings}'")
            page.wait_for_timeout(50)
            page.locator(f"#{step}").get_by_role("button", name="Copy as NumPy code").click()
            assert page.locator(f"#{step} .status").inner_text() == "Copied."
            code, printed = page.evaluate("window.copied"), io.StringIO()
            with redirect_stdout(printed):
                exec(compile(code, step, "exec"), {})
            found = [row for row in numbers(printed.getvalue()) if row]
            expected = shown(page, step)
            if step == "thresholds":
                found = found[:3]
            if step in ("quiet", "not-cured", "cure"):  # the page shows percentages
                found = [
                    [np.floor(100 * v + 0.5) for v in (row[1:] if step == "quiet" else row[:1])]
                    for row in found
                ]
                expected = [row[-len(found[0]) :] for row in expected]
            for printed_row, page_row in zip(found, expected, strict=True):
                np.testing.assert_allclose(printed_row, page_row, rtol=6e-3, atol=0)
        assert complaints == []


@pytest.mark.parametrize("step", STEPS)
def test_a_copied_link_opens_the_same_step_with_the_same_settings(browser, address, step):
    with open_page(browser, "file:", offline=True, viewport={"width": 1280, "height": 900}) as (
        page,
        complaints,
    ):
        page.add_init_script(RECORDER)
        for settings in SETTINGS[step][-2:]:
            page.goto("about:blank")
            page.goto(f"{address}#{step}?{settings}")
            show_answers(page)
            before = selected(page)
            page.locator(f"#{step}").get_by_role("button", name="Copy link").click()
            link = page.evaluate("window.copied")
            assert link.startswith(f"{address}#{step}")
            page.goto("about:blank")
            page.goto(link)
            assert selected(page) == before
            assert page.locator(f"#{step} h2").evaluate("e => e === document.activeElement")
        assert complaints == []


@pytest.mark.parametrize(
    "clipboard", ["undefined", "{ writeText: () => Promise.reject(new DOMException('', 'NotAllowedError')) }"]
)
def test_a_text_that_cannot_be_copied_is_selected_in_a_field(browser, address, clipboard):
    with open_page(browser, "file:", offline=True) as (page, complaints):
        page.add_init_script(f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})")
        page.goto(address)
        show_answers(page)
        page.locator("#tiny").get_by_role("button", name="Copy as NumPy code").click()
        field = page.get_by_label("Text to copy")
        assert field.input_value() == page.evaluate("CODE.tiny()")
        assert field.evaluate("e => e === document.activeElement && e.selectionEnd === e.value.length")
        page.keyboard.press("p")  # in the field, a letter is not a key of the page
        page.keyboard.press("ArrowRight")
        assert page.locator("#vectors").is_visible()
        page.locator("#tiny").get_by_role("button", name="Copy link").click()
        assert "#tiny?dtype=float32&gap=20" in field.input_value()
        assert complaints == []


def test_the_page_works_in_a_frame_without_an_address(browser, address, tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe sandbox="allow-scripts" src="{address}#half" width="900" height="900"></iframe>'
    )
    with open_page(browser, "file:", offline=True) as (page, complaints):
        page.goto(frame.as_uri())
        lesson = page.frame_locator("iframe")
        lesson.get_by_role("button", name="Show all answers").click()
        lesson.get_by_label("z0, as a number", exact=True).fill("12")
        page.wait_for_timeout(600)
        lesson.locator("#half").get_by_role("button", name="Copy link").click()
        lesson.locator("#half .status", has_text="cop").wait_for()
        assert complaints == []


def test_every_step_has_a_link_and_code_to_copy(page):
    for step in STEPS:
        names = page.locator(f"#{step} .share button").all_inner_texts()
        assert names == ["Copy link", "Copy as NumPy code"]
    assert page.evaluate("SHOWN") == list(SHOWN)
