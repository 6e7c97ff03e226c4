"""The page of the lesson in an offline browser."""

import pytest

from tests.support.browser import open_browser, open_page
from tinyclf.teaching.lesson import measure
from tinyclf.teaching.page import render


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def measured():
    """The measurements with two seeds and all epochs; takes some seconds."""
    return measure(0, 2)


@pytest.fixture(scope="session")
def address(measured, tmp_path_factory):
    path = tmp_path_factory.mktemp("lesson") / "lesson.html"
    path.write_text(render(measured), "utf-8")
    return path.as_uri()


@pytest.fixture
def asking(browser, address):
    """The page on a desktop screen; the test fails if the page logs an error or makes a request."""
    with open_page(browser, "file:", offline=True, viewport={"width": 1280, "height": 900}) as (
        page,
        complaints,
    ):
        page.goto(address)
        page.wait_for_selector("#vectors .question")
        yield page
        assert complaints == []


@pytest.fixture
def page(asking):
    """The same page with all answers shown."""
    show_answers(asking)
    return asking


def show_answers(page):
    """Show the results of all steps, as a teacher would."""
    page.keyboard.press("r")
    page.wait_for_selector("[data-chart=scaled] svg")
