"""The site builds without a warning, has a page for each public name, and works in a browser."""

import functools
import re
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import pytest

import tinyclf
from tests.support.browser import open_browser, open_page
from tinyclf.dask import DaskTinyClassifier
from tinyclf.estimator.classifier import DOCUMENTATION

MODULES = ("callbacks", "dask", "displays", "functional", "gradcheck", "onnx", "teaching")
PAGES = (
    "index.html",
    "tutorials/first_classifier.html",
    "how_to/migrating.html",
    "explanation/benchmarks.html",
    "explanation/lesson.html",
    "explanation/lesson_page.html",
    "reference/index.html",
    "reference/generated/tinyclf.TinyClassifier.html",
    "examples.html",
    "gallery/lesson3_half_a_fix.html",
    "gallery/monitor_training.html",
    "search.html?q=log_softmax",
)
WIDTHS = {"desktop": 1280, "phone": 390}
# The parts of a page that should not need a horizontal scroll bar, but do.
TOO_WIDE = """[...document.querySelectorAll("html, main, main .bd-article-container, main article")]
    .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.tagName)"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def documented_names(root):
    return re.findall(r"^   ([\w.]+)$", (root / "docs" / "reference" / "index.md").read_text(), re.M)


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    """The folder of the site."""
    packages = "numpydoc", "myst_parser", "pydata_sphinx_theme", "sphinx_gallery", "latex2mathml", "skrub"
    for package in packages:
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", out]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 0, run.stderr
    return out


@pytest.fixture(scope="module")
def home(site):
    """The address of the site on a local server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


def test_the_reference_lists_each_public_name_once(root):
    names = documented_names(root)
    assert len(names) == len(set(names))
    assert sorted(name for name in names if "." not in name) == tinyclf.__all__
    for module in MODULES:
        members = vars(import_module(f"tinyclf.{module}"))
        for name in members.get("__all__", [name for name in documented_names(root) if name in members]):
            assert f"{module}.{name}" in names or name in names


@pytest.mark.browser
def test_each_public_name_has_a_page(root, site):
    for name in documented_names(root):
        page = (site / "reference" / "generated" / f"tinyclf.{name}.html").read_text(encoding="utf-8")
        assert f'id="tinyclf.{name}"' in page
    for model in (tinyclf.TinyClassifier(), DaskTinyClassifier()):
        link = model._get_doc_link()
        assert (site / link.removeprefix(f"{DOCUMENTATION}/")).exists()


@pytest.mark.browser
def test_links_to_the_repository_lead_to_files(root, site):
    addresses = set()
    for path in site.rglob("*.html"):
        addresses |= set(
            re.findall(r'"https://github\.com/[\w-]+/[\w-]+/(\w+/main/[^"#]+)', path.read_text())
        )
    assert "edit/main/examples/own_layer.py" in addresses
    assert "blob/main/tinyclf/estimator/classifier.py" in addresses
    for address in addresses:
        assert (root / address.split("/", 2)[2]).exists(), address


@pytest.mark.browser
def test_each_page_fits_on_a_phone_and_makes_no_request_to_other_hosts(site, home, browser):
    paths = [
        path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts
    ]
    assert len(paths) > 100
    with open_page(browser, home, viewport={"width": 390, "height": 844}) as (page, complaints):
        for path in paths:
            page.goto(home + path)
            assert page.evaluate(TOO_WIDE) == [], path
            assert page.locator("img:not([alt])").count() == 0, path
            assert complaints == [], path


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_violation(theme, width, home, browser):
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    options = {"viewport": {"width": WIDTHS[width], "height": 900}, "color_scheme": theme}
    with open_page(browser, home, **options) as (page, complaints):
        found = []
        for path in PAGES:
            page.goto(home + path)
            if path.startswith("search"):
                page.wait_for_selector("#search-results li")
            assert page.evaluate("document.documentElement.dataset.theme ?? 'none'") in (theme, "none")
            for violation in axe.run(page, options={"resultTypes": ["violations"]})["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    nodes = [node["html"][:200] for node in violation["nodes"]]
                    found.append((path, violation["id"], len(nodes), nodes[:3]))
        assert found == []
        assert complaints == []


@pytest.mark.browser
def test_the_search_finds_a_function(home, browser):
    with open_page(browser, home) as (page, complaints):
        page.goto(f"{home}search.html?q=log_softmax")
        page.wait_for_selector("#search-results li")
        page.wait_for_function("document.querySelector('#search-results a[href*=\"tinyclf.log_softmax\"]')")
        assert complaints == []


@pytest.mark.browser
def test_the_lesson_in_the_site_follows_the_theme_of_the_site(home, browser):
    with open_page(browser, home, color_scheme="light") as (page, complaints):
        page.goto(f"{home}explanation/lesson.html")
        lesson = page.frame_locator("iframe.lesson")
        lesson.get_by_role("button", name="Show all answers").click()
        slider = lesson.locator("input[type=range]").first
        slider.focus()
        before = slider.input_value()
        slider.press("ArrowRight")
        assert slider.input_value() != before
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        lesson.locator(":root[data-theme=dark]").wait_for()
        assert complaints == []
