"""Load a server while it is harmed: 64 clients, half of them sending rubbish, replicas killed twice.

python benchmarks/serve_load.py BUNDLE [--seconds 300] [--clients 64] [--kills 2]
"""

import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tune_sentiment.data.demo import demo_reviews
from tune_sentiment.export.predict import Predictor

RETRIES = 10
"""Times that a good request is sent again after an answer that asks for it (5xx) or none."""
PATIENCE_SECONDS = 60.0


def rubbish(chance: random.Random) -> tuple[str, str, bytes, set[int]]:
    """Return a request that cannot be answered, and the statuses that are right answers to it."""
    noise = chance.randbytes(chance.randint(0, 2000))
    kinds: list[tuple[str, str, bytes, set[int]]] = [
        ("POST", "/predict", noise, {422}),
        ("POST", "/predict", b"[" * chance.randint(1, 200_000), {422}),
        ("POST", "/predict", b'{"texts": ' + json.dumps([1] * chance.randint(1, 50)).encode() + b"}", {422}),
        ("POST", "/predict", json.dumps({"texts": ["a"] * chance.randint(1001, 3000)}).encode(), {422}),
        ("POST", "/predict", b'{"texts": ["' + b"x" * 1_200_000 + b'"]}', {413}),
        ("POST", "/predict", b'{"texts": ["\\ud800"]}', {422}),
        ("GET", "/predict", b"", {405}),
        ("DELETE", "/predict", noise, {405}),
        ("GET", f"/{noise[:30].hex()}", b"", {404}),
        ("POST", "/../../etc/passwd", noise, {400, 404}),
    ]
    return chance.choice(kinds)


@dataclass
class Tally:
    """What one client saw."""

    asked: int = 0
    retried: int = 0
    lost: int = 0
    """Good requests without a right answer after all retries."""
    wrong: int = 0
    """Answers that are not the model's, or statuses that are not right."""
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    oddities: list[str] = field(default_factory=list)


class Client:
    """Sends requests one after the other; `good` ones are checked against the model itself."""

    def __init__(self, address: str, number: int, questions: list[tuple[bytes, list[float]]]) -> None:
        self.place = urlsplit(address).netloc
        self.chance = random.Random(number)
        self.questions = questions
        self.connection = http.client.HTTPConnection(self.place, timeout=PATIENCE_SECONDS)
        self.tally = Tally()

    def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body; 0 if the connection broke."""
        try:
            self.connection.request(method, path, body or None)
            response = self.connection.getresponse()
            found = response.status, response.read()
        except (OSError, http.client.HTTPException) as problem:
            self.connection.close()
            found = 0, type(problem).__name__.encode()
        self.tally.statuses[str(found[0]) if found[0] else found[1].decode()] += 1
        return found

    def good(self) -> None:
        """Ask for reviews and compare the answer with the model's own."""
        body, expected = self.chance.choice(self.questions)
        began = time.perf_counter()
        self.tally.asked += 1
        for attempt in range(RETRIES + 1):
            status, content = self.send("POST", "/predict", body)
            if status == 200:
                told = [one["probability"] for one in json.loads(content)["predictions"]]
                near = [abs(one - wanted) < 1e-5 for one, wanted in zip(told, expected, strict=False)]
                self.tally.wrong += not (len(told) == len(expected) and all(near))
                self.tally.seconds.append(time.perf_counter() - began)
                return
            if 0 < status < 500:
                self.tally.wrong += 1
                self.tally.oddities.append(f"{status} {content[:100]!r} to a good request")
                return
            self.tally.retried += 1
            time.sleep(min(2.0, 0.1 * 2**attempt))
        self.tally.lost += 1

    def bad(self) -> None:
        """Send rubbish, and see it refused with a sentence."""
        method, path, body, right = rubbish(self.chance)
        self.tally.asked += 1
        status, content = self.send(method, path, body)
        if status == 0 or status >= 500:
            self.tally.retried += 1
            # A replica that was killed, or a body that is refused before it is read to its end.
            time.sleep(0.1)
        elif status not in right:
            self.tally.wrong += 1
            self.tally.oddities.append(f"{status} {content[:100]!r} to {method} {path} {body[:30]!r}")

    def until(self, end: float, act: Callable[[], None]) -> None:
        """Go on until `end` (`time.monotonic()`)."""
        while time.monotonic() < end:
            act()
        self.connection.close()


def replicas_below(pid: int) -> list[psutil.Process]:
    """Return the processes that hold the model."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if "ServeReplica" in " ".join(child.cmdline()):
                found.append(child)
    return found


def memory(pid: int) -> dict[str, float]:
    """Return the MB that only the processes of a kind hold."""
    held: dict[str, float] = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.Error):
            name = "server" if process.pid == pid else process.name()
            kind = next((kind for kind in ("ServeReplica", "ProxyActor", "ServeController") if kind in name), name)
            held[kind] = held.get(kind, 0.0) + process.memory_full_info().uss / 1e6
    return held


def load(address: str, server: int, questions: list[tuple[bytes, list[float]]], options: argparse.Namespace) -> None:
    """Run the clients, kill replicas, and print what came of it."""
    clients = [Client(address, number, questions) for number in range(options.clients)]
    end = time.monotonic() + options.seconds
    threads = [
        threading.Thread(target=client.until, args=(end, client.bad if number % 2 else client.good))
        for number, client in enumerate(clients)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    kills = [began + options.seconds * (number + 1) / (options.kills + 1) for number in range(options.kills)]
    killed, samples = 0, []
    while time.monotonic() < end:
        time.sleep(5)
        samples.append(memory(server))
        if kills and time.monotonic() >= kills[0]:
            kills.pop(0)
            for replica in replicas_below(server)[:1]:
                replica.kill()
                killed += 1
    for thread in threads:
        thread.join()
    for name, group in (("good", clients[::2]), ("rubbish", clients[1::2])):
        tallies = [client.tally for client in group]
        statuses = sum((tally.statuses for tally in tallies), Counter())
        print(
            f"{name}: {sum(tally.asked for tally in tallies):,} requests by {len(group)} clients, "
            f"{sum(tally.wrong for tally in tallies)} answered wrong, {sum(tally.lost for tally in tallies)} lost, "
            f"{sum(tally.retried for tally in tallies)} sent again or cut off; {dict(statuses)}"
        )
        times = sorted(1000 * one for tally in tallies for one in tally.seconds)
        if times:
            print(f"good: median {statistics.median(times):.0f} ms, p99 {times[int(0.99 * len(times))]:.0f} ms")
        for oddity in [odd for tally in tallies for odd in tally.oddities][:5]:
            print(f"  {oddity}")
    print(f"replicas killed: {killed}\n\n| process | MB after 30 s | MB at the end | most |\n|---|---|---|---|")
    early, late = samples[5:8] or samples, samples[-3:]
    for kind in sorted({name for one in samples for name in one}):
        first, last = (statistics.median(one.get(kind, 0.0) for one in part) for part in (early, late))
        print(f"| {kind} | {first:.0f} | {last:.0f} | {max(one.get(kind, 0.0) for one in samples):.0f} |")


def main() -> None:
    """Start a server, load and harm it, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=2)
    options = parser.parse_args()
    chance = random.Random(0)
    reviews = [review.text for review in demo_reviews()][:2000]
    probability = dict(zip(reviews, (one.probability for one in Predictor.load(options.bundle).predict(reviews)),
                           strict=True))  # fmt: skip
    questions = []
    for _ in range(400):
        texts = chance.sample(reviews, chance.randint(1, 8))
        questions.append((json.dumps({"texts": texts}).encode(), [probability[text] for text in texts]))
    command = [sys.executable, "-m", "tune_sentiment", "serve", options.bundle, "--port", "0"]
    with subprocess.Popen([*command, "--replicas", str(options.replicas)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            said = server.stdout.readline()
            assert said.startswith("serving at http://"), "the server did not start"
            load(said.removeprefix("serving at ").strip(), server.pid, questions, options)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
