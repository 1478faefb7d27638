"""How fast spans become queryable, beside two floors in the same run.

Floors: a gRPC server that only acknowledges; DuckDB's own Arrow insert of the same rows from memory, with
commit. Peer: Arize Phoenix, if its command is there (a twentieth of the spans: it is slow). Usage::

    uv run --with arize-phoenix python benchmarks/ingest.py [--spans 100000] [--in-flight 32]
"""

import argparse
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import traces

from tupletrace.processor import decode
from tupletrace.processor.normalise import canonical
from tupletrace.processor.store import Store

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def send(address: str, requests: list[bytes], in_flight: int) -> dict[str, float]:
    """Send all requests with so many under way at once; return seconds, and p50/p99 of an answer in ms."""
    latencies: list[float] = []
    slots = threading.Semaphore(in_flight)
    failures: list[str] = []
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        export = channel.unary_unary(EXPORT)
        start = time.perf_counter()
        pending: deque[Any] = deque()
        for body in requests:
            slots.acquire()
            sent = time.perf_counter()
            call = export.future(body, timeout=120)

            def done(finished: Any, sent: float = sent) -> None:
                latencies.append(time.perf_counter() - sent)
                if finished.code() is not grpc.StatusCode.OK:
                    failures.append(f"{finished.code()} {finished.details()}")
                slots.release()

            call.add_done_callback(done)
            pending.append(call)
        for call in pending:
            call.result()
        seconds = time.perf_counter() - start
    if failures:
        raise RuntimeError(f"{len(failures)} requests failed: {failures[0]}")
    latencies.sort()
    return {
        "seconds": seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
    }


def sending_process(address: str, spans: int, in_flight: int) -> dict[str, float]:
    """Run ``send`` in a process of its own, so that building and sending do not share our GIL."""
    command = [
        sys.executable,
        __file__,
        "--send",
        address,
        "--spans",
        str(spans),
        "--in-flight",
        str(in_flight),
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def acknowledge_only(spans: int, in_flight: int) -> float:
    """Floor 1: spans/s of a gRPC server that reads the bytes and answers."""
    server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 64 << 20)])
    method = grpc.unary_unary_rpc_method_handler(lambda body, context: b"")
    service = EXPORT.split("/")[1]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    measured = sending_process(f"127.0.0.1:{port}", spans, in_flight)
    server.stop(None)
    return spans / measured["seconds"]


def duckdb_insert(requests: list[bytes], spans: int, folder: Path) -> tuple[float, float]:
    """Floor 2: spans/s and CPU seconds per million of DuckDB's insert of the same rows, 16 k a commit."""
    tables: list[pa.Table] = []
    for group in range(0, len(requests), 32):
        found = decode.spans(requests[group : group + 32])
        table = canonical(found).append_column("journal_seq", pa.nulls(found.table.num_rows, pa.int64()))
        tables.append(table.drop_columns(["request"]))
    store = Store(folder / "typed.duckdb")
    for table in tables:
        store.insert(table, 0)
    typed = [pa.Table.from_batches(store.cursor().sql("FROM spans").to_arrow_reader(16_384))]
    batches = [pa.Table.from_batches([batch]) for batch in typed[0].to_batches(16_384)]
    store.close()
    import duckdb

    floor = duckdb.connect(str(folder / "floor.duckdb"), config={"wal_autocheckpoint": "256MB"})
    floor.register("rows", batches[0])
    floor.execute("CREATE TABLE spans AS FROM rows LIMIT 0")
    cpu, start = time.process_time(), time.perf_counter()
    for batch in batches:
        floor.register("rows", batch)
        floor.execute("INSERT INTO spans FROM rows")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    floor.close()
    return spans / seconds, cpu / spans * 1e6


class Processor:
    """A `tupletrace serve` subprocess on free ports."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "bench.duckdb"
        ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tupletrace.processor.cli", "serve", "--db", str(self.database), *ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline().split()
        self.grpc = next(word for word in ready if word.startswith("grpc=")).removeprefix("grpc=")
        self.http = next(word for word in ready if word.startswith("http=")).removeprefix("http=")

    def count(self) -> int:
        """How many spans are queryable now."""
        request = urllib.request.Request(
            f"http://{self.http}/sql",
            json.dumps({"sql": "SELECT count(*) AS n FROM spans"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())[0]["n"]

    def stop(self) -> resource.struct_rusage:
        """Stop it and return what it used."""
        self._process.terminate()
        _, _, usage = os.wait4(self._process.pid, 0)
        return usage


def phoenix(command: str, spans: int, folder: Path) -> float:
    """Peer: spans/s that Arize Phoenix has in its database, from the first one sent."""
    ports = {"PHOENIX_PORT": str(_free_port()), "PHOENIX_GRPC_PORT": str(_free_port())}
    home = {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1"}
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        [command, "serve"], env=os.environ | ports | home, stdout=silent, stderr=silent
    )
    try:
        address = f"127.0.0.1:{ports['PHOENIX_GRPC_PORT']}"
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(120)
        start = time.perf_counter()
        # Four at a time: past its queue of 20,000 spans it refuses.
        sending_process(address, spans, 4)
        with closing(sqlite3.connect(f"file:{folder / 'phoenix.db'}?mode=ro", uri=True)) as database:
            while database.execute("SELECT count(*) FROM spans").fetchone()[0] < spans:
                time.sleep(0.05)
        return spans / (time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tupletrace(spans: int, in_flight: int, folder: Path) -> dict[str, float]:
    """Spans/s acknowledged and queryable, CPU per million spans, bytes on disk a span, peak memory."""
    processor = Processor(folder)
    start = time.perf_counter()
    sender = threading.Thread(
        target=lambda: measured.update(sending_process(processor.grpc, spans, in_flight)), daemon=True
    )
    measured: dict[str, float] = {}
    sender.start()
    sender.join()
    waited_from = time.perf_counter()
    while processor.count() < spans:
        time.sleep(0.02)
    lag = time.perf_counter() - waited_from
    usage = processor.stop()
    journal = sum(file.stat().st_size for file in folder.glob("bench.duckdb.journal/*"))
    return {
        "acknowledged spans/s": spans / measured["seconds"],
        "queryable spans/s": spans / (measured["seconds"] + lag),
        "CPU s per M spans": (usage.ru_utime + usage.ru_stime) / spans * 1e6,
        "peak memory MB": usage.ru_maxrss / 1024,
        "journal bytes/span": journal / spans,
        "database bytes/span": processor.database.stat().st_size / spans,
        "acknowledge p50 ms": measured["p50_ms"],
        "acknowledge p99 ms": measured["p99_ms"],
        "total s": time.perf_counter() - start,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--phoenix", default=shutil.which("phoenix"), help="its command, if not on the PATH")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    requests = traces.batches(asked.spans)
    if asked.send:
        print(json.dumps(send(asked.send, requests, asked.in_flight)))
        return
    size = sum(map(len, requests)) / asked.spans
    shape = f"{traces.SPANS_A_BATCH} a request, {asked.in_flight} in flight"
    print(f"{asked.spans} spans of {size:.0f} bytes, {shape}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor_ack = acknowledge_only(asked.spans, asked.in_flight)
        floor_insert, floor_cpu = duckdb_insert(requests, asked.spans, folder)
        ours = tupletrace(asked.spans, asked.in_flight, folder)
        peer = phoenix(asked.phoenix, asked.spans // 20, folder) if asked.phoenix else None
    print(f"{'floor: acknowledge only, spans/s':40} {floor_ack:12,.0f}")
    print(f"{'floor: DuckDB insert, spans/s':40} {floor_insert:12,.0f}")
    print(f"{'floor: DuckDB insert, CPU s per M spans':40} {floor_cpu:12,.1f}")
    for name, value in ours.items():
        print(f"{'tupletrace: ' + name:40} {value:12,.1f}")
    if peer:
        print(f"{'Phoenix: queryable spans/s':40} {peer:12,.1f}")
        print(f"{'queryable / Phoenix':40} {ours['queryable spans/s'] / peer:12.0f}")
    print(f"{'queryable / DuckDB insert':40} {ours['queryable spans/s'] / floor_insert:12.2f}")
    print(f"{'CPU / DuckDB insert':40} {ours['CPU s per M spans'] / floor_cpu:12.2f}")


if __name__ == "__main__":
    main()
