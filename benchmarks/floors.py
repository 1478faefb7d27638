"""What ingest is compared with in the same run: two floors that nobody can beat, and a peer."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import grpc
import numpy as np
import phoenix
import pyarrow as pa

from tupletrace.processor import decode
from tupletrace.processor.normalise import canonical
from tupletrace.processor.store import Store

FLOOR_ROUNDS = 3
Send = Callable[[str, int], dict[str, Any]]
"""Sends so many spans to an address from a process of its own."""


def acknowledge_only(send: Send, spans: int) -> float:
    """Spans/s of a gRPC server that reads the bytes and answers."""
    server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 64 << 20)])
    method = grpc.unary_unary_rpc_method_handler(lambda body, context: b"")
    service = phoenix.EXPORT.split("/")[1]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    measured = send(f"127.0.0.1:{port}", spans)
    server.stop(None)
    return spans / measured["seconds"]


def tables(requests: Iterator[bytes], a_batch: int = 32) -> Iterator[pa.Table]:
    """Yield what the store gets of these requests, in batches of ``a_batch``."""
    seq = 0
    while bodies := [*islice(requests, a_batch)]:
        table = canonical(decode.spans(bodies))
        seqs = pa.array(np.arange(seq + 1, seq + 1 + len(bodies)))
        seq += len(bodies)
        yield table.append_column("journal_seq", seqs.take(table["request"])).drop_columns(["request"])


def duckdb_insert(requests: Iterator[bytes], folder: Path) -> tuple[float, float]:
    """Spans/s and CPU seconds per million of DuckDB's own insert of the same rows, 16 k a commit."""
    store = Store(folder / "typed.duckdb")
    for number, table in enumerate(tables(requests), 1):
        store.insert(table, number * 32)
    typed = [pa.Table.from_batches(store.cursor().sql("FROM spans").to_arrow_reader(16_384))]
    store.close()
    batches = [pa.Table.from_batches([batch]) for batch in typed[0].to_batches(16_384)]
    seconds, cpus = list[float](), list[float]()
    for number in range(FLOOR_ROUNDS):
        floor = duckdb.connect(str(folder / f"floor-{number}.duckdb"), config={"wal_autocheckpoint": "256MB"})
        floor.register("rows", batches[0])
        floor.execute("CREATE TABLE spans AS FROM rows LIMIT 0")
        cpu, start = time.process_time(), time.perf_counter()
        for batch in batches:
            floor.register("rows", batch)
            floor.execute("INSERT INTO spans FROM rows")
        seconds.append(time.perf_counter() - start)
        cpus.append(time.process_time() - cpu)
        floor.close()
    # The best of it: whatever else the machine does makes it slower.
    return typed[0].num_rows / min(seconds), min(cpus) / typed[0].num_rows * 1e6


def phoenix_ingest(command: str, send: Send, spans: int, folder: Path) -> float:
    """Spans/s that Arize Phoenix has in its database, from the first one sent."""
    with phoenix.serving(command, folder) as (address, _):
        start = time.perf_counter()
        send(address, spans)
        phoenix.wait_for(folder, spans)
        return spans / (time.perf_counter() - start)
