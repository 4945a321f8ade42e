"""A real browser, driven through the DevTools protocol."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
LIMIT = 60.0
"""Seconds: all plots of a page take one or two, and as many as 30 were not enough where other tests took both cores."""
SHOWN = "(document.body ? document.body.innerText : '')"


class PageLeftError(Exception):
    """The page went away for another one before it could answer."""


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket
        self._loop = loop
        self._calls = 0
        self.problems: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), LIMIT))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == self._calls:
                if "navigated" in message.get("error", {}).get("message", ""):
                    raise PageLeftError
                assert "error" not in message, message
                return dict(message["result"])
            if "method" not in message:
                continue  # the answer to a call that was given up
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            level = message["params"].get("entry", {}).get("level")
            if message["method"] == "Runtime.exceptionThrown" or level == "error":
                self.problems.append(json.dumps(message["params"]))

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = LIMIT) -> Any:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            with suppress(PageLeftError):
                found = self.value(expression)
                if found:
                    return found
                self.value("new Promise((done) => setTimeout(done, 20))")
        raise AssertionError(f"never true: {expression}")

    def wait_for_text(self, *texts: str, seconds: float = LIMIT) -> str:
        """Wait until the page shows all of `texts`, and return all that it shows."""
        try:
            return str(self.wait(f"{json.dumps(texts)}.every((text) => {SHOWN}.includes(text)) && {SHOWN}", seconds))
        except AssertionError as problem:
            problem.add_note(f"{self.value('location.href')} shows: {self.value(SHOWN)}")
            problem.add_note(f"its problems: {self.problems[-5:]}")
            raise

    def open_for_text(self, address: str, *texts: str) -> str:
        """Open somebody else's page, and again where it has not shown all of `texts` by then; return all it shows."""
        for _ in range(3):
            self.call("Page.navigate", url="about:blank")
            self.call("Page.navigate", url=address)
            with suppress(AssertionError):
                return self.wait_for_text(*texts, seconds=LIMIT / 3)
        return self.wait_for_text(*texts)


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Yield a tab of a Chromium that keeps its files in the folder `profile`, and end it afterwards."""
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen([str(CHROMIUM), *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    loop = asyncio.new_event_loop()
    try:
        address = next(found[1] for line in process.stderr if (found := re.search(r"ws://(127\.0\.0\.1:\d+)/", line)))

        async def connect() -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
            session = aiohttp.ClientSession()
            async with session.get(f"http://{address}/json") as answer:
                tab = next(tab for tab in await answer.json() if tab["type"] == "page")
            return session, await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)

        session, socket = loop.run_until_complete(connect())
        tab = Browser(socket, loop)
        for domain in ("Runtime", "Log", "Page", "Network"):
            tab.call(f"{domain}.enable")
        yield tab
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
        loop.close()
