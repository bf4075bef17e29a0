"""Headless Chromium, driven through a pipe: pages at any width, in dark, in print; keys, pictures.

    with Browser() as browser:
        tab = browser.open(Path("report.html"), width=390, dark=True)
        tab.evaluate("document.title")
        tab.press("Tab")
        tab.screenshot(most_px=2000)     # the bytes of a PNG
        tab.errors, tab.requests         # of its console; of addresses other than the page's

The browser speaks the Chrome DevTools protocol with file descriptors 3 and 4, so that no package
and no port is needed: messages are JSON and end with a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb"),
    "--remote-debugging-pipe",
)
_SECONDS = 60
_CODES = {"Tab": 9, "Enter": 13, " ": 32}


class Browser:
    """A browser without a screen, ended with the block."""

    def __enter__(self) -> Browser:
        if CHROMIUM is None:
            raise ValueError(f"Chromium: expected one of {', '.join(_NAMES)}, found none")
        self._profile = tempfile.mkdtemp(prefix="chromium")
        theirs, self._write = os.pipe()
        self._read, answers = os.pipe()
        # above 4, so that none of them is overwritten below
        held = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (theirs, answers)]
        self._pid = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *_OPTIONS, f"--user-data-dir={self._profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, held[0], 3),
                (os.POSIX_SPAWN_DUP2, held[1], 4),
            ],
        )
        for one in (theirs, answers, *held):
            os.close(one)
        self._waiting = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._send("Browser.close", {}, None)
        os.waitpid(self._pid, 0)
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)  # a child may still be writing to it

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> Tab:
        """A page, loaded.

        Args:
            page: its file.
            width, height: of the window in px.
            dark: whether dark colours are preferred.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, target, attached["sessionId"], page.resolve().as_uri())
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.resize(width, height)
        tab.emulate(dark=dark)
        tab.call("Page.navigate", url=tab.address)
        self.wait_for(tab.session, "Page.loadEventFired")
        # what a script does after the load, such as a map, is drawn in the next frames
        tab.evaluate("new Promise(done => setTimeout(done, 60))")
        return tab

    def call(self, method: str, session: str | None = None, /, **arguments: Any) -> dict[str, Any]:
        """The answer of the browser to a command."""
        number = self._send(method, arguments, session)
        while True:
            message = self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def wait_for(self, session: str, method: str) -> None:
        """Until an event of a tab has come."""
        while not any(e["method"] == method and e.get("sessionId") == session for e in self.events):
            self.events.append(self._receive())

    def _send(self, method: str, arguments: Mapping[str, Any], session: str | None) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        message |= {} if session is None else {"sessionId": session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        return self._number

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._read], [], [], max(until - time.monotonic(), 0))
            more = os.read(self._read, 1 << 20) if ready else b""
            if not more:
                raise RuntimeError(f"Chromium did not answer within {_SECONDS} s, or has ended")
            self._waiting += more
        first, _, self._waiting = self._waiting.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message


class Tab:
    """An open page."""

    def __init__(self, browser: Browser, target: str, session: str, address: str) -> None:
        self._browser, self._target = browser, target
        self.session, self.address = session, address

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The answer of the browser to a command about this page."""
        return self._browser.call(method, self.session, **arguments)

    def resize(self, width: int, height: int) -> None:
        """Make the window that large, px."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def emulate(self, *, dark: bool = False, medium: str = "screen") -> None:
        """Prefer dark or light colours, on a screen or in print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, once a promise is kept.

        Raises:
            RuntimeError: where the expression throws.
        """
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key: Tab, Enter or the space."""
        told: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": _CODES[key]}
        text = {"Enter": "\r", " ": " "}.get(key)
        down = {"type": "rawKeyDown"} if text is None else {"type": "keyDown", "text": text}
        self.call("Input.dispatchKeyEvent", **down, **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def screenshot(self, *, most_px: int = 0) -> bytes:
        """A PNG of the page from its top; most_px: its largest height, 0: that of the page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], most_px or size["height"])
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def errors(self) -> list[str]:
        """What scripts threw, and the warnings and errors of the console."""
        found = []
        for event in self._events():
            told = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"].get("exception", told)))
            elif event["method"] == "Log.entryAdded":
                found.append(str(told["entry"]["text"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(" ".join(str(one.get("value")) for one in told["args"]))
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, beside its own and the data inside it."""
        asked = [
            str(event["params"]["request"]["url"])
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if url != self.address and not url.startswith("data:")]

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _events(self) -> list[dict[str, Any]]:
        return [e for e in self._browser.events if e.get("sessionId") == self.session]
