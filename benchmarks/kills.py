"""Kill the processor again and again under load, and compare what it acknowledged with what is stored.

``python benchmarks/kills.py 1000``: one kill in four at a stage boundary (``failpoint.STAGES``, in turn),
one at any moment from the start on, one while it stops, and one while something is done to the database
(``ORDERS``), beside a running processor or alone, at a stage of that or at any moment. Exit code 1 if
anything acknowledged is missing from the database, or from one made again from the journal; if anything is
there twice or in part, or nobody has sent it; if what was to be dropped is there after that was done to its
end.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import duckdb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tupletrace.processor import failpoint, jobs, snapshot, transfer, wire
from tupletrace.processor.ask import Processor
from tupletrace.processor.ask import database as open_database
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.lock import DatabaseLock
from tupletrace.processor.schema import StoreError
from tupletrace.processor.serve import Settings, serve

SPANS = 5
SENDERS = 3
IMPORTED = 30
"""Traces of one import."""
NOON = 1_767_268_800_000_000_000
LONG_AGO = NOON - 6 * 365 * 86_400 * 10**9
ONE_IN = 20
"""Traces is somebody's who is forgotten, and one is older than what is retained."""
DROPPING = {"forget": {"user": "somebody"}, "retain": {"spans": "5y"}}
COMPACT = ("compact.copied", "database.replacing", "database.replaced")
DROP = ("journal.compressed", "drop.journal", "drop.database", *COMPACT)
ORDERS = [
    (order, stage)
    for order, stages in {
        "snapshot": ("snapshot.held", "snapshot.copied"),
        "forget": (*DROP, "forget.dropped"),
        "retain": DROP,
        "rebuild": ("rebuild.made", "rebuild.kept", "database.replacing", "database.replaced"),
        "import": ("journal.committed", "database.committed"),
    }.items()
    for stage in (*stages, None)
]
STORED = (
    "SELECT CAST('0x' || trace_id[-8:] AS BIGINT) AS trace, count(*) AS spans FROM spans GROUP BY trace_id"
)
LOST = "SELECT coalesce(sum(requests), 0) AS n FROM lost_requests"


@dataclass
class Result:
    """What a series of kills showed: the numbers of the traces."""

    kills: int = 0
    sent: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    undropped: set[int] = field(default_factory=set)
    damaged: int = 0

    @property
    def good(self) -> bool:
        """Whether everything acknowledged is there exactly once, and nothing else but what was sent."""
        return not (self.lost or self.doubled or self.unknown or self.undropped or self.damaged)

    def __str__(self) -> str:
        said = f"{self.kills} kills, {len(self.sent)} requests sent, {len(self.acknowledged)} acknowledged"
        said += f", {len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.unknown)} unknown"
        return f"{said}, {len(self.undropped)} not dropped, {self.damaged} damaged"

    def compare(self, path: Path) -> set[int]:
        """Compare with what a database holds; return its traces."""
        with open_database(path) as answer:
            stored = {row["trace"]: row["spans"] for row in answer(STORED).to_pylist()}
            self.damaged = max(self.damaged, int(answer(LOST).to_pylist()[0]["n"]))
        self.lost |= {trace for trace in self.acknowledged - stored.keys() if not _to_be_dropped(trace)}
        self.doubled |= {trace for trace, spans in stored.items() if spans != SPANS}
        self.unknown |= stored.keys() - self.sent
        return set(stored)


def _to_be_dropped(trace: int) -> bool:
    return trace % ONE_IN < len(DROPPING)


def _request(trace: int) -> bytes:
    forgotten, old = trace % ONE_IN == 0, trace % ONE_IN == 1
    began = LONG_AGO if old else NOON
    user = [KeyValue(key="user.id", value=AnyValue(string_value=DROPPING["forget"]["user"]))]
    spans = [
        Span(
            trace_id=trace.to_bytes(16),
            span_id=number.to_bytes(8),
            name="killed",
            start_time_unix_nano=began + number,
            end_time_unix_nano=began + number + 1000,
            attributes=user if forgotten else (),
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


def _unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


def _do(order: str, target: Path | Processor, beside: Path) -> None:
    if order == "snapshot":
        snapshot.save(target, beside / "snapshot.duckdb", _unseen)
    elif order == "import":
        transfer.bring(beside / "export", target, _unseen)
    elif isinstance(target, Processor):
        target.admin(order, DROPPING.get(order, {}), _unseen)
    else:
        with DatabaseLock(target):
            jobs.alone(target, order, DROPPING.get(order, {}), _unseen)


def _do_alone(order: str, path: Path, beside: Path, stage: str | None) -> None:
    if stage:
        failpoint.arm(stage, 1)
    _do(order, path, beside)


class Lives:
    """One database, and the processes that are killed on it one after the other."""

    def __init__(self, path: Path, seed: int) -> None:
        self.result = Result()
        self._path, self._chance, self._traces = path, random.Random(seed), itertools.count(1)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tupletrace.processor.serve", __name__])
        self._beside = path.with_name(f"{path.name}-beside")
        self._template = self._exported(self._beside / "template")
        kinds = [self._at_a_stage, self._at_any_moment, self._while_it_stops, self._in_an_order]
        orders = self._chance.sample(ORDERS, len(ORDERS))
        self._kinds, self._orders = itertools.cycle(kinds), itertools.cycle(orders)
        self._stages = itertools.cycle(failpoint.STAGES)

    def live(self) -> None:
        """Live once more, and be killed."""
        next(self._kinds)()
        self.result.kills += 1

    def _at_a_stage(self) -> None:
        stage, passes = next(self._stages), self._chance.randint(1, 4)
        self._loaded(lambda process, _: self._stop(process, 3), stage, passes)

    def _at_any_moment(self) -> None:
        self._loaded(lambda process, _: process.join(), within=self._chance.uniform(0.1, 1.5))

    def _while_it_stops(self) -> None:
        self._loaded(lambda process, _: self._stop(process, self._chance.uniform(0, 0.4)))

    def _stop(self, process: BaseProcess, within: float) -> None:
        process.join(self._chance.uniform(0.1, 0.6))
        with suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGTERM)
        process.join(within)

    def _in_an_order(self) -> None:
        order, stage = next(self._orders)
        within = None if stage else self._chance.uniform(0, 0.6)
        brought = self._import() if order == "import" else set[int]()
        self.result.sent |= brought
        if self._chance.random() < 1 / 3:
            process = self._context.Process(target=_do_alone, args=(order, self._path, self._beside, stage))
            process.start()
            process.join(within)
            process.kill()
            process.join()
            done = process.exitcode == 0
        else:
            done = self._beside_a_processor(order, stage, within)
        if done:
            self.result.acknowledged |= brought
        if order == "snapshot" and (file := self._beside / "snapshot.duckdb").exists():
            with duckdb.connect(str(file), read_only=True) as asked:
                self.result.doubled |= {
                    trace for trace, spans in asked.execute(STORED).fetchall() if spans != SPANS
                }

    def _beside_a_processor(self, order: str, stage: str | None, within: float | None) -> bool:
        done: list[str] = []

        def then(process: BaseProcess, address: str) -> None:
            process.join(self._chance.uniform(0.1, 0.3))
            killer = threading.Timer(within or 0, process.kill)
            if within:
                killer.start()
            with suppress(StoreError, OSError):
                _do(order, Processor(f"http://{address}"), self._beside)
                done.append(order)
            killer.cancel()

        self._loaded(then, stage)
        return bool(done)

    def _loaded(
        self,
        then: Callable[[BaseProcess, str], None],
        stage: str | None = None,
        passes: int = 1,
        within: float | None = None,
    ) -> None:
        """Start a processor, load it, do something with it, and kill it."""
        read, write = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(self._path, stage, passes, write))
        process.start()
        write.close()
        killer = threading.Timer(within or 0, process.kill)
        if within:
            killer.start()
        with open(read.fileno(), closefd=False) as lines:
            ready = next((line for line in lines if " ready " in line), None)
            if ready:
                address = dict(word.split("=", 1) for word in ready.split()[2:])["http"]
                with ThreadPoolExecutor(SENDERS) as senders:
                    for _ in range(SENDERS):
                        senders.submit(_send, address, self._traces, self.result)
                    then(process, address)
                    process.kill()
            process.join()
        killer.cancel()

    def _exported(self, folder: Path) -> Path:
        """Export one trace."""
        folder.mkdir(parents=True)
        path = folder / "x.duckdb"
        with closing(Journal(journal_folder(path))) as journal:
            journal.append(wire.TRACES, _request(ONE_IN - 1)).result()
        transfer.export(path, folder, transfer.Selection(), _unseen)
        (file,) = (folder / "spans").rglob("*.parquet")
        return file

    def _import(self) -> set[int]:
        """Make an export of new traces, none of which is to be dropped."""
        file = self._beside / "export" / "spans" / self._template.parent.name / self._template.name
        file.parent.mkdir(parents=True, exist_ok=True)
        new = set(itertools.islice((one for one in self._traces if not _to_be_dropped(one)), IMPORTED))
        renamed = "SELECT * REPLACE (printf('%032x', trace) AS trace_id)"
        rows = f"{renamed} FROM read_parquet('{self._template}'), unnest($traces) AS new(trace)"
        duckdb.execute(f"COPY ({rows}) TO '{file}'", {"traces": sorted(new)})
        return new


def run(kills: int, path: Path, seed: int = 0) -> Result:
    """Kill processors on this database so many times, then compare."""
    lives = Lives(path, seed)
    for _ in range(kills):
        lives.live()
    lives.result.compare(path)
    with DatabaseLock(path):
        for order in (*DROPPING, "rebuild"):
            jobs.alone(path, order, DROPPING.get(order, {}), _unseen)
    lives.result.undropped = set(filter(_to_be_dropped, lives.result.compare(path)))
    return lives.result


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
