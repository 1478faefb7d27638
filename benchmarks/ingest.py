"""How fast spans are acknowledged and queryable, beside two floors and a peer in the same run (floors.py).

A separate process sends requests of 512 spans of nine-span agent traces. First as fast as it can with so many
requests under way, then, with ``--paced``, at 1,000 spans/s and at half and four fifths of the highest rate
that became queryable. Freshness: from a request's acknowledgement until SQL counts its spans. Usage::

    uv run --with arize-phoenix python benchmarks/ingest.py [--spans 1000000] [--in-flight 4 32 128] [--paced]

``--existing 10000000`` fills the database first.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

import floors
import grpc
import phoenix
import traces

from tupletrace.processor.store import Store

PACED_S = 15
PACED_REQUESTS = 100
"""At least: of fewer the slowest one would be the p99."""
WATCH_S = 0.03
GIVEN_BACK_S = 10
"""So long after a load it has given memory back."""


def send(address: str, spans: int, in_flight: int, rate: float) -> dict[str, Any]:
    """Send requests with so many under way at once, at most ``rate`` spans/s; return the answers' times."""
    answers: list[tuple[float, float]] = []
    failures: list[str] = []
    slots = threading.Semaphore(in_flight)
    requests = traces.batches(spans)
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        grpc.channel_ready_future(channel).result(60)
        export = channel.unary_unary(phoenix.EXPORT)
        ready = deque(islice(requests, traces.PATTERNS))
        start = time.monotonic()
        pending: deque[Any] = deque()
        number = 0
        while ready:
            if rate:
                time.sleep(max(start + number * traces.SPANS_A_BATCH / rate - time.monotonic(), 0))
            slots.acquire()
            sent = time.monotonic()
            call = export.future(ready.popleft(), timeout=120)

            def done(finished: Any, sent: float = sent) -> None:
                answers.append((time.monotonic(), time.monotonic() - sent))
                if finished.code() is not grpc.StatusCode.OK:
                    failures.append(f"{finished.code()} {finished.details()}")
                slots.release()

            call.add_done_callback(done)
            pending.append(call)
            while pending and pending[0].done():
                pending.popleft()
            ready.extend(islice(requests, 1))
            number += 1
        for call in pending:
            call.result()
    if failures:
        raise RuntimeError(f"{len(failures)} requests failed: {failures[0]}")
    return {"start": start, "seconds": time.monotonic() - start, "answers": answers}


def sending_process(address: str, spans: int, in_flight: int = 4, rate: float = 0) -> dict[str, Any]:
    """Run ``send`` in a process of its own, so that building and sending do not share our GIL."""
    command = [sys.executable, __file__, "--send", address, "--spans", str(spans)]
    command += ["--in-flight", str(in_flight), "--rate", str(rate)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Processor:
    """A `tupletrace serve` subprocess on free ports; a thread keeps asking it how many spans there are."""

    def __init__(self, database: Path) -> None:
        ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tupletrace.processor.cli", "serve", "--db", str(database), *ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = dict(word.split("=", 1) for word in self._process.stdout.readline().split() if "=" in word)
        self.grpc, self._http = said["grpc"], said["http"]
        self.counts = [(time.monotonic(), self.count())]

    def cpu(self) -> float:
        """CPU seconds that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """MB of memory that it holds, and what of that is not the code of libraries."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        held, of_files = (int(count) * os.sysconf("SC_PAGE_SIZE") / 2**20 for count in pages[1:3])
        return {"memory MB": held, "of its own MB": held - of_files}

    def ask(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the answer to a question, as ``POST /sql`` takes it."""
        body = json.dumps(question).encode()
        asked = urllib.request.Request(f"http://{self._http}/sql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as response:
            return json.loads(response.read())

    def count(self) -> int:
        """How many spans are queryable now."""
        return self.ask({"sql": "SELECT count(*) AS n FROM spans"})[0]["n"]

    def watch_until(self, spans: int, every: float) -> None:
        """Ask every so many seconds until so many are there."""
        while self.counts[-1][1] < spans:
            time.sleep(every)
            self.counts.append((time.monotonic(), self.count()))

    def stop(self) -> resource.struct_rusage:
        """Stop it and return what it used."""
        self._process.terminate()
        _, _, usage = os.wait4(self._process.pid, 0)
        return usage


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values is."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def run(processor: Processor, spans: int, in_flight: int, rate: float = 0) -> dict[str, float]:
    """Send so many spans and wait until they are there."""
    before = processor.count()
    processor.counts = [(time.monotonic(), before)]
    # At full speed every question is paid for with spans: then fewer are asked.
    wanted = (before + spans, WATCH_S if rate or in_flight == 1 else 10 * WATCH_S)
    watcher = threading.Thread(target=processor.watch_until, args=wanted, daemon=True)
    watcher.start()
    cpu = processor.cpu()
    measured = sending_process(processor.grpc, spans, in_flight, rate)
    watcher.join()
    cpu = processor.cpu() - cpu
    there = iter(processor.counts)
    when, count = next(there)
    fresh: list[float] = []
    for number, (answered, _) in enumerate(sorted(map(tuple, measured["answers"])), 1):
        while count < before + number * traces.SPANS_A_BATCH:
            when, count = next(there)
        fresh.append(max(when - answered, 0))
    latencies = [latency for _, latency in measured["answers"]]
    return {
        "acknowledged spans/s": spans / measured["seconds"],
        "queryable spans/s": spans / (processor.counts[-1][0] - measured["start"]),
        "CPU s per M spans": cpu / spans * 1e6,
        "acknowledge p50 ms": percentile(latencies, 0.5) * 1e3,
        "acknowledge p99 ms": percentile(latencies, 0.99) * 1e3,
        "freshness p50 s": percentile(fresh, 0.5),
        "freshness p99 s": percentile(fresh, 0.99),
    }


def idle(processor: Processor) -> dict[str, float]:
    """Memory and CPU of a processor that does nothing, and how soon it shows a single request."""
    # What its start took is given back within that.
    time.sleep(4)
    cpu, start = processor.cpu(), time.monotonic()
    time.sleep(10)
    share = (processor.cpu() - cpu) / (time.monotonic() - start)
    found = processor.memory() | {"CPU %": share * 100}
    single = [run(processor, traces.SPANS_A_BATCH, 1)["freshness p99 s"] for _ in range(5)]
    return found | {"freshness of one request s (worst of 5)": max(single)}


def fill(database: Path, spans: int) -> None:
    """Store so many spans without a receiver before them."""
    store = Store(database)
    for number, table in enumerate(floors.tables(traces.batches(spans, seed=1), 64), 1):
        store.insert(table, number * 64)
        if number % 8 == 0:
            store.settle(0)
    store.settle(0)
    store.close()


def report(title: str, values: dict[str, float]) -> None:
    """Print one block."""
    print(title)
    for name, value in values.items():
        print(f"    {name:44} {value:14,.2f}", flush=True)


def measure(asked: argparse.Namespace, folder: Path) -> None:
    """Measure everything that was asked for, and print it."""
    requests = next(traces.batches(traces.SPANS_A_BATCH))
    spans = asked.spans // traces.SPANS_A_BATCH * traces.SPANS_A_BATCH
    print(
        f"{spans} spans of {len(requests) / traces.SPANS_A_BATCH:.0f} bytes, {traces.SPANS_A_BATCH} a request"
    )
    sample = min(spans, 200_000)
    floor, floor_cpu = floors.duckdb_insert(traces.batches(sample), folder)
    acknowledged = floors.acknowledge_only(sending_process, sample)
    report("floors", {"acknowledge only spans/s": acknowledged, "DuckDB insert spans/s": floor})
    report("", {"DuckDB insert CPU s per M spans": floor_cpu})
    database = folder / "bench.duckdb"
    if asked.existing:
        fill(database, asked.existing)
    processor = Processor(database)
    report("idle", idle(processor))
    best, cpus = 0.0, list[float]()
    for in_flight in asked.in_flight:
        found = run(processor, spans, in_flight)
        report(f"{in_flight} in flight, {processor.count():,} rows in the end", found)
        best, cpus = max(best, found["queryable spans/s"]), [*cpus, found["CPU s per M spans"]]
    for rate in (1_000, best / 2, best * 0.8) if asked.paced else ():
        paced = max(int(rate * PACED_S) // traces.SPANS_A_BATCH, PACED_REQUESTS) * traces.SPANS_A_BATCH
        report(f"paced at {rate:,.0f} spans/s", run(processor, paced, 128, rate))
    time.sleep(GIVEN_BACK_S)
    report("idle again", processor.memory())
    rows = processor.count() - asked.existing
    usage = processor.stop()
    journal = sum(file.stat().st_size for file in folder.glob("bench.duckdb.journal/*"))
    report("in all", {"peak memory MB": usage.ru_maxrss / 1024, "journal bytes/span": journal / max(rows, 1)})
    report("", {"database bytes/span": database.stat().st_size / max(rows + asked.existing, 1)})
    report(
        "ratios", {"queryable / DuckDB insert": best / floor, "CPU / DuckDB insert": min(cpus) / floor_cpu}
    )
    if asked.phoenix:
        # Four at a time: past its queue of 20,000 spans it refuses.
        peer = floors.phoenix_ingest(asked.phoenix, sending_process, 5_120, folder)
        report("Phoenix", {"queryable spans/s": peer, "ours / Phoenix": best / peer})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--existing", type=int, default=0, help="rows to have before")
    parser.add_argument("--paced", action="store_true", help="also at given rates")
    parser.add_argument("--phoenix", default=shutil.which("phoenix"), help="its command, if not on the PATH")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.send:
        print(json.dumps(send(asked.send, asked.spans, asked.in_flight[0], asked.rate)))
        return
    with tempfile.TemporaryDirectory() as name:
        measure(asked, Path(name))


if __name__ == "__main__":
    main()
