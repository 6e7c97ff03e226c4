"""The measurements of the lesson, and the text of the page, in which every measured number is computed."""

import dataclasses
import html
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tinyclf import cross_entropy
from tinyclf.teaching import lesson as lesson_module
from tinyclf.teaching import page as page_module
from tinyclf.teaching.arithmetic import DTYPES, gradient_limit, last_float, thresholds, wrong_row
from tinyclf.teaching.experiments import QUIET, STEEP, UNSCALED, Outcome
from tinyclf.teaching.lesson import EPS, LABELS, RUNS, SHOWN, Lesson, Summary, measure, tables
from tinyclf.teaching.naive_losses import LOSSES
from tinyclf.teaching.page import render

TEMPLATE = (files("tinyclf.teaching") / "page" / "lesson.html").read_text("utf-8")


def outcome(**changes):
    plain = Outcome(
        "stable", 0, [1.0, 0.5], [0.2, 0.1], None, 0.25, 0.75, np.full(10, 0.75), np.zeros(10), 0.1
    )
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="module")
def page(lesson):
    return render(lesson)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def words_of(page):
    """The text of a page, without scripts and tags."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


# The measurements


@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_are_the_largest_floats_that_satisfy_their_condition(dtype):
    kind = np.dtype(dtype).type
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
            assert not holds_at(np.nextafter(x, kind(np.inf)))


def test_the_threshold_of_exp_is_the_logarithm_of_the_largest_float():
    for dtype in DTYPES:
        info = np.finfo(dtype)
        np.testing.assert_allclose(
            thresholds(dtype)["exp"], np.log(np.float64(info.max)), rtol=float(info.eps)
        )


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
    ],
)
def test_an_unstable_loss_has_a_gradient_up_to_its_limit_and_no_further(name, dtype, end):
    found = gradient_limit(name, dtype)
    np.testing.assert_allclose(found, end, rtol=1e-4)
    for scale, expected in ((found, True), (np.nextafter(np.dtype(dtype).type(found), np.inf), False)):
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
            assert re.search(rf"{re.escape(LABELS[name])} .*{accuracy}", text)


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
    assert "0 or 2.0611537e-09 the float32 loss of [20, 0]" in words
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
        f"loss finite, but the network learns little: {right('unscaled', 'clipped')} test accuracy",
        f"the network learns: {right('unscaled', 'stable')} test accuracy",
        f"{right('unscaled', 'clipped')} or {right('unscaled', 'stable')} test accuracy with the clipped",
        f"the true loss of its network is {unscaled['clipped'].true:,.0f}",
        f"In the first epoch, {unscaled['clipped'].no_gradient:.0%} of the rows are misclassified and have a "
        "gradient of exactly 0",
        f"becomes inf or nan at {unscaled['naive'].first} in float32 and at "
        f"{runs['unscaled64']['naive'].first} in float64",
        f"happens at {unscaled['shifted'].first} in float32 and at {runs['unscaled64']['shifted'].first} in "
        "float64",
        f"The logits of the untrained networks reach {report['largest_logit']:,.0f}",
        f"upper limit, \N{MINUS SIGN}log 1e-7 = {-np.log(EPS):.1f}.",
        f"agree: {right('quiet', 'naive', '.3f')} and {right('quiet', 'stable', '.3f')}",
        f"accuracies range from {quiet['clipped'].lowest:.3f} to {quiet['clipped'].highest:.3f}",
        f"from {unscaled['textbook'].lowest:.3f} to {unscaled['textbook'].highest:.3f} with the usual form "
        f"and from {unscaled['stable'].lowest:.3f} to {unscaled['stable'].highest:.3f} with the exact one",
        f"{right('steep', 'stable')} test accuracy with the stable loss",
        f"{steep['stable'].ruined} of 2 networks have a test accuracy below one half",
        f"After training, {steep['stable'].dead:.0%} of the hidden units are dead",
        f"The clipped loss reaches {right('steep', 'clipped')} here, and log(p + 1e-7) "
        f"{right('steep', 'padded')}.",
        f"{min(scaled):.1%} to {max(scaled):.1%} test accuracy with each of the losses",
        f"reports {report['reported']:.1f}; the true loss is {report['true']:,.1f}",
        f"at most {report['cap32']:.2f} in float32 and {report['cap64']:.2f} in float64",
        f"is {offset[0]:.6f} that way, and {offset[1]:.6f} when",
        f"p \N{MINUS SIGN} 1 is {tiny['textbook'][1][0]:.8g}, while minus the sum of the other "
        f"probabilities is {tiny['stable'][1][0]:.8g}",
        "Made by a <b> & c with",
    ):
        assert sentence in words


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


def test_no_measured_number_is_typed_into_the_template():
    text = re.sub(r"\{[^}]*\}", "", TEMPLATE)  # remove the fields that are filled in
    text = re.sub(r"<(pre|head)\b.*?</\1>", "", text, flags=re.DOTALL)
    words = words_of(text)
    for name in ("float16", "float32", "float64", "log1p"):
        words = words.replace(name, "")
    inputs = {"[2, -1]", "[0, -1000]", "[1, 0]", ", 0]"}  # logits and targets, not results
    for known in inputs:
        words = words.replace("\N{MINUS SIGN}", "-").replace(known, "")
    assert set(re.findall(r"-?\d[\d.,]*(?<![.,])", words)) <= {"0", "1"}


def test_only_the_stable_loss_is_correct_at_scale_12_in_float16(page):
    answer = "Only \N{LEFT DOUBLE QUOTATION MARK}stable, from logits\N{RIGHT DOUBLE QUOTATION MARK}."
    assert f"still correct at scale 12? {answer}" in words_of(page)


def test_the_code_at_the_end_of_the_page_is_correct(page):
    code = html.unescape(re.search(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)[1])
    names = {"np": np}
    exec(code, names)
    rng = np.random.default_rng(0)
    for scale in (1, 30, 1000):
        z = scale * rng.normal(size=5)
        np.testing.assert_allclose(names["cross_entropy"](z, 2), cross_entropy([z], [2])[0], rtol=1e-12)


def test_the_page_loads_nothing_from_the_network(page):
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


def test_the_packed_digits_are_those_of_scikit_learn(page):
    packed, digits = data_of(page)["digits"], load_digits()
    pixels = re.sub("[A-Z]", lambda zeros: "a" * (ord(zeros[0]) - ord("A") + 1), packed["pixels"])
    np.testing.assert_array_equal([ord(c) - ord("a") for c in pixels], digits.data.ravel())
    np.testing.assert_array_equal(list(map(int, packed["labels"])), digits.target)
    assert len(packed["pixels"]) < 80_000


def test_every_loss_of_the_lesson_has_a_label():
    assert set(LABELS) == set(LOSSES)
