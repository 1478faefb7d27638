"""Kill the processor again and again under load, and compare what it acknowledged with what is stored.

``python benchmarks/kills.py 1000``: one kill in three at a stage boundary (``failpoint.STAGES``, in turn),
one at any moment from the start on, one while it stops. Exit code 1 if anything acknowledged is missing,
anything is there twice, or anything is there that nobody sent.
"""

import argparse
import http.client
import itertools
import multiprocessing
import os
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tupletrace.processor import failpoint
from tupletrace.processor.ask import database as open_database
from tupletrace.processor.serve import Settings, serve

SPANS = 5
SENDERS = 3
NOON = 1_767_268_800_000_000_000
STORED = (
    "SELECT CAST('0x' || trace_id[-8:] AS BIGINT) AS trace, count(*) AS spans FROM spans GROUP BY trace_id"
)
LOST = "SELECT coalesce(sum(requests), 0) AS n FROM lost_requests"


@dataclass
class Result:
    """What a series of kills showed."""

    kills: int = 0
    sent: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    damaged: int = 0

    @property
    def good(self) -> bool:
        """Whether everything acknowledged is there exactly once, and nothing else but what was sent."""
        return not (self.lost or self.doubled or self.unknown or self.damaged)

    def __str__(self) -> str:
        said = f"{self.kills} kills, {len(self.sent)} requests sent, {len(self.acknowledged)} acknowledged"
        return f"{said}, {len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.unknown)} unknown"


def _request(trace: int) -> bytes:
    spans = [
        Span(
            trace_id=trace.to_bytes(16),
            span_id=number.to_bytes(8),
            name="killed",
            start_time_unix_nano=NOON + number,
            end_time_unix_nano=NOON + number + 1000,
        )
        for number in range(1, SPANS + 1)
    ]
    made = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[made]).SerializeToString()


def _serve(path: Path, stage: str | None, passes: int, said: Connection) -> None:
    os.dup2(said.fileno(), 1)
    if stage:
        failpoint.arm(stage, passes)
    any_port = ("127.0.0.1", 0)
    serve(Settings(path, any_port, any_port, reserve_bytes=0))


def _send(address: str, traces: Iterator[int], result: Result) -> None:
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(address, timeout=20)
        while True:
            trace = next(traces)
            result.sent.add(trace)
            connection.request(
                "POST", "/v1/traces", _request(trace), {"Content-Type": "application/x-protobuf"}
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                result.acknowledged.add(trace)


def _live(
    context: ForkServerContext,
    path: Path,
    number: int,
    chance: random.Random,
    traces: Iterator[int],
    result: Result,
) -> None:
    """Start a processor, load it, and kill it."""
    kind = number % 3
    stage = failpoint.STAGES[number // 3 % len(failpoint.STAGES)] if kind == 0 else None
    read, write = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(path, stage, chance.randint(1, 4), write))
    process.start()
    write.close()
    killer = threading.Timer(chance.uniform(0.1, 1.5), process.kill)
    if kind == 1:
        killer.start()
    with open(read.fileno(), closefd=False) as lines:
        ready = next((line for line in lines if " ready " in line), None)
        if ready:
            address = dict(word.split("=", 1) for word in ready.split()[2:])["http"]
            with ThreadPoolExecutor(SENDERS) as senders:
                for _ in range(SENDERS):
                    senders.submit(_send, address, traces, result)
                if kind != 1:
                    process.join(chance.uniform(0.1, 0.6))
                    with suppress(ProcessLookupError):
                        os.kill(process.pid or 0, signal.SIGTERM)
                    process.join(chance.uniform(0, 0.4) if kind == 2 else 3)
                    process.kill()
        process.join()
    killer.cancel()
    result.kills += 1


def run(kills: int, path: Path, seed: int = 0) -> Result:
    """Kill a processor on this database so many times, then compare."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tupletrace.processor.serve", __name__])
    result, chance, traces = Result(), random.Random(seed), itertools.count(1)
    for number in range(kills):
        _live(context, path, number, chance, traces, result)
    with open_database(path) as answer:
        stored = {row["trace"]: row["spans"] for row in answer(STORED).to_pylist()}
        result.damaged = int(answer(LOST).to_pylist()[0]["n"])
    result.lost = {trace for trace in result.acknowledged if trace not in stored}
    result.doubled = {trace for trace, spans in stored.items() if spans != SPANS}
    result.unknown = stored.keys() - result.sent
    return result


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(asked.kills, Path(folder) / "x.duckdb", asked.seed)
    print(result)
    return 0 if result.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
