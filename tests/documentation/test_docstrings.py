"""The docstrings of TinyClassifier name every parameter, attribute and argument; its HTML links to them."""

import ast
import inspect
import re
from urllib.parse import unquote

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.externals._numpydoc.docscrape import NumpyDocString
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.estimators import quick
from tinyclf import SGD, Tanh, TinyClassifier
from tinyclf.estimator.classifier import DOCUMENTATION

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True, as_frame=True)
SOFT = np.eye(3)[SPECIES]
DOCUMENTED = NumpyDocString(inspect.getdoc(TinyClassifier))
PARAMETERS = inspect.signature(TinyClassifier).parameters
MODEL = quick(learning_rate="cosine").fit(IRIS, SPECIES)


def fitted_attributes(model):
    return [name for name in dir(model) if name.endswith("_") and not name.startswith("_")]


FITTED = fitted_attributes(MODEL)


def names_in(section):
    return [name.lstrip("*") for entry in section for name in entry.name.split(", ")]


def test_parameters_are_documented_in_the_order_of_the_signature():
    assert names_in(DOCUMENTED["Parameters"]) == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_documented_with_their_defaults(name):
    (entry,) = (entry for entry in DOCUMENTED["Parameters"] if entry.name == name)
    kind, default = re.fullmatch(r"(\S.*), default=(.+)", entry.type).groups()
    value = ast.literal_eval(default)
    assert value == PARAMETERS[name].default
    assert type(value) is type(PARAMETERS[name].default)
    assert kind
    assert "".join(entry.desc).strip()


def test_attributes_are_documented():
    assert sorted(names_in(DOCUMENTED["Attributes"])) == FITTED
    assert all("".join(entry.desc).strip() for entry in DOCUMENTED["Attributes"])


@pytest.mark.parametrize(
    ("parameters", "y"),
    [
        ({"early_stopping": True}, SPECIES),
        ({"solver": "lbfgs"}, SPECIES),
        ({"soft_targets": True}, 0.7 * SOFT + 0.1),
        ({}, SOFT),
        ({}, SPECIES == 0),
    ],
)
def test_every_kind_of_fit_sets_the_same_attributes(parameters, y):
    assert fitted_attributes(quick(**parameters).fit(IRIS, y)) == FITTED


def test_partial_fit_sets_the_same_attributes():
    model = quick().partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
    assert fitted_attributes(model) == FITTED


METHODS = [name for name in dir(TinyClassifier) if not name.startswith("_") and not name.endswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_methods_document_every_argument_in_order(name):
    method = getattr(TinyClassifier, name)
    documented = NumpyDocString(inspect.getdoc(method))
    arguments = [argument for argument in inspect.signature(method).parameters if argument != "self"]
    assert sorted(names_in(documented["Parameters"])) == sorted(arguments)
    if name in vars(TinyClassifier):
        assert names_in(documented["Parameters"]) == arguments
    assert documented["Returns"] or name == "save"


def test_the_documentation_link_leads_to_the_page_of_the_class():
    page = "reference/generated/tinyclf.TinyClassifier.html"  # test_site.py checks that it is built
    assert TinyClassifier()._get_doc_link() == f"{DOCUMENTATION}/{page}"


def links(page):
    """The links to entries of a docstring in a page, by name."""
    found = re.findall(r'class="param-doc-link"[^>]*href="([^"]*)#:~:text=([^",]*),-([^"]*)"', page)
    return {name: (base, unquote(kind)) for base, name, kind in found}


def test_the_html_has_a_link_for_every_parameter_and_attribute():
    kinds = {entry.name: entry.type for part in ("Parameters", "Attributes") for entry in DOCUMENTED[part]}
    found = links(MODEL._repr_html_())
    assert {name: found.get(name) for name in [*PARAMETERS, *FITTED]} == {
        name: (MODEL._get_doc_link(), kinds[name]) for name in [*PARAMETERS, *FITTED]
    }


def test_the_html_shows_the_changed_parameters():
    model = quick(activation=[Tanh()], solver=SGD(0.1))
    page = model._repr_html_()
    changed = re.findall(r'<tr class="user-set">.*?<td class="value">(.*?)</td>', page, re.DOTALL)
    assert "Not fitted" in page
    assert len(changed) == 6  # those of quick, and these two
    assert "[Tanh()]" in changed
    assert any(value.startswith("SGD(learning_") for value in changed)
    assert "<span>Fitted</span>" in model.fit(IRIS, SPECIES)._repr_html_()
    assert model._get_doc_link() in make_pipeline(StandardScaler(), model)._repr_html_()
    with config_context(display="text"):
        assert not hasattr(model, "_repr_html_")


def test_hints_name_packages_to_install_and_no_extra_of_tinyclf(root):
    # tinyclf is on no package index; in a checkout, `pip install '.[fast]'` installs an extra.
    pages = [*root.glob("*.md"), *(p for f in ("tinyclf", "docs", "examples") for p in (root / f).rglob("*"))]
    pages = [page for page in pages if page.suffix in (".py", ".md", ".html") and page.stem != "onnx"]
    assert len(pages) > 80
    for page in pages:
        assert not re.search(r"pip install (-\S+ )*['\"]?tinyclf\b", page.read_text(encoding="utf-8")), page
