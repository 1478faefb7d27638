"""``tupletrace serve``: wires receiver, journal, indexer and the SQL endpoint, and drains them in order."""

import math
import os
import resource
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from tupletrace.processor import index, listen, logs, memory, metrics, query, retention
from tupletrace.processor.admin import Admin
from tupletrace.processor.admission import Admission
from tupletrace.processor.dropping import Place
from tupletrace.processor.forward import Forwarder
from tupletrace.processor.grpc_server import GrpcServer, GrpcSettings
from tupletrace.processor.guard import Callers
from tupletrace.processor.http_server import HttpServer, HttpSettings
from tupletrace.processor.journal import Journal, journal_folder, last_seq
from tupletrace.processor.limits import Limits
from tupletrace.processor.lock import DatabaseLock
from tupletrace.processor.receive import Receiver
from tupletrace.processor.refusal import Unavailable
from tupletrace.processor.retention import Policy
from tupletrace.processor.store import Store
from tupletrace.processor.tls import Tls
from tupletrace.processor.tokens import Access, tokens_file

if TYPE_CHECKING:
    from tupletrace.processor.flight_server import FlightServer

_MOST_FILES: Final = 65_536
"""One connection is one file; the usual limit of 1,024 is there for programs that call select()."""
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


class Unprotected(RuntimeError):
    """Other machines could reach a processor that asks for no token."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``tupletrace serve`` may be told."""

    database: Path
    grpc: tuple[str, int]
    http: tuple[str, int]
    flight: tuple[str, int] | None = None
    """Where to answer Arrow Flight SQL, if anywhere."""
    log_json: bool = False
    insecure: bool = False
    tls: Tls | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    in_flight_bytes: int = 128 * 2**20
    """Of requests that are being received or wait for the journal."""
    reserve_bytes: int | None = None
    """Of the disk, that stay free (default: 5 %, at least 1 GiB)."""
    forward: str | None = None
    """Another OTLP/gRPC endpoint that gets everything as well."""
    retention: Policy = field(default_factory=Policy)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; print one line with ``ready`` when every port answers.

    Raises:
        Unprotected, TokensUnreadable, TlsUnusable, DatabaseInUse, StoreError, JournalError, PortInUse,
        OSError, sqlite3.Error: it cannot start.
    """
    logs.configure(as_json=settings.log_json)
    memory.share()
    # The kernel may give a signal to a thread of gRPC: our handler then runs when this one wakes up, and what
    # is written to the pipe wakes it.
    signals, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    # From the first moment: a signal during the start ends it cleanly as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    _raise_file_limit()
    database = settings.database
    access = _access(settings)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with DatabaseLock(database) as lock:
        store = Store(database)
        try:
            journal = Journal(journal_folder(database), store.journal_seq)
            try:
                _run(store, journal, lock, settings, access, signals)
            finally:
                journal.close()
        finally:
            store.close()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _access(settings: Settings) -> Access:
    access = Access(tokens_file(settings.database))
    if settings.tls:
        settings.tls.check()
    for host, port in filter(None, (settings.grpc, settings.http, settings.flight)):
        if not access.needed and not settings.insecure and not listen.is_loopback(host):
            raise Unprotected(
                f"{host}:{port} can be reached from other machines and no token is needed: make one with "
                "`tupletrace tokens add`, or say --insecure"
            )
    return access


def _run(
    store: Store,
    journal: Journal,
    lock: DatabaseLock,
    settings: Settings,
    access: Access,
    signals: int,
) -> None:
    stopping = threading.Event()
    folder = journal_folder(settings.database)
    last_before = last_seq(folder)
    indexer = index.Indexer(folder, store)
    queries = query.Queries(store.cursor, indexer.failed)
    try:
        admission = Admission(folder, settings.in_flight_bytes, settings.reserve_bytes)
        receiver = Receiver(journal, indexer.wake, admission, settings.limits)
        metrics.observe("journal_seq", lambda: max(receiver.journal_seq, last_before))
        metrics.observe("index_seq", lambda: _indexed(store))
        metrics.observe("queries_running", lambda: len(queries))
        ready = _ready(admission, stopping)
        place = Place(settings.database, store, journal)
        admin = Admin(place, admission, indexer.run)
        retention.observe(place)
        keeper = retention.Keeper(place, settings.retention, indexer.run)
        # Also if one of them cannot start: what still runs when the interpreter ends is told of at length.
        with ExitStack() as running:
            http_server = HttpServer(receiver, queries, access, _http(settings, admin), ready)
            for stop in (http_server.stop, queries.stop, indexer.end_jobs, keeper.stop):
                running.callback(stop)
            grpc_server = GrpcServer(receiver, access, GrpcSettings(*settings.grpc, settings.tls), ready)
            running.callback(grpc_server.stop)
            lock.announce(http_server.address, access.own, settings.tls and settings.tls.certificate)
            said = f"grpc={grpc_server.address} http={http_server.address}"
            if flight := _flight(queries, access, settings):
                running.callback(flight.stop)
                said += f" flight={flight.address}"
            said += f" db={settings.database}"
            if settings.forward:
                running.callback(Forwarder(settings.database, settings.forward, store.cursor).stop)
            # Both transports finish what is under way beside each other.
            running.callback(http_server.end)
            running.callback(stopping.set)
            print(f"tupletrace ready {said}", flush=True)
            os.read(signals, 1)
    finally:
        # Everything acknowledged is in the journal; index the rest of it before closing.
        indexer.stop()


def _flight(queries: query.Queries, access: Access, settings: Settings) -> "FlightServer | None":
    if settings.flight is None:
        return None
    # Here: it takes memory that a processor without it has no use for.
    from tupletrace.processor.flight_server import FlightServer

    return FlightServer(queries, access, *settings.flight, settings.tls)


def _indexed(store: Store) -> float:
    try:
        with store.cursor() as cursor:
            return float(cursor.execute("SELECT indexed_seq()").fetchall()[0][0])
    except duckdb.Error:
        # It is being opened again, or closed.
        return math.nan


def _http(settings: Settings, admin: Admin) -> HttpSettings:
    host, port = settings.http
    callers = Callers(
        hosts={*_LOCAL, host.lower(), *(one.lower() for one in settings.hosts)},
        origins=settings.origins,
        any_address=not listen.is_loopback(host),
    )
    return HttpSettings(host, port, callers, settings.tls, admin.routes)


def _ready(admission: Admission, stopping: threading.Event) -> Callable[[], list[str]]:
    def why_not() -> list[str]:
        if stopping.is_set():
            return ["it is stopping"]
        try:
            admission.check_disk()
        except Unavailable as error:
            return [str(error)]
        return []

    return why_not
