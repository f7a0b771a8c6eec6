"""A headless Chromium for the tests of a page; conftest.py has the fixture.

The tests control it by its DevTools protocol over two pipes, so that the page gets real keys, mouse and touch events.
"""

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60  # seconds for one answer: the machine may be busy


class Chromium:
    """One tab without network: ``requests`` lists what a page asks for in addition to its file, and all of it fails."""

    def __init__(self, program: str, profile: str):
        (to_read, self.write), (self.read, to_write) = os.pipe(), os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
        options += ["--hide-scrollbars", "--proxy-server=127.0.0.1:1", f"--user-data-dir={profile}", "about:blank"]
        # The browser reads file descriptor 3 and writes 4.
        shell = f'exec 8<&{to_read} 9>&{to_write}; exec 3<&8 4>&9 8<&- 9>&-; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *options],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self.numbers = itertools.count(1)
        self.received = b""
        self.events: list[dict[str, Any]] = []
        self.session: dict[str, str] = {}
        (target,) = [one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        self.session = {}
        with contextlib.suppress(BrokenPipeError):
            self.send("Browser.close")
        os.close(self.write)
        os.close(self.read)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def message(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.read], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self.read, 1 << 20) if ready else b""
            assert part, "Chromium has ended, or does not answer"
            self.received += part
        text, _, self.received = self.received.partition(b"\0")
        return json.loads(text)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.write, json.dumps(command).encode() + b"\0")
        while (answer := self.message()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def wait(self, event: str) -> None:
        while not any(one["method"] == event for one in self.events):
            self.events.append(self.message())

    def open(
        self,
        page: Path,
        width: int = 1200,
        height: int = 900,
        *,
        dark: bool = False,
        script: bool = True,
        hash: str = "",
    ) -> None:
        """Loads a page again, in a window of that size, with its script or without."""
        self.send("Page.navigate", url="about:blank")
        mobile = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.events = []
        self.send("Page.navigate", url=page.as_uri() + hash)
        self.wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def centre(self, selector: str) -> tuple[float, float]:
        """The centre of an element, after scrolling to it."""
        x, y, width, height = self.run(
            f"""(() => {{
              const one = document.querySelector({json.dumps(selector)});
              one.scrollIntoView({{ block: "center" }});
              const {{ x, y, width, height }} = one.getBoundingClientRect();
              return [x, y, width, height];
            }})()"""
        )
        return x + width / 2, y + height / 2

    def drag(self, selector: str, by: float, *, finger: bool = False) -> None:
        """Drags the middle of an element to the right by so many pixels."""
        x, y = self.centre(selector)
        places = [x, x + by / 2, x + by]
        if finger:  # which does not move level, and a page that is not told otherwise would be scrolled
            for kind, place in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
                drift = 2 * abs(place - x)
                self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": place, "y": y + drift}])
            self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **button)
        for place in places[1:]:
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=place, y=y, **button)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=places[-1], y=y, **button)

    @property
    def requests(self) -> list[str]:
        """The addresses that the page has asked for since it was opened."""
        return [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[str]:
        """The messages of the console, and errors that were not caught."""
        said = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [json.dumps(one["params"]) for one in self.events if one["method"] in said]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing = "Chromium is not there: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        browser = Chromium(program, profile)
        try:
            yield browser
        finally:
            browser.close()
