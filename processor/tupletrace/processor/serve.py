"""``tupletrace serve``: wires receiver, journal, indexer and the SQL endpoint, and drains them in order."""

import signal
import threading
from pathlib import Path
from types import FrameType

import pyarrow as pa

from tupletrace.processor import index, query
from tupletrace.processor.grpc_server import GrpcServer
from tupletrace.processor.http_server import HttpServer
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.lock import DatabaseLock
from tupletrace.processor.receive import Receiver
from tupletrace.processor.store import Store


def serve(database: Path, grpc: tuple[str, int], http: tuple[str, int]) -> None:
    """Serve until SIGINT or SIGTERM; print one line with ``ready`` when every port answers.

    Raises:
        DatabaseInUse, StoreError, JournalError, PortInUse, OSError, sqlite3.Error: it cannot start.
    """
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    # From the first moment: a signal during the start ends it cleanly as well.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with DatabaseLock(database) as lock:
        store = Store(database)
        try:
            journal = Journal(journal_folder(database), store.journal_seq)
            try:
                _run(store, journal, lock, database, grpc, http, stopping)
            finally:
                journal.close()
        finally:
            store.close()


def _run(
    store: Store,
    journal: Journal,
    lock: DatabaseLock,
    database: Path,
    grpc: tuple[str, int],
    http: tuple[str, int],
    stopping: threading.Event,
) -> None:
    queries = query.Queries(store.cursor)
    indexer = index.Indexer(journal_folder(database), store)

    def answer(sql: str, parameters: query.Parameters) -> pa.Table:
        try:
            return queries.run(sql, parameters)
        except query.SqlFailed as error:
            indexer.failed(error)
            raise

    try:
        receiver = Receiver(journal, indexer.wake)
        http_server = HttpServer(receiver, answer, *http)
        try:
            grpc_server = GrpcServer(receiver, *grpc)
            lock.announce(http_server.address)
            ready = f"tupletrace ready grpc={grpc_server.address} http={http_server.address} db={database}"
            print(ready, flush=True)
            stopping.wait()
            grpc_server.stop()
        finally:
            queries.stop()
            http_server.stop()
    finally:
        # Everything acknowledged is in the journal; index the rest of it before closing.
        indexer.stop()
