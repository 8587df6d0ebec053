"""Debian's chromium without a window, told what to do over two pipes: for tests of pages, and for nothing else."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--mute-audio"),
    *("--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
PATIENCE = 60.0


class Browser:
    """One tab."""

    def __init__(self, say: int, hear: int) -> None:
        self.say, self.hear = say, hear
        self.held, self.count, self.session = b"", 0, None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One command and its answer; what the page says meanwhile is kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.say, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def open(self, path: Path, width: int = 1280, height: int = 900) -> float:
        """Load a file; how many seconds until it was there, as the browser counts them."""
        self.size(width, height)
        self.errors.clear()
        self.requests.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + PATIENCE
        while self.run("document.readyState") != "complete" or self.run("location.href") == "about:blank":
            assert time.monotonic() < deadline, "the page does not load"
            time.sleep(0.02)
        return self.run("performance.getEntriesByType('navigation')[0].duration") / 1000

    def size(self, width: int, height: int) -> None:
        """Of the window."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def likes(self, scheme: str) -> None:
        """What the system says of colours: dark or light."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key, where the focus is."""
        code = {"Enter": 13, " ": 32, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "Escape": 27}[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        name = "Space" if key == " " else key
        said = {"key": key, "code": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **said, **({} if text is None else {"text": text}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is, scrolled into view."""
        found = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect(); "
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return found[0], found[1]

    def point(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """A real click in the middle of an element."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def shot(self, path: Path, selector: str | None = None) -> bytes:
        """A picture of the whole page, or of an element."""
        clip = {}
        if selector is not None:
            box = self.run(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
                "return [b.left + scrollX, b.top + scrollY, b.width, b.height]; })()"
            )
            clip = {"clip": dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)}
            clip["clip"]["scale"] = 1
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)["data"]
        path.write_bytes(base64.b64decode(data))
        return path.read_bytes()

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.held:
            ready, _, _ = select.select([self.hear], [], [], PATIENCE)
            assert ready, "chromium does not answer"
            more = os.read(self.hear, 1 << 20)
            assert more, "chromium is gone"
            self.held += more
        line, _, self.held = self.held.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        match said.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str(params["args"]))
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.errors.append(f"a dialog: {params['message']}")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps everything in ``folder``, and is gone afterwards."""
    assert CHROMIUM is not None
    its, ours = os.pipe(), os.pipe()
    command = f'exec "$0" "$@" 3<&{its[0]} 4>&{ours[1]}'
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(its[0], ours[1]),
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its[0])
    os.close(ours[1])
    try:
        yield Browser(its[1], ours[0])
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(its[1])
        os.close(ours[0])
