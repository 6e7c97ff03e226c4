"""Headless browsers for the tests of pages, and pages that record errors and requests to other hosts.

Playwright drives Chromium. It cannot drive the Firefox of a distribution. `open_firefox` speaks WebDriver
BiDi, the protocol of the W3C that is part of Firefox.
"""

import itertools
import json
import re
import shutil
import subprocess
import threading
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


FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

PREFERENCES = {
    "network.proxy.type": 1,  # a proxy that does not exist: no other host can be reached
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
}


class FirefoxPage:
    """A tab of Firefox, with two methods of playwright's pages: ``goto`` and ``evaluate``."""

    def __init__(self, socket, home, complaints):
        self.socket, self.home, self.complaints = socket, home, complaints
        self.numbers = itertools.count(1)
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.context = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method, **params):
        """Send a command; return its result, and record the events that arrive before it."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=300))
            if message["type"] == "event":
                self.record(message["method"], message["params"])
            elif message["id"] == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]

    def record(self, event, params):
        if event == "log.entryAdded" and params["level"] == "error":
            self.complaints.append(f"{params['type']}: {params['text']}")
        url = params.get("request", {}).get("url", self.home)
        if not url.startswith((self.home, "data:", "blob:", "about:")):
            self.complaints.append(f"request: {url}")

    def goto(self, address):
        self.send("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def evaluate(self, function, argument=None):
        """Call a JavaScript function; return its result or that of its promise, as JSON represents it."""
        call = f"(async () => JSON.stringify((await ({function})({json.dumps(argument)})) ?? null))()"
        target = {"context": self.context}
        answer = self.send("script.evaluate", expression=call, target=target, awaitPromise=True)
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])


@contextmanager
def open_firefox(home, folder):
    """Yield a `FirefoxPage` and a list of its complaints, as `open_page` does.

    The test is skipped where websockets or Firefox is not installed. ``folder`` is an empty folder for the
    profile of Firefox.
    """
    client = pytest.importorskip("websockets.sync.client")
    if FIREFOX is None:
        pytest.skip("no Firefox is installed")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (folder / "user.js").write_text("\n".join(lines), "utf-8")
    command = [FIREFOX, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        drain = threading.Thread(target=process.stderr.read)  # a full pipe would stop Firefox
        try:
            found = (re.search(r"BiDi listening on (ws://\S+)", line) for line in process.stderr)
            address = next((match[1] for match in found if match), None)
            assert address, "Firefox ended without listening"
            drain.start()
            with client.connect(f"{address}/session", max_size=None, proxy=None) as socket:
                complaints = []
                yield FirefoxPage(socket, home, complaints), complaints
        finally:
            process.terminate()
            if drain.is_alive():
                drain.join()
