"""Measure a server: requests per second and their times with 1, 8 and 64 clients: python benchmarks/serve.py BUNDLE."""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from tune_sentiment.data.dataset import load_dataset


@dataclass
class Client:
    """Asks one request after the other over one connection, and writes down how long each took."""

    address: str
    bodies: list[bytes]
    seconds: list[float] = field(default_factory=list)
    errors: int = 0

    def ask_until(self, end: float) -> None:
        """Ask until `end` (`time.perf_counter()`); an answer that is not 200, or none, is an error."""
        place = urlsplit(self.address).netloc
        connection = http.client.HTTPConnection(place, timeout=60)
        number = 0
        while (began := time.perf_counter()) < end:
            try:
                connection.request("POST", "/predict", self.bodies[number % len(self.bodies)])
                response = connection.getresponse()
                response.read()
                self.errors += response.status != 200
            except (OSError, http.client.HTTPException):
                self.errors += 1
                connection.close()  # the next request opens it again
            self.seconds.append(time.perf_counter() - began)
            number += 1
        connection.close()


def load(address: str, bodies: list[bytes], num_clients: int, seconds: float) -> str:
    """Return one line about `num_clients` that ask for `seconds`, each with other reviews."""
    clients = [Client(address, bodies[number::num_clients]) for number in range(num_clients)]
    began = time.perf_counter()
    threads = [threading.Thread(target=client.ask_until, args=(began + seconds,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    times = 1000 * np.concatenate([client.seconds for client in clients])
    median, slow = np.percentile(times, [50, 99])
    errors = sum(client.errors for client in clients)
    return f"| {num_clients} | {len(times):,} | {len(times) / took:,.0f} | {median:.1f} ms | {slow:.1f} ms | {errors} |"


def main() -> None:
    """Start a server, print one line per number of clients, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--data", default="demo", help="source whose test split is asked")
    parser.add_argument("--seconds", type=float, default=60, help="for each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--texts", type=int, default=1, help="reviews per request")
    parser.add_argument("--replicas", type=int, default=1)
    options = parser.parse_args()
    bodies = questions(options.data, options.texts)
    command = [sys.executable, "-m", "tune_sentiment", "serve", options.bundle, "--port", "0"]
    command += ["--replicas", str(options.replicas)]
    print(f"reviews a request: {options.texts}, replicas: {options.replicas}, load before: {os.getloadavg()[0]:.1f}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().removeprefix("serving at ").strip()
            load(address, bodies, 8, 3)  # the first answers of a process are slower
            print("| clients | requests | requests/s | p50 | p99 | errors |\n|---|---|---|---|---|---|")
            for num_clients in options.clients:
                print(load(address, bodies, num_clients, options.seconds), flush=True)
        finally:
            server.terminate()


def questions(source: str, texts: int) -> list[bytes]:
    """Return the bodies of requests with `texts` reviews each, as long as those of the test split."""
    dataset = load_dataset(source)
    names = np.array(["", *dataset.vocabulary.words, "unheard"])
    reviews = [" ".join(names[one]) for one in np.split(dataset.test.token_ids, dataset.test.offsets[1:-1])]
    starts = range(0, len(reviews) - texts + 1, texts)
    return [json.dumps({"texts": reviews[start : start + texts]}).encode() for start in starts]


if __name__ == "__main__":
    main()
