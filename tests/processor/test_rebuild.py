"""The DuckDB file is a view of the journal: whatever happens to it, it is made again; nothing is deleted."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tupletrace.processor import index, journal, rebuild
from tupletrace.processor.ask import database
from tupletrace.processor.schema import SCHEMA_VERSION, StoreError
from tupletrace.processor.store import Store

COUNT = "SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans"
REQUESTS = 20
SPANS = 20 * REQUESTS


@pytest.fixture(scope="module")
def made(start_processor: Callable[..., Any], otlp: Any) -> dict[str, bytes]:
    """Every file that a processor leaves behind it, by its name."""
    running = start_processor()
    for trace in range(1, REQUESTS + 1):
        spans = [otlp.call(trace, i, attributes={"note": f"{trace} {i} " * 40}) for i in range(1, 21)]
        assert running.post_traces(otlp.request(*spans)).status == 200
    running.stop()
    folder = running.database.parent
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.fixture
def file(made: dict[str, bytes], tmp_path: Path) -> Path:
    """A copy of what the processor left behind."""
    for name, content in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path / "x.duckdb"


@pytest.fixture
def rows(caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[list[Any], str]]:
    """Ask the file as the ``sql`` command does; return the answer and what was said beside it."""

    def ask(path: Path, query: str = COUNT) -> tuple[list[Any], str]:
        caplog.clear()
        with database(path) as answer:
            return answer(query).to_pylist(), caplog.text

    return ask


WHOLE = [{"n": SPANS, "ids": 20}]


def aside(file: Path) -> list[Path]:
    return sorted(file.parent.glob("x.duckdb.quarantined-*"))


DAMAGES = {
    "cut in half": lambda good: good[: len(good) // 2],
    "cut to 100 bytes": lambda good: good[:100],
    "empty": lambda _: b"",
    "a text": lambda _: b"not a database\n" * 999,
    "zeros": lambda good: bytes(len(good)),
    "blocks of zeros": lambda good: good[:12288] + bytes(len(good) - 12288),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_put_aside_and_made_again_and_it_is_said(
    file: Path, rows: Any, damage: Callable[[bytes], bytes]
) -> None:
    """F2, F8."""
    bad = damage(file.read_bytes())
    file.write_bytes(bad)
    answer, said = rows(file)
    assert answer == WHOLE
    (kept,) = aside(file)
    assert kept.read_bytes()[:4096] == bad[:4096]
    assert str(kept) in said
    assert "made again from the journal" in said
    assert said.count("\n") == 1
    assert rows(file) == (WHOLE, "")


def test_a_flipped_bit_never_gives_a_wrong_row(file: Path) -> None:
    """F8: DuckDB's checksums find it, at the opening or when the block is read."""
    good, seen = file.read_bytes(), set[Any]()
    read = "SELECT count(*), sum(len(attributes::VARCHAR)) FROM spans"
    with duckdb.connect(str(file)) as connection:
        whole = connection.execute(read).fetchone()
    chance = random.Random(7)
    # Where what lies differs from run to run: in each block, and in the headers before them.
    for begin in (0, *range(12_288, len(good), 262_144)):
        bad = bytearray(good)
        bad[chance.randrange(begin, min(begin + 12_288, len(good)))] ^= 1 << chance.randrange(8)
        file.write_bytes(bad)
        store = Store(file)
        try:
            with store.cursor() as cursor:
                seen.add(cursor.execute(read).fetchone())
        except duckdb.Error as error:
            store.recover(error)
            assert store.journal_seq == 0
        finally:
            store.close()
    assert len(aside(file)) > 5
    assert seen <= {(0, None), whole}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE meta SET value = 4711 WHERE key = 'schema_version'",
        "DROP TABLE meta",
        "ALTER TABLE spans DROP COLUMN events",
        "DROP TABLE evaluation_results",
        "ALTER TABLE spans ALTER COLUMN input_tokens TYPE VARCHAR",
    ],
)
def test_a_file_of_another_version_or_between_two_is_made_again(file: Path, rows: Any, change: str) -> None:
    """F41: also one that claims a version and is not of it."""
    with duckdb.connect(str(file)) as connection:
        connection.execute(change)
    answer, said = rows(file)
    assert (answer, len(aside(file))) == (WHOLE, 1)
    assert "made again from the journal" in said


def test_a_database_of_something_else_in_the_place_of_ours_is_put_aside_whole(file: Path, rows: Any) -> None:
    file.unlink()
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE bills AS SELECT 42 AS x")
    assert rows(file)[0] == WHOLE
    (kept,) = aside(file)
    with duckdb.connect(str(kept)) as connection:
        assert connection.sql("FROM bills").fetchall() == [(42,)]


def test_a_damaged_log_costs_only_itself(file: Path, rows: Any) -> None:
    """F7: older versions left a log beside the file; what the file itself holds is kept."""
    log = file.with_name(file.name + ".wal")
    with duckdb.connect(str(file)) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("INSERT INTO meta SELECT 'left', range FROM range(1000)")
    bad = bytearray(log.read_bytes())
    bad[len(bad) // 2] ^= 4
    log.write_bytes(bad)
    answer, said = rows(file)
    assert answer == WHOLE
    assert "WAL" in said
    (kept,) = aside(file)
    assert kept.name.endswith(".wal")
    assert kept.read_bytes() == bad


def test_what_was_not_yet_brought_to_disk_is_made_good_from_the_journal(
    processor: Any, otlp: Any, rows: Any, until: Any
) -> None:
    """F1: the database has no log of its own."""
    processor.post_traces(otlp.request(*(otlp.call(1, i) for i in range(1, 21))))
    until(lambda: processor.sql(COUNT)[0]["n"] == 20)
    processor.kill()
    assert not processor.database.with_name("x.duckdb.wal").exists()
    assert rows(processor.database)[0] == [{"n": 20, "ids": 20}]


def test_a_database_that_is_gone_is_made_again_by_a_question(file: Path, rows: Any) -> None:
    file.unlink()
    assert rows(file) == (WHOLE, "")


def columns(path: Path) -> set[tuple[str, ...]]:
    with duckdb.connect(str(path)) as connection:
        asked = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
        return set(connection.sql(asked).fetchall())


def test_the_first_released_schema_is_brought_to_this_one_and_keeps_its_data(
    tmp_path: Path, open_database: Callable[..., Any], otlp: Any
) -> None:
    """Version 2; whoever changes a table says in ``sql/migrations`` how an older one becomes it."""
    old = tmp_path / "x.duckdb"
    with duckdb.connect(str(old)) as connection:
        connection.execute((Path(__file__).parent / "schema_2.sql").read_text("utf-8"))
    opened = open_database(old)
    assert opened.store.journal_seq == 7
    assert opened.row("SELECT value FROM meta WHERE key = 'schema_version'") == {"value": SCHEMA_VERSION}
    opened.insert(otlp.request(otlp.call(11)))
    opened.store.settle(0)
    asked = (
        "SELECT trace_id[-1:] AS trace, prompt_version, input_tokens, cost_usd > 0 AS priced FROM llm_calls"
    )
    known = {"prompt_version": "3", "input_tokens": 10, "priced": True}
    assert opened.rows(f"{asked} ORDER BY 1") == [{"trace": "a"} | known, {"trace": "b"} | known]
    assert opened.rows("SELECT route, spans FROM traces WHERE route = 'a'") == [{"route": "a", "spans": 1}]
    assert opened.rows("SELECT * FROM open_traces") == []
    assert opened.rows("SELECT graph_path FROM spans ORDER BY trace_id") == [
        {"graph_path": "team/plan"},
        {"graph_path": None},
    ]
    assert opened.rows("SELECT 1 FROM duckdb_views() WHERE view_name = 'no_longer'") == []
    opened.store.close()
    Store(tmp_path / "fresh.duckdb").close()
    assert columns(old) == columns(tmp_path / "fresh.duckdb")
    assert not aside(old)


def test_the_rebuild_command_makes_the_file_again_and_keeps_the_old_one(
    file: Path, rows: Any, tupletrace: Callable[..., Any]
) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM spans")
    done = tupletrace("rebuild", "--db", file)
    assert done.returncode == 0, done.stderr
    (kept,) = file.parent.glob("x.duckdb.replaced-*")
    assert str(kept) in done.stdout
    assert "rebuild:" in done.stderr
    assert rows(file) == (WHOLE, "")


CUTS = {
    "cut at its beginning": "DELETE FROM requests WHERE seq <= 2",
    "damaged": "UPDATE requests SET checksum = checksum + 1 WHERE seq IN (7, 9)",
    "one of before": f"DELETE FROM requests WHERE seq > {REQUESTS - 2}",
}


def cut_off(file: Path, sql: str) -> None:
    (day,) = journal.files(journal.journal_folder(file))
    with closing(sqlite3.connect(day)) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_what_the_journal_cannot_give_again_is_given_up_only_when_that_is_said(
    file: Path, rows: Any, cut: str
) -> None:
    cut_off(file, cut)
    with pytest.raises(StoreError, match=r"what 2 requests .* --incomplete"):
        rebuild.rebuild(file, lambda _done, _total: None)
    assert rows(file)[0] == WHOLE
    assert rebuild.rebuild(file, lambda _done, _total: None, incomplete=True)
    assert rows(file)[0] == [{"n": SPANS - 40, "ids": 20}]


def test_a_whole_journal_gives_again_what_nobody_noted_a_request_of(file: Path, rows: Any) -> None:
    """Databases of the first versions, brought to this one, have such rows."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE spans SET journal_seq = 0 WHERE journal_seq < 3")
    assert rebuild.rebuild(file, lambda _done, _total: None)
    assert rows(file) == (WHOLE, "")


def test_nor_beside_a_running_processor(
    file: Path, tupletrace: Callable[..., Any], start_processor: Callable[..., Any]
) -> None:
    cut_off(file, CUTS["damaged"])
    processor = start_processor(file)
    refused = tupletrace("rebuild", "--db", file)
    assert (refused.returncode, "what 2 requests" in refused.stderr) == (2, True)
    assert processor.sql(COUNT) == WHOLE
    done = tupletrace("rebuild", "--incomplete", "--db", file)
    assert done.returncode == 0, done.stderr
    assert processor.sql(COUNT) == [{"n": SPANS - 40, "ids": 20}]
    processor.kill()


def test_a_rebuild_goes_on_where_one_was_ended(file: Path, rows: Any) -> None:
    class Ended(Exception):
        pass

    def end(_done: int, _total: int) -> None:
        raise Ended

    told: list[tuple[int, int]] = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr(index, "BATCH_BYTES", 1)
    with pytest.raises(Ended):
        rebuild.rebuild(file, end)
    rebuild.rebuild(file, lambda done, total: told.append((done, total)))
    monkey.undo()
    assert told[0][0] > 1
    assert told[-1] == (REQUESTS, REQUESTS)
    assert rows(file) == (WHOLE, "")


def test_what_an_ended_rebuild_left_damaged_is_begun_again(file: Path, rows: Any) -> None:
    file.with_name("x.duckdb.rebuilding").write_bytes(b"torn")
    rebuild.rebuild(file, lambda _done, _total: None)
    assert rows(file) == (WHOLE, "")


def test_reprocessing_reads_again_what_came_since_then_and_nothing_before(
    file: Path, rows: Any, tupletrace: Callable[..., Any]
) -> None:
    first = journal.seq_at(journal.journal_folder(file), 0)
    assert first == 1
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE spans SET route = 'wrong'")
    done = tupletrace("reprocess", "--since", "2126-01-01", "--db", file)
    assert "0 requests" in done.stdout, done.stderr
    wrong = "SELECT count(*) AS n FROM spans WHERE route = 'wrong'"
    assert rows(file, wrong)[0] == [{"n": SPANS}]
    done = tupletrace("reprocess", "--since", "1h", "--db", file)
    assert f"{REQUESTS} requests" in done.stdout, done.stderr
    assert rows(file, wrong)[0] == [{"n": 0}]
    assert rows(file) == (WHOLE, "")
    assert rows(file, "SELECT count(*) AS n FROM traces")[0] == [{"n": REQUESTS}]


def test_reprocessing_changes_nothing_if_the_journal_lacks_some_of_it(file: Path, rows: Any) -> None:
    (day,) = journal.files(journal.journal_folder(file))
    with closing(sqlite3.connect(day)) as connection, connection:
        connection.execute("DELETE FROM requests WHERE seq = 5")
    with pytest.raises(StoreError, match="1 requests"):
        rebuild.reprocess(file, datetime.fromtimestamp(0, UTC), lambda _done, _total: None)
    assert rows(file) == (WHOLE, "")
