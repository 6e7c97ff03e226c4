"""The measurements of the lesson, and the text of the page, in which every measured number is computed."""

import dataclasses
import html
import itertools
import json
import re
from functools import partial
from importlib.resources import files

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.numbers import plain
from tinyclf import log_softmax
from tinyclf.estimator.classifier import DOCUMENTATION
from tinyclf.teaching import lesson as lesson_module
from tinyclf.teaching import page as page_module
from tinyclf.teaching.arithmetic import DTYPES, gradient_limit, last_float, thresholds, wrong_row
from tinyclf.teaching.bfloat16 import of_type
from tinyclf.teaching.experiments import QUIET, STEEP, UNSCALED, Outcome
from tinyclf.teaching.lesson import EPS, RUNS, SHOWN, Lesson, Summary, measure, tables
from tinyclf.teaching.naive_losses import LOSSES, evaluate
from tinyclf.teaching.page import render

TEMPLATE = (files("tinyclf.teaching") / "page" / "lesson.html").read_text("utf-8")


def outcome(**changes):
    plain = Outcome(
        "stable",
        0,
        [1.0, 0.5],
        [0.2, 0.1],
        None,
        0.25,
        0.75,
        recall=np.full(10, 0.75),
        predicted=np.zeros(450, int),
        stuck=np.zeros(10),
        dead=0.1,
    )
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="module")
def page(lesson):
    return render(lesson)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def words_of(page):
    """The text of a page, without scripts and tags, and with numbers as Python writes them."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return plain(" ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split()))


# The measurements


def next_above(x, dtype):
    """The next number of the type; bfloat16 numbers are float32 numbers with 16 bits less."""
    if dtype == "bfloat16":
        return of_type((np.float32(x).view(np.uint32) + np.uint32(1 << 16)).view(np.float32), dtype)
    return np.nextafter(x, x.dtype.type(np.inf))


@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_are_the_largest_floats_that_satisfy_their_condition(dtype):
    kind = partial(of_type, dtype=dtype)
    holds = {
        "exp": lambda x: np.isfinite(np.exp(x)),
        "sum": lambda x: np.isfinite(np.exp(np.repeat(x, 10)).sum()),
        "vanish": lambda x: np.exp(-x) > 0,
        "beside_one": lambda x: np.log(kind(1) + np.exp(-x)) > 0,
    }
    found = thresholds(dtype)
    assert set(found) == set(holds)
    with np.errstate(all="ignore"):
        for name, holds_at in holds.items():
            x = kind(found[name])
            assert x == found[name]
            assert holds_at(x)
            assert not holds_at(next_above(x, dtype))


def test_the_threshold_of_exp_is_the_logarithm_of_the_largest_float():
    for dtype, largest, eps in (
        ("bfloat16", 2.0**128 - 2.0**120, 2.0**-7),
        *((dtype, np.finfo(dtype).max, np.finfo(dtype).eps) for dtype in ("float16", "float32", "float64")),
    ):
        np.testing.assert_allclose(thresholds(dtype)["exp"], np.log(np.float64(largest)), rtol=float(eps))


def test_the_last_float_is_0_or_the_smallest_subnormal_if_the_condition_holds_only_at_0():
    assert last_float(lambda x: x == 0, "float32") <= np.finfo("float32").smallest_subnormal


@pytest.mark.parametrize(
    ("name", "dtype", "end"),
    [
        ("naive", "float32", 88.72),
        ("clipped", "float32", 16.118),
        ("padded", "float32", 103.97),
        ("naive", "float64", 709.78),
        ("clipped", "float64", 16.118),
        ("naive", "bfloat16", 88.5),
        ("clipped", "bfloat16", 16.0),
    ],
)
def test_an_unstable_loss_has_a_gradient_up_to_its_limit_and_no_further(name, dtype, end):
    found = gradient_limit(name, dtype)
    np.testing.assert_allclose(found, end, rtol=1e-4)
    for scale, expected in ((found, True), (float(next_above(of_type(found, dtype), dtype)), False)):
        gradient = wrong_row(scale, name, dtype)[1]
        assert (np.isfinite(gradient).all() and gradient.any()) == expected


def test_the_stable_loss_has_a_gradient_up_to_the_end_of_the_search():
    for dtype in DTYPES:
        top = gradient_limit("stable", dtype)
        assert top >= 512
        np.testing.assert_array_equal(wrong_row(top, "stable", dtype)[1], [1.0, -1.0])


def test_a_summary_has_the_means_over_its_seeds():
    seeds = [
        outcome(accuracy=0.9, curve=[2.0, 1.0], no_gradient=[0.4, 0.0], true_loss=1.0),
        outcome(
            accuracy=0.3,
            curve=[4.0, 2.0],
            no_gradient=[0.2, 0.0],
            true_loss=3.0,
            recall=np.r_[0, 0.05, np.ones(8)],
        ),
    ]
    s = Summary(seeds)
    assert (s.accuracy, s.lowest, s.highest) == (pytest.approx(0.6), 0.3, 0.9)
    assert s.curve.tolist() == [3.0, 1.5]
    assert (s.reported, s.true, s.no_gradient) == (1.5, 2.0, pytest.approx(0.3))
    assert (s.broken, s.first, s.forgotten, s.ruined) == (0, "never", 2, 1)


def test_a_summary_of_nonfinite_runs_has_no_accuracy_and_names_their_first_steps():
    nan = float("nan")
    s = Summary(
        [outcome(accuracy=nan, first_nonfinite_step=step, recall=np.full(10, nan)) for step in (7, 3, 5)]
    )
    assert np.isnan(s.accuracy)
    assert (s.broken, s.first, s.forgotten, s.ruined) == (3, "step 3 to 7", 0, 3)
    assert Summary(s.outcomes[:1]).first == "step 7"
    mixed = Summary([*s.outcomes, outcome(accuracy=0.5)])
    assert (mixed.accuracy, mixed.lowest, mixed.broken) == (0.5, 0.5, 3)
    assert np.isnan(mixed.highest)


def test_every_run_is_measured_with_each_loss_and_seed(lesson):
    assert set(lesson.runs) == set(RUNS)
    for run, (*_, names) in RUNS.items():
        assert list(lesson.runs[run]) == list(names)
        for name, summary in lesson.runs[run].items():
            assert [(o.name, o.seed) for o in summary.outcomes] == [(name, 0), (name, 1)]
            assert len(summary.curve) == 2


def test_progress_is_reported_for_every_training_run(monkeypatch):
    seen = []

    def track(outcomes, total, what):
        for o in outcomes:
            seen.append((o.name, total, what))
            yield o

    monkeypatch.setattr(
        lesson_module,
        "RUNS",
        {"unscaled": (dataclasses.replace(UNSCALED, epochs=1), "float32", ("naive", "stable"))},
    )
    monkeypatch.setattr(lesson_module, "_arithmetic", lambda seeds: {})
    assert measure(5, 2, track).seeds == [5, 6]
    assert seen == 2 * [("naive", 4, "training"), ("stable", 4, "training")]


def test_the_tables_contain_every_step_and_its_numbers(lesson):
    text = "\n".join(tables(lesson))
    assert re.findall(r"^(\d)\.", text, re.MULTILINE) == list("1234556789")
    assert max(map(len, text.splitlines())) <= 115
    assert "88.722832" in text
    for run, summaries in lesson.runs.items():
        assert str(RUNS[run][0]) in text
        for name, s in summaries.items():
            accuracy = "none" if np.isnan(s.accuracy) else f"{s.accuracy:.3f}"
            assert re.search(rf"{name} .*{accuracy}", text)


# The page


def test_the_data_in_the_page_are_the_measured_runs(lesson, page):
    data = data_of(page)
    assert data["seeds"] == [0, 1]
    for run, summaries in lesson.runs.items():
        assert data["runs"][run]["setup"] == str(RUNS[run][0])
        for name, s in summaries.items():
            for o, shown in zip(s.outcomes, data["runs"][run]["losses"][name], strict=True):
                assert float(shown["accuracy"]) == pytest.approx(o.accuracy, nan_ok=True)
                assert float(shown["true"]) == pytest.approx(o.true_loss, nan_ok=True)
                assert shown["first"] == o.first_nonfinite_step
                for part in ("curve", "no_gradient", "recall"):
                    np.testing.assert_allclose(np.array(shown[part], float), getattr(o, part), rtol=1e-3)


def test_the_text_of_the_page_contains_the_measured_numbers(lesson, page):
    words = words_of(page)
    unscaled = lesson.runs["unscaled"]
    assert f"{unscaled['clipped'].accuracy:.0%} or {unscaled['stable'].accuracy:.0%}" in words
    assert f"a loss of {unscaled['clipped'].reported:.1f}; the true loss of its network is" in words
    assert f"{lesson.runs['quiet']['clipped'].forgotten} of 20 digits forgotten" in words
    assert "0 or 2.0611537e-09 the float32 loss of [20, 0], where the true class is the first" in words
    assert "means of 2 seeds, 0 to 1" in words
    assert lesson.made_with() in words
    assert "{" not in words
    assert "None" not in words


def test_each_sentence_contains_the_number_of_the_right_run_and_loss(lesson):
    """The results are made up and all different, so that a number from another run or loss fails the test."""
    runs, numbers = {}, iter(range(10, 99))
    for run, summaries in lesson.runs.items():
        runs[run] = {}
        for name, s in summaries.items():
            accuracies = next(numbers) / 100, next(numbers) / 100
            made_up = zip(s.outcomes, accuracies, strict=True)
            runs[run][name] = Summary(
                [dataclasses.replace(o, accuracy=a, true_loss=1e5 * a, dead=a / 3) for o, a in made_up]
            )
    words = words_of(render(Lesson(lesson.seeds, lesson.arithmetic, runs), "a <b> & c"))

    def right(run, name, form=".0%"):
        return format(runs[run][name].accuracy, form)

    steep, quiet, unscaled = runs["steep"], runs["quiet"], runs["unscaled"]
    scaled = [s.accuracy for s in runs["scaled"].values()]
    report, offset, tiny = (lesson.arithmetic[part] for part in ("report", "offset", "tiny"))
    for sentence in (
        f"{right('unscaled', 'clipped')} or {right('unscaled', 'stable')} test accuracy with the clipped",
        f"the true loss of its network is {unscaled['clipped'].true:.0f}",
        f"In the first epoch, {unscaled['clipped'].no_gradient:.0%} of the rows are misclassified and have a "
        "gradient of exactly 0",
        f"becomes inf or nan at training {unscaled['naive'].first} in float32 and at training "
        f"{runs['unscaled64']['naive'].first} in float64",
        f"happens at training {unscaled['shifted'].first} in float32 and at training "
        f"{runs['unscaled64']['shifted'].first} in float64",
        f"the logits of the untrained networks reach {report['largest_logit']:.0f}",
        f"upper limit, -log {EPS:.0e} = {-np.log(EPS):.1f}.",
        f"agree: {right('quiet', 'naive', '.1%')} and {right('quiet', 'stable', '.1%')}",
        f"accuracies range from {quiet['clipped'].lowest:.1%} to {quiet['clipped'].highest:.1%}",
        f"from {unscaled['textbook'].lowest:.1%} to {unscaled['textbook'].highest:.1%} with textbook "
        f"and from {unscaled['stable'].lowest:.1%} to {unscaled['stable'].highest:.1%} with stable ,",
        f"{right('steep', 'stable')} test accuracy with the stable loss",
        f"{steep['stable'].ruined} of 2 networks have a test accuracy below one half",
        f"After training, {steep['stable'].dead:.0%} of the hidden units are dead",
        f"The clipped loss reaches {right('steep', 'clipped')} here, and the padded loss "
        f"{right('steep', 'padded')}.",
        f"{min(scaled):.1%} to {max(scaled):.1%} test accuracy with each of the losses",
        f"reports {report['reported']:.1f}; the true loss is {report['true']:.1f}",
        f"at most {report['cap32']:.2f} in float32 and {report['cap64']:.2f} in float64",
        f"is {offset[0]:.6f} that way, and {offset[1]:.6f} when",
        f"p t - 1 is {tiny['textbook'][1][0]:.8g}, while minus the sum of the other "
        f"probabilities is {tiny['stable'][1][0]:.8g}",
        "Made by a <b> & c with",
    ):
        assert sentence in words


def test_numbers_are_written_in_one_way(page):
    text = re.sub(r"<(head|code|pre|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    words = html.unescape(re.sub(r"<[^>]*>", " ", text))
    assert "\N{MINUS SIGN}" in words
    assert "10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT SEVEN}" in words
    assert re.findall(r"(?<!\w)-(?:\d|inf).*|\d[eE][-+\N{MINUS SIGN}]?\d.*|\d,\d{3}\b.*", words) == []


@pytest.mark.parametrize(
    ("python", "printed"),
    [
        ("-2.0611537e-09", "\N{MINUS SIGN}2.0611537\u00d710\u207b\u2079"),
        ("1e-07", "10\u207b\u2077"),
        ("[1e+20, -1e+00]", "[10\u00b2\u2070, \N{MINUS SIGN}10\u2070]"),
        ("3.1e-07", "3.1\u00d710\u207b\u2077"),
        ("-inf, nan, 16.1", "\N{MINUS SIGN}inf, nan, 16.1"),
        ("float32, 88.72", "float32, 88.72"),
    ],
)
def test_numbers_have_minus_signs_and_powers_of_ten(python, printed):
    assert page_module._typeset(python) == printed
    assert plain(printed) == python


def test_the_interpretation_in_the_text_depends_on_the_results(lesson):
    def story(run, **accuracies):
        summaries = {
            name: Summary([dataclasses.replace(o, accuracy=accuracies.get(name, 0.5)) for o in s.outcomes])
            for name, s in lesson.runs[run].items()
        }
        return words_of(render(Lesson(lesson.seeds, lesson.arithmetic, {**lesson.runs, run: summaries})))

    assert "This is accidental gradient clipping" in story("steep", padded=0.9, stable=0.8)
    assert "With other seeds they may be better" in story("steep", padded=0.7, clipped=0.8, stable=0.8)
    assert " 97.6% test accuracy with each of the losses" in story("scaled", **dict.fromkeys(SHOWN, 0.976))
    some = dataclasses.replace(lesson.runs["quiet"]["clipped"].outcomes[0], recall=np.r_[0.0, np.ones(9)])
    none = dataclasses.replace(some, recall=np.ones(10))
    for outcomes, sentence in (
        ([some, none], "1 of 20 digits"),
        ([none, none], "None of these networks forgot"),
    ):
        quiet = {**lesson.runs["quiet"], "clipped": Summary(outcomes)}
        words = words_of(render(Lesson(lesson.seeds, lesson.arithmetic, {**lesson.runs, "quiet": quiet})))
        assert sentence in words
        assert ("None of these networks forgot" in words) == (outcomes[0] is none)


def test_after_training_the_rows_of_a_forgotten_digit_are_misclassified_and_have_no_gradient():
    _, o = QUIET.train("clipped", 6)
    forgotten = o.recall < 0.1
    assert forgotten.sum() >= 1
    assert o.stuck[forgotten].min() > 0.9
    assert o.stuck[o.recall > 0.9].max() < 0.1
    assert Summary([o]).stuck == pytest.approx(o.stuck[forgotten].mean())


def test_dead_units_are_0_for_all_training_rows():
    network, o = STEEP.train("stable", 0)
    X, *_ = STEEP.data(0)
    hidden = np.maximum(X @ network.parameters[0].W + network.parameters[0].b, 0)
    assert o.dead == np.mean(hidden.max(axis=0) == 0)
    assert o.dead > 0.5


def test_data_cannot_close_the_script_element_that_contains_them():
    text = page_module._json({"a": "</script><b>", "b": [np.nan, np.inf, -np.inf, 1.0, np.float32(0.5)]})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>", "b": ["nan", "inf", "-inf", 1, 0.5]}


def test_other_results_give_another_page(lesson, page):
    changed = {
        run: {
            name: Summary(
                [
                    dataclasses.replace(o, accuracy=o.accuracy * 0.9, curve=[v + 1 for v in o.curve])
                    for o in s.outcomes
                ]
            )
            for name, s in summaries.items()
        }
        for run, summaries in lesson.runs.items()
    }
    other = render(Lesson([7, 8], lesson.arithmetic, changed))
    assert words_of(other) != words_of(page)
    assert f"{changed['unscaled']['stable'].accuracy:.0%}" in words_of(other)
    assert "seeds, 7 to 8" in words_of(other)
    assert render(lesson) == page


def test_the_result_of_each_choice_is_one_of_its_answers(page):
    choices = re.findall(r'data-predict="choice" data-truth="([^"]*)"[^>]*>(.*?)</ul>', page, re.DOTALL)
    assert len(choices) == page.count('data-predict="choice"') - len(
        re.findall(r"//.*data-predict=.choice", page)
    )
    for truth, answers in choices:
        values = re.findall(r'<li data-value="([^"]*)"', answers)
        assert len(set(values)) == len(values) > 1
        assert truth in values


def test_no_measured_number_is_typed_into_the_template():
    text = re.sub(r"\{[^}]*\}", "", TEMPLATE)  # remove the fields that are filled in
    text = re.sub(r"<(pre|head)\b.*?</\1>", "", text, flags=re.DOTALL)
    words = words_of(text)
    for name in ("float16", "float32", "float64", "log1p"):
        words = words.replace(name, "")
    inputs = {"[2, -1]", "[0, -1000]", "[1, 0]", ", 0]"}  # logits and targets, not results
    for known in inputs:
        words = words.replace(known, "")
    assert set(re.findall(r"-?\d[\d.,]*(?<![.,])", words)) <= {"0", "1"}


def test_only_the_stable_loss_is_correct_at_scale_12_in_float16(page):
    [truth] = re.findall(r'still correct for \[12, 0\]\?</summary>\s*<div [^>]*data-truth="([^"]*)"', page)
    assert truth == "stable"


@pytest.fixture(scope="module")
def programs(page):
    """The functions that the page shows."""
    names = {"np": np}
    for code in re.findall(r"<pre[^>]*><code>(def .*?)</code></pre>", page, re.DOTALL):
        exec(html.unescape(code), names)
    return names


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_each_program_of_the_page_computes_the_loss_that_it_is_named_for(programs, name, dtype):
    rng = np.random.default_rng(0)
    rows = [scale * rng.normal(size=5) for scale in (0.1, 1, 5, 20, 100, 300, 2000)]
    rows += [[20, 0], [0, 20], [1e4, 1e4], [-1000, 1000], [100.0]]
    eps = np.finfo(dtype).eps
    for row, t in itertools.product(rows, (0, 1)):
        z = np.array(row, dtype)
        with np.errstate(all="ignore"):
            found = programs[name](z.copy(), min(t, len(z) - 1))
        expected = evaluate(LOSSES[name], [z], [min(t, len(z) - 1)])[0][0]
        assert found.dtype == dtype
        if name == "stable":  # tinyclf computes it in float64 and rounds it to float32
            near = {"rtol": 4 * float(eps), "atol": float(np.finfo(dtype).smallest_normal)}
            np.testing.assert_allclose(found, expected.astype(dtype), **near)
        else:
            np.testing.assert_array_equal(found, expected)


def test_the_six_lines_of_log_softmax_are_accurate_for_large_logits(programs, page):
    assert re.search(r"def log_softmax\(z\):(\n    .*){5}\n\n", page)
    for z in ([-1000.0, 1000.0, -1000.0, 5.0, 10.0, 0.001], [1e4 + 2, 1e4 - 1]):
        np.testing.assert_allclose(programs["log_softmax"](np.array(z)), log_softmax([z])[0], rtol=1e-12)


def test_the_page_starts_with_the_digit_that_a_network_recognizes_worst(lesson):
    y = QUIET.data(0)[3]
    image = QUIET.data(0)[1][y == 3]

    def start(digit, answer, quiet=True, others=1.0):
        """The words and the data of a page, where a network is wrong at one digit only."""
        predicted = np.where(y == digit, answer, y)
        recall = np.array([np.mean(predicted[y == d] == d) for d in range(10)])
        o = lesson.runs["quiet"]["clipped"].outcomes[0]
        right = dataclasses.replace(o, predicted=y, recall=np.ones(10), accuracy=others)
        wrong = dataclasses.replace(o, predicted=predicted, recall=recall, accuracy=0.9)
        worse = dataclasses.replace(wrong, accuracy=0.8, seed=1)
        runs = dict(lesson.runs)
        for run in ("quiet", "unscaled"):
            outcomes = [right, worse, wrong] if (run == "quiet") == quiet else [right, right]
            runs[run] = {**runs[run], "clipped": Summary(outcomes)}
            runs[run]["stable"] = Summary([right, dataclasses.replace(right, seed=1)])
        other = render(Lesson(lesson.seeds, lesson.arithmetic, runs))
        return words_of(other), data_of(other)["opening"]

    n = len(image)
    for quiet in (True, False):
        words, opening = start(3, 5, quiet)
        assert f"90% of the test images correctly, but 0 of the {n} images of the digit 3. It never" in words
        assert f"It classifies {n} of these {n} images correctly." in words
        np.testing.assert_array_equal(load_digits().data[opening["images"]], image)
        assert opening["answers"] == [5] * n
        assert ("for seed 0, the network at the start" in words) == quiet
    some = np.where(np.arange(450) % 2, y, 8)
    words, opening = start(3, some, False, 0.7)
    assert "It never answers" not in words
    assert "Why is it worse at this digit" in words
    assert opening["answers"] == some[y == 3].tolist()


def test_links_lead_to_files_of_the_project(page, root):
    links = re.findall(rf'<a href="((?:{DOCUMENTATION}|https://github.com/tinyclf)/[^"]+)"', page)
    assert len(links) >= 7
    for link in links:
        site = re.fullmatch(rf"{re.escape(DOCUMENTATION)}/(.+)\.html", link)
        path = (
            f"docs/{site[1]}.md"
            if site
            else link.removeprefix("https://github.com/tinyclf/tinyclf/blob/main/")
        )
        assert (root / path).is_file(), link


def test_a_preview_of_a_link_has_a_title_a_description_and_a_picture(page, root):
    preview = dict(re.findall(r'<meta (?:property|name)="(?:og|twitter):([\w:]+)" content="([^"]+)">', page))
    assert set(preview) == {"type", "title", "description", "image", "image:alt", "url", "card"}
    assert preview["card"] == "summary_large_image"
    assert (root / "docs" / preview["image"].removeprefix(f"{DOCUMENTATION}/")).is_file()


def test_the_page_loads_nothing_from_the_network(page):
    # The addresses of links and previews are not loaded.
    page = re.sub(r'<meta property="og:\w+" content="[^"]*">|<a href="[^"]*">', "", page)
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"http://www\.w3\.org/2000/svg", "", page))
    assert not re.findall(r'\b(?:src|srcset|data-src)\s*=\s*"(?!data:)', page)
    assert "<link" not in re.sub(r'<link rel="icon" href="data:,">', "", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_page_with_ten_seeds_and_all_epochs_is_smaller_than_500_kilobytes(lesson):
    curve = np.random.default_rng(0).random(30).tolist()
    runs = {
        run: {
            name: Summary([dataclasses.replace(s.outcomes[0], curve=curve, no_gradient=curve)] * 10)
            for name, s in summaries.items()
        }
        for run, summaries in lesson.runs.items()
    }
    assert len(render(Lesson(list(range(10)), lesson.arithmetic, runs)).encode()) < 500_000


def test_no_two_scripts_declare_the_same_name():
    """All scripts of a page share one scope: a second declaration of a name stops its whole script."""
    folder = files("tinyclf.teaching") / "page"
    pattern = r"^(?:async )?(?:const|let|function|class) (\w+)|^const \[(.*?)\]"
    scripts = [(folder / name).read_text("utf-8") for name in page_module.SCRIPTS]
    names = [a or b for text in scripts for a, b in re.findall(pattern, text, re.MULTILINE)]
    assert len(names) > 100
    assert len(set(names)) == len(names)


def test_the_packed_digits_are_those_of_scikit_learn(page):
    packed, digits = data_of(page)["digits"], load_digits()
    pixels = re.sub("[A-Z]", lambda zeros: "a" * (ord(zeros[0]) - ord("A") + 1), packed["pixels"])
    np.testing.assert_array_equal([ord(c) - ord("a") for c in pixels], digits.data.ravel())
    np.testing.assert_array_equal(list(map(int, packed["labels"])), digits.target)
    assert len(packed["pixels"]) < 80_000
