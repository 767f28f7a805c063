"""A headless Chromium driven over its DevTools protocol through a pipe: no driver, no library, no open port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_KEYS = {"Tab": 9, "Enter": 13, "ArrowDown": 40, " ": 32}


def found() -> str | None:
    """The browser of this machine, or the one that TESTS_CHROMIUM names."""
    named = os.environ.get("TESTS_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def needed() -> str:
    """The same; a test without one is skipped, or fails where TESTS_NEED_BROWSER says that there has to be one."""
    program = found()
    if program is not None:
        return program
    why = "no Chromium here (apt-get install chromium, or name one in TESTS_CHROMIUM)"
    if os.environ.get("TESTS_NEED_BROWSER"):
        pytest.fail(why)
    pytest.skip(why)


class Browser:
    """One browser process; `page` opens a page of its own with its own language and colours."""

    def __init__(self, program: str, profile: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def place_pipes() -> None:
            os.dup2(theirs_in, 203)
            os.dup2(theirs_out, 204)
            os.dup2(203, 3)
            os.dup2(204, 4)

        arguments = [
            program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
            "--force-color-profile=srgb", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=place_pipes, start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its answer. Raises RuntimeError with the browser's words."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self.read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def read(self) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self._rest:
            chunk = os.read(self._in.fileno(), 1 << 16)
            if not chunk:
                raise RuntimeError("the browser is gone")
            self._rest += chunk
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def page(
        self,
        width: int = 1280,
        height: int = 900,
        *,
        language: str = "en",
        dark: bool = False,
        script: bool = True,
        script_policy: bool = True,
    ) -> Page:
        """A page of its own; `script_policy` False lets a test run its own script in spite of the site's policy."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.call("Page.enable")
        page.call("Runtime.enable")
        page.call("Log.enable")
        page.call("Page.setBypassCSP", enabled=not script_policy)
        page.call("Emulation.setScriptExecutionDisabled", value=not script)
        page.call("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage=language)
        page.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )
        page.resize(width, height)
        return page

    def close(self) -> None:
        """End the browser and everything it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._in.close()
        self._out.close()


class Page:
    """One open page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this page."""
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int) -> None:
        """Of this size; a narrow one is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def go(self, address: str) -> None:
        """Open an address and wait until everything is there."""
        self._browser.events.clear()
        self.call("Page.navigate", url=address)
        self._until_loaded()

    def _until_loaded(self) -> None:
        while not any(
            event.get("sessionId") == self._session and event.get("method") == "Page.loadEventFired"
            for event in self._browser.events
        ):
            self._browser.events.append(self._browser.read())

    def press(self, key: str, *, leads_on: bool = False, **modifiers: int) -> None:
        """One key; with `leads_on` another page is waited for."""
        self._browser.events.clear()
        code = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS.get(key, 0), **modifiers}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        if leads_on:
            self._until_loaded()

    def submit(self, script: str) -> None:
        """Run a script that leads to another page, and wait for it."""
        self._browser.events.clear()
        self.call("Runtime.evaluate", expression=script)
        self._until_loaded()

    def value(self, expression: str) -> Any:
        """What an expression is worth on the page, waited for if it is a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )  # fmt: skip
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """What the browser logged as an error about this page: what was not found, what the policy forbade."""
        return [
            str(event["params"]["entry"]["text"])
            for event in self._browser.events
            if event.get("sessionId") == self._session
            and event.get("method") == "Log.entryAdded"
            and event["params"]["entry"]["level"] == "error"
        ]

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A picture of the page as it is shown, by default down to its end."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
            answer = self.call(
                "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
            )  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(answer["data"]))
