"""A headless Chromium for the tests of pages, and a page that records errors and requests to other hosts."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = [
    "--no-sandbox",  # not available to root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host can be resolved
]


@contextmanager
def open_browser():
    """Yield a playwright browser; skip the test where playwright or Chromium is not installed.

    Only one may be open at a time: call it in a fixture with module scope.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser, home, **options):
    """Yield a page, and a list that collects its console errors, exceptions and requests to other hosts.

    Requests whose address starts with ``home``, "file:" or "http://127.0.0.1:", are allowed. The options are
    those of ``browser.new_context``.
    """
    complaints = []
    context = browser.new_context(**options)
    try:
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and complaints.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))

        def record(request):
            if not request.url.startswith((home, "data:", "blob:", "about:")):
                complaints.append(f"request: {request.url}")

        page.on("request", record)  # not page.route, which disables the cache
        yield page, complaints
    finally:
        context.close()
