"""``tupletrace snapshot`` and ``restore``: a whole copy at any moment, from which the journal goes on."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tupletrace.processor import snapshot
from tupletrace.processor.ask import database
from tupletrace.processor.forget import forget
from tupletrace.processor.journal import Journal, first_seq, journal_folder
from tupletrace.processor.schema import StoreError

COUNT = "SELECT count(*) AS spans, count(DISTINCT (trace_id, span_id)) AS ids FROM spans"
ANSWERS = (
    "SELECT trace_id, route, duration_ns, tuple_id, covered, cost_usd FROM traces ORDER BY trace_id",
    "SELECT * EXCLUDE (start_time) FROM llm_calls ORDER BY trace_id, span_id",
    "SELECT * EXCLUDE (day) FROM tuple_coverage ORDER BY ALL",
    "SELECT route, tuple_id, layer, name, version FROM audit('2026-01-01', '2026-02-01') ORDER BY ALL",
)


def silent(_done: int, _total: int) -> None:
    """Show nothing."""


def rows(path: Path, query: str = COUNT) -> list[Any]:
    """Ask a file that nobody has open, as any program with DuckDB does."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def asked(path: Path, query: str = COUNT) -> list[Any]:
    """Ask as the ``sql`` command does."""
    with database(path) as answer:
        return answer(query).to_pylist()


@pytest.fixture(scope="module")
def body(otlp: Any) -> Callable[..., bytes]:
    """One request of two calls in a trace of a user's."""

    def made(trace: int, user: str = "ann") -> bytes:
        said = {"user.id": user, "note": f"secret of {user} " * 50}
        return otlp.request(*(otlp.call(trace, span, attributes=said) for span in (1, 2)))

    return made


@pytest.fixture(scope="module")
def running(start_processor: Callable[..., Any]) -> Any:
    return start_processor()


@pytest.fixture(scope="module")
def write(body: Callable[..., bytes]) -> Callable[..., None]:
    """Journal one request of two spans a trace, as a processor that was killed then leaves them."""

    def written(path: Path, *traces: int, after: int = 0, user: str = "ann") -> None:
        with closing(Journal(journal_folder(path), after)) as journal:
            for trace in traces:
                journal.append("traces", body(trace, user)).result(120)

    return written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., None]) -> Path:
    """A database of three requests, and a snapshot of it."""
    folder = tmp_path_factory.mktemp("made")
    write(folder / "x.duckdb", 1, 2, 3)
    snapshot.save(folder / "x.duckdb", folder / "s.duckdb", silent)
    return folder


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "x.duckdb"


@pytest.fixture
def file(db: Path) -> Path:
    """A snapshot of ``db`` at three requests."""
    return db.with_name("s.duckdb")


def test_snapshots_under_load_hold_whole_requests_up_to_one_and_are_plain_duckdb_files(
    running: Any, otlp: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    done = threading.Event()

    def load() -> Iterator[int]:
        for trace in range(1, 100_000):
            if done.is_set():
                return
            assert (
                running.post_traces(otlp.request(*(otlp.call(trace, i) for i in range(1, 8)))).status == 200
            )
            yield trace

    sent: list[int] = []
    loading = threading.Thread(target=lambda: sent.extend(load()))
    loading.start()
    try:
        until(lambda: running.sql("SELECT 1 FROM traces LIMIT 1"))
        found: list[int] = []
        for number in range(4):
            file = tmp_path / f"{number}.duckdb"
            snapshot.save(running.database, file, silent)
            assert file.stat().st_mode & 0o777 == 0o600
            ((seq,),) = rows(file, "SELECT indexed_seq()")
            assert rows(file) == [(7 * seq, 7 * seq)]
            assert rows(file, "SELECT sum(traces), sum(covered) FROM tuple_coverage") == [(seq, seq)]
            found.append(seq)
            until(lambda seq=seq: running.metric("tupletrace_index_seq") > seq)
        assert found == sorted(set(found))
        assert sorted(os.listdir(tmp_path)) == [f"{number}.duckdb" for number in range(4)]
    finally:
        done.set()
        loading.join()
    assert not [name for name in os.listdir(running.database.parent) if "copying" in name]


def test_the_processor_keeps_its_database_to_itself_after_a_snapshot(running: Any, tmp_path: Path) -> None:
    snapshot.save(running.database, tmp_path / "s.duckdb", silent)
    foreign = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", foreign, running.database], capture_output=True, text=True, check=False
    )
    assert "Could not set lock" in done.stderr


def test_the_command_makes_a_snapshot_of_a_running_processor_and_overwrites_only_when_told(
    running: Any, tupletrace: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "s.duckdb"
    done = tupletrace("snapshot", file, "--db", running.database)
    assert (done.returncode, str(file) in done.stdout) == (0, True), done.stderr
    before = file.read_bytes()
    done = tupletrace("snapshot", file, "--db", running.database)
    assert (done.returncode, "--overwrite" in done.stderr) == (2, True)
    assert file.read_bytes() == before
    done = tupletrace("snapshot", file, "--url", f"http://{running.http}", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() != before


def test_what_is_there_stays_when_no_snapshot_can_be_made(db: Path, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(StoreError, match="no database"):
        snapshot.save(db.with_name("none.duckdb"), file, silent)
    with pytest.raises(FileNotFoundError, match=r"s\.duckdb\.partial"):
        snapshot.save(db, db.with_name("no") / "s.duckdb", silent)
    with pytest.raises(StoreError, match="the database itself"):
        snapshot.save(db, db, silent)
    assert file.read_bytes() == before


def test_the_endpoint_is_for_admins(
    start_processor: Callable[..., Any], tupletrace: Any, tmp_path: Path
) -> None:
    path = tmp_path / "x.duckdb"
    tokens = {
        scope: tupletrace("tokens", "add", scope, "--scope", scope, "--db", path).stdout.split()[-1]
        for scope in ("ingest", "read", "admin")
    }
    guarded = start_processor(path)
    assert guarded.request("/admin/snapshot", b"").status == 401
    status = {
        scope: guarded.request("/admin/snapshot", b"", Authorization=f"Bearer {token}").status
        for scope, token in tokens.items()
    }
    assert status == {"ingest": 403, "read": 403, "admin": 200}
    # Who may open the file needs no token.
    done = tupletrace("snapshot", tmp_path / "s.duckdb", "--db", path)
    assert done.returncode == 0, done.stderr


def test_the_journal_goes_on_where_the_snapshot_ends(
    db: Path, file: Path, write: Callable[..., None]
) -> None:
    write(db, 3, 4, 5)
    assert asked(db) == [{"spans": 10, "ids": 10}]
    before = [rows(db, query) for query in ANSWERS]
    assert all(before)
    kept, unjournalled = snapshot.restore(db, file, silent)
    assert kept
    assert unjournalled == 0
    assert rows(kept) == rows(db) == [(10, 10)]
    assert [rows(db, query) for query in ANSWERS] == before
    assert rows(db, "FROM lost_requests") == []
    write(db, 5, 6)
    assert asked(db) == [{"spans": 12, "ids": 12}]


def test_without_a_journal_numbers_go_on_after_the_snapshot(
    file: Path, write: Callable[..., None], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "x.duckdb"
    elsewhere.parent.mkdir()
    assert snapshot.restore(elsewhere, file, silent) == (None, 3)
    ((seq,),) = rows(elsewhere, "SELECT indexed_seq()")
    write(elsewhere, 3, 7, after=seq)
    assert first_seq(journal_folder(elsewhere)) == 4
    assert asked(elsewhere) == [{"spans": 8, "ids": 8}]


def test_another_journal_is_not_taken_for_the_one_of_the_snapshot(
    file: Path, write: Callable[..., None], tmp_path: Path
) -> None:
    for requests in (2, 5):
        other = tmp_path / f"other{requests}.duckdb"
        write(other, *range(50, 50 + requests))
        with pytest.raises(StoreError, match="does not belong to the journal"):
            snapshot.restore(other, file, silent)
        assert not other.exists()


def test_requests_that_are_in_neither_are_told(db: Path, file: Path, write: Callable[..., None]) -> None:
    for journalled in journal_folder(db).iterdir():
        journalled.unlink()
    write(db, 9, after=7)
    with pytest.raises(StoreError, match="4 requests later"):
        snapshot.restore(db, file, silent)
    snapshot.restore(db, file, silent, incomplete=True)
    assert rows(db) == [(8, 8)]
    assert rows(db, "SELECT journal_seq, requests FROM lost_requests") == [(4, 4)]


def test_nothing_else_than_a_snapshot_is_restored(db: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    for other in (db, tmp_path / "text", tmp_path / "none"):
        with pytest.raises(StoreError, match="is no snapshot"):
            snapshot.restore(db, other, silent)
    assert rows(db) == [(6, 6)]


def test_a_running_processor_is_not_restored_under_its_feet(
    running: Any, file: Path, tupletrace: Callable[..., Any]
) -> None:
    done = tupletrace("restore", file, "--db", running.database)
    assert (done.returncode, "stop it first" in done.stderr) == (2, True)
    assert running.sql("SELECT 1 AS one") == [{"one": 1}]


def holding(folder: Path, text: bytes) -> list[str]:
    return [one.name for one in folder.rglob("*") if one.is_file() and text in one.read_bytes()]


def test_a_snapshot_forgets_and_keeps_everything_else(
    db: Path, write: Callable[..., None], tupletrace: Callable[..., Any]
) -> None:
    write(db, 11, 12, user="bob")
    file = db.with_name("s.duckdb")
    snapshot.save(db, file, silent)
    views = rows(file, "SELECT count(*) FROM duckdb_views() WHERE NOT internal")
    done = tupletrace("forget", "--user", "bob", "--snapshot", file)
    assert (done.returncode, "2 traces" in done.stdout) == (0, True), done.stderr
    assert (b"secret of bob" in file.read_bytes(), b"secret of ann" in file.read_bytes()) == (False, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert rows(file) == [(6, 6)]
    assert rows(file, "SELECT count(*) FROM duckdb_views() WHERE NOT internal") == views
    assert rows(file, "SELECT sum(traces) FROM tuple_coverage") == [(3,)]
    assert rows(file, "SELECT user_id, count(*) FROM llm_calls GROUP BY ALL") == [("ann", 6)]


def test_restoring_does_not_bring_back_what_was_forgotten_since(
    db: Path, file: Path, write: Callable[..., None]
) -> None:
    write(db, 11, user="bob")
    forget(db, "user", "ann", silent)
    # She comes back: that is not forgotten.
    write(db, 21)
    later = db.with_name("later.duckdb")
    snapshot.save(db, later, silent)
    for one in (file, later):
        kept, _ = snapshot.restore(db, one, silent)
        assert asked(db) == [{"spans": 4, "ids": 4}]
        assert kept
        kept.unlink()
    assert asked(db, "SELECT DISTINCT user_id FROM spans ORDER BY ALL") == [
        {"user_id": "ann"},
        {"user_id": "bob"},
    ]
