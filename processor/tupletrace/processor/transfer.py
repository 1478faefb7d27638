"""Records taken out of a database as Parquet, by day, and brought into one as OTLP, by the road of all."""

import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor import kept, query, snapshot, wire
from tupletrace.processor.ask import Ask, Processor, ProcessorRefused
from tupletrace.processor.database import first_line, quoted, remove
from tupletrace.processor.forget import forgotten
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
from tupletrace.processor.rebuild import Progress, follow
from tupletrace.processor.schema import StoreError, statement, statement_names
from tupletrace.processor.snapshot import find_gone, staying
from tupletrace.processor.store import Store

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_IN_PLACE: Final = {"spans", "log_records"}
"""Exported from where they are: texts are not copied once more."""
_CONTENT: Final = (
    "input_messages", "output_messages", "system_instructions", "tool_definitions", "prompt_template",
)  # fmt: skip
_WIDE: Final = ("attributes", "resource_attributes", "scope_attributes", "events", "links", "conflicts")
"""Columns that OTLP has itself."""
_RECORDS_A_REQUEST: Final = 2048
_REQUEST_BYTES: Final = 8 * 2**20
_PATIENCE_S: Final = 600.0
"""For so long a processor may say that it has no room for a request."""
_TOO_LARGE: Final = 413
_UNAVAILABLE: Final = 503
Send = Callable[[str, bytes], None]
"""Delivers one OTLP request of a signal; it is on disk when this returns."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Records of the days (UTC) from ``since`` to before ``until``; of the traces of one route."""

    since: date | None = None
    until: date | None = None
    route: str | None = None


class _Kind(NamedTuple):
    """Records that are imported: what they are called in an export, and their table."""

    name: str
    table: str
    signal: str
    place: str
    """Number or text by which a part of them is found fast."""
    part: str
    """They are looked for in both databases part by part."""
    identity: str
    needed: tuple[str, ...]
    """Columns without which a row is none of these."""


_HOURS: Final = "// 3600000000000"
_KINDS: Final = (
    _Kind(
        "spans",
        "spans",
        wire.TRACES,
        "start_unix_nano",
        f"start_unix_nano {_HOURS}",
        "concat_ws(' ', trace_id, span_id, start_unix_nano)",
        ("trace_id", "span_id", "start_unix_nano"),
    ),
    _Kind(
        "log_records",
        "log_records",
        wire.LOGS,
        "time_unix_nano",
        f"time_unix_nano {_HOURS}",
        "md5(CAST(row(trace_id, span_id, time_unix_nano, name, attributes) AS VARCHAR))",
        ("time_unix_nano", "name"),
    ),
    _Kind(
        "evaluations",
        "evaluation_results",
        wire.LOGS,
        "md5(evaluation_id)",
        "left(md5(evaluation_id), 1)",
        "evaluation_id",
        ("evaluation_id",),
    ),
)


def export(source: Path | Processor, folder: Path, wanted: Selection, progress: Progress) -> dict[str, int]:
    """Write ``folder/TABLE/day=YYYY-MM-DD/part-0.parquet``; return how many rows of which table.

    Each file is there whole or not at all; one that was there is replaced. A processor may be running.

    Raises:
        StoreError, JournalError, OSError: it cannot be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = folder / ".snapshot.duckdb"
    try:
        with snapshot.still(source, scratch, progress) as file:
            return _export(file, folder, wanted, progress)
    finally:
        remove(scratch)


def _export(file: Path, folder: Path, wanted: Selection, progress: Progress) -> dict[str, int]:
    with duckdb.connect(str(file), read_only=True) as connection:
        # Without the order, a group of rows ends at so many bytes.
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.execute(
            "CREATE TEMP TABLE routed AS SELECT trace_id FROM traces WHERE route = ?", [wanted.route]
        )
        days = {table: _days(connection, table, wanted) for table in statement_names("exports")}
        total, done = sum(map(len, days.values())), 0
        for table, of_table in days.items():
            for day, _ in of_table:
                _write(connection, table, day, folder / table / f"day={day}")
                done += 1
                progress(done, total)
    return {table: sum(rows for _, rows in of_table) for table, of_table in days.items()}


def _days(connection: duckdb.DuckDBPyConnection, table: str, wanted: Selection) -> list[tuple[date, int]]:
    """Find what is to be exported of a table; return on which days it is, and how many rows."""
    asked = [f"FROM ({statement(f'exports/{table}')})", "WHERE day IS NOT NULL"]
    if wanted.since:
        asked.append(f"AND day >= '{wanted.since}'")
    if wanted.until:
        asked.append(f"AND day < '{wanted.until}'")
    if wanted.route is not None:
        asked.append("AND trace_id IN (FROM temp.routed)")
    kind = "VIEW" if table in _IN_PLACE else "TABLE"
    connection.execute(f"CREATE TEMP {kind} exported_{table} AS {' '.join(asked)}")
    return connection.execute(
        f"SELECT day, count(*) FROM temp.exported_{table} GROUP BY day ORDER BY day"
    ).fetchall()


def _write(connection: duckdb.DuckDBPyConnection, table: str, day: date, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Who reads the folder passes over names with a dot.
    making = folder / ".part-0.parquet"
    connection.execute(
        f"COPY (SELECT * EXCLUDE (day) FROM temp.exported_{table} WHERE day = '{day}') TO {quoted(making)} "
        "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '64MB')"
    )
    snapshot.keep(making, folder / "part-0.parquet")


def bring(source: Path, target: Path | Processor, progress: Progress) -> dict[str, tuple[int, int]]:
    """Deliver what an export or a snapshot holds and a database does not; return how many, of how many.

    They are journalled as OTLP as what programs send is, so that nothing tells them from that later on.

    Raises:
        StoreError, JournalError, OSError: it cannot be read, or not be delivered.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(statement("otlp/attributes"))
        found = _found(connection, source, target)
        total, done = sum(found.values()), 0
        brought = dict.fromkeys(found, 0)
        with _delivering(target, progress) as (answer, send):
            for kind in found:
                parts = f"SELECT min({kind.place}), max({kind.place}), count(*) FROM found_{kind.name}"
                parts += f" GROUP BY {kind.part} ORDER BY {kind.part}"
                try:
                    for first, last, count in connection.execute(parts).fetchall():
                        for records in _new(connection, answer, kind, {"first": first, "last": last}):
                            _deliver(connection, kind, records, send)
                            brought[kind] += records.num_rows
                        done += count
                        progress(done, total)
                except duckdb.Error as error:
                    raise _unreadable(source, error) from None
    return {kind.name: (brought[kind], found[kind]) for kind in found}


def _unreadable(source: Path, error: duckdb.Error) -> StoreError:
    """Say so, and of which file."""
    damaged = source
    for file in source.rglob("*.parquet"):
        try:
            duckdb.execute("SELECT max(hash(COLUMNS(*))) FROM read_parquet(?)", [str(file)]).fetchall()
        except duckdb.Error:
            damaged = file
    or_damaged = f", or {damaged} is damaged" if damaged != source else ""
    return StoreError(f"{source} is neither an export nor a snapshot{or_damaged}: {first_line(error)}")


def _found(connection: duckdb.DuckDBPyConnection, source: Path, target: Path | Processor) -> dict[_Kind, int]:
    """Make ``found_...`` of the records of each kind, with the columns of this version; return how many.

    What has been forgotten from the target since is not found.
    """
    named = [] if isinstance(target, Processor) else list(forgotten(journal_folder(target)))
    count: dict[_Kind, int] = {}
    try:
        whole = _whole(connection, source)
        for kind in _KINDS:
            connection.execute(statement(f"schema/{kind.table}"))
            rows = f"FROM {kind.table} UNION ALL BY NAME FROM {whole.get(kind, kind.table)}"
            _expect_rows(connection, whole.get(kind, kind.table), kind, source)
            connection.execute(f"CREATE VIEW whole_{kind.name} AS {rows}")
            if not count:
                find_gone(connection, f"whole_{kind.name}", named, earlier=True)
            # A user may come back.
            columns = ["trace_id"] if kind.name == "spans" else connection.table(kind.table).columns
            connection.execute(
                f"CREATE VIEW found_{kind.name} AS FROM whole_{kind.name} WHERE {staying(columns)}"
            )
            ((count[kind],),) = connection.execute(f"SELECT count(*) FROM found_{kind.name}").fetchall()
    except duckdb.Error as error:
        raise _unreadable(source, error) from None
    return count


def _expect_rows(connection: duckdb.DuckDBPyConnection, where: str, kind: _Kind, source: Path) -> None:
    missing = set(kind.needed) - set(connection.sql(f"FROM {where}").columns)
    if missing:
        raise StoreError(
            f"the {kind.name} of {source} are none of tupletrace's: no {', '.join(sorted(missing))}"
        )
    empty = " OR ".join(f"{column} IS NULL" for column in kind.needed)
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {where} WHERE {empty}").fetchall()
    if rows:
        raise StoreError(
            f"{rows} {kind.name} of {source} lack what tells them apart: {', '.join(kind.needed)}"
        )


def _whole(connection: duckdb.DuckDBPyConnection, source: Path) -> dict[_Kind, str]:
    """Return where the records of each kind are that a source has."""
    if source.is_dir():
        files = {kind: source / kind.name / "**" / "*.parquet" for kind in _KINDS}
        found = {
            kind: f"read_parquet({quoted(path)}, hive_partitioning = true, union_by_name = true)"
            for kind, path in files.items()
            if any((source / kind.name).rglob("*.parquet"))
        }
    else:
        connection.execute(f"ATTACH {quoted(source)} AS source (READ_ONLY)")
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'source'"
        ).fetchall()
        found = {kind: f"source.{kind.table}" for kind in _KINDS if (kind.table,) in tables}
    if not found:
        raise StoreError(f"{source} is neither an export nor a snapshot: it has no spans")
    return found


def _new(
    connection: duckdb.DuckDBPyConnection, answer: Ask, kind: _Kind, part: Mapping[str, object]
) -> Iterator[pa.Table]:
    """Yield the records of a part that a database does not have."""
    within = f"{kind.place} BETWEEN $first AND $last"
    known = answer(f"SELECT {kind.identity} AS identity FROM {kind.table} WHERE {within}", part)
    with connection.cursor() as cursor:
        cursor.register("known", known)
        asked = f"FROM found_{kind.name} WHERE {within} AND {kind.identity} NOT IN (FROM known)"
        for batch in cursor.sql(asked, params=part).to_arrow_reader(_RECORDS_A_REQUEST):
            yield pa.Table.from_batches([batch])


def _deliver(connection: duckdb.DuckDBPyConnection, kind: _Kind, records: pa.Table, send: Send) -> None:
    connection.register("records", _with_columns(records) if kind.table == "spans" else records)
    rows = connection.sql(statement(f"otlp/{kind.name}")).to_arrow_table()
    connection.unregister("records")
    (body,) = wire.encoded(kind.signal, rows.combine_chunks().to_batches()[0])
    try:
        if len(body) <= _REQUEST_BYTES or records.num_rows == 1:
            send(kind.signal, body)
            return
    except ProcessorRefused as error:
        if error.http != _TOO_LARGE or records.num_rows == 1:
            raise
    half = records.num_rows // 2
    _deliver(connection, kind, records.slice(0, half), send)
    _deliver(connection, kind, records.slice(half), send)


def _with_columns(spans: pa.Table) -> pa.Table:
    """Add ``kept``: of spans without content their columns, which might not be found again without it."""
    empty = functools.reduce(pc.and_, [pc.is_null(spans[column]) for column in _CONTENT])
    rows = iter(spans.filter(empty).drop_columns(list(_WIDE)).to_pylist())
    said = [kept.columns(next(rows)) if one else None for one in empty.to_pylist()]
    return spans.append_column("kept", pa.array(said, pa.string()))


@contextmanager
def _delivering(target: Path | Processor, progress: Progress) -> Generator[tuple[Ask, Send]]:
    """Yield how to ask a database and how to deliver to it, whether a processor is running on it or not."""
    if isinstance(target, Processor):
        yield target.sql, functools.partial(_post, target)
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = DatabaseLock(target)
    except DatabaseInUse as error:
        with _delivering(Processor.of(error), progress) as both:
            yield both
        return
    with lock, closing(Store(target)) as store:
        folder = journal_folder(target)

        def answer(sql: str, parameters: query.Parameters = None) -> pa.Table:
            with store.cursor() as cursor:
                return query.run(cursor, sql, parameters)

        def send(signal: str, body: bytes) -> None:
            journal.append(signal, body).result()

        follow(folder, store, progress)
        with closing(Journal(folder, store.journal_seq)) as journal:
            yield answer, send
        follow(folder, store, progress)


def _post(processor: Processor, signal: str, body: bytes) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with processor.post(
                f"/v1/{signal}", body, {"Content-Type": "application/x-protobuf"}
            ) as response:
                if rejected := response.read():
                    raise StoreError(f"{processor.url} did not take all of a request: {rejected!r}")
            return
        except ProcessorRefused as error:
            if error.http != _UNAVAILABLE or time.monotonic() > until:
                raise
            time.sleep(float(error.headers.get("Retry-After", "1")))
