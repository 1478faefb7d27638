"""``tupletrace.processor.connect()``: frames for Python, whether a processor runs or not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from tupletrace.processor import connect, query
from tupletrace.processor.schema import StoreError

ROOT = Path(__file__).parents[2]
CALLS = "SELECT trace_id, cost_usd, input_tokens, start_time FROM llm_calls ORDER BY trace_id"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, open_database: Any, otlp: Any) -> Path:
    """A database with three calls that nobody has open."""
    made = open_database(tmp_path_factory.mktemp("connect") / "x.duckdb")
    made.insert(*(otlp.request(otlp.call(trace, 1)) for trace in (1, 2, 3)))
    made.store.settle(0)
    made.store.close()
    return made.path


@pytest.fixture(scope="module", params=["nobody runs", "a processor runs", "by its URL"])
def connection(request: pytest.FixtureRequest, stopped: Path, start_processor: Any) -> Iterator[Any]:
    """A connection to it, in each way there is."""
    running = None if request.param == "nobody runs" else start_processor(stopped)
    source = f"http://{running.http}" if running and request.param == "by its URL" else stopped
    with connect(source) as made:
        yield made
    if running:
        running.stop()


def test_an_answer_becomes_a_frame_of_every_kind_with_its_types(connection: Any) -> None:
    table = connection.sql(CALLS).to_arrow_table()
    assert table.schema.field("cost_usd").type == pa.decimal128(24, 12)
    assert table.schema.field("start_time").type == pa.timestamp("us", "UTC")
    polars = connection.sql(CALLS).pl()
    assert polars.schema["cost_usd"] == pl.Decimal(24, 12)
    assert polars["cost_usd"].to_list() == [Decimal("0.000075")] * 3
    assert connection.sql(CALLS).fetchall()[0][2] == 10


def test_pandas_gets_a_frame_in_utc(stopped: Path, tmp_path: Path) -> None:
    """In a program of its own: pyarrow loads pandas wherever it is, and every start takes twice as long."""
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--target", tmp_path, "pandas"]
    subprocess.run(install, check=True, cwd=ROOT)
    program = f"""
from tupletrace.processor import connect
with connect({str(stopped)!r}) as connection:
    frame = connection.sql({CALLS!r}).df()
print(type(frame), frame["start_time"].dt.tz, frame["input_tokens"].tolist())
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "<class 'pandas.DataFrame'> UTC [10, 10, 10]\n"


def test_numbers_go_to_numpy_and_polars_in_the_memory_that_they_were_answered_in(connection: Any) -> None:
    table = connection.sql("SELECT i FROM range(1000) AS t(i)").to_arrow_table().combine_chunks()
    chunk = table["i"].chunk(0)
    address = chunk.buffers()[1].address
    assert chunk.to_numpy(zero_copy_only=True).ctypes.data == address
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    assert frame["i"].to_arrow().buffers()[1].address == address


def test_an_answer_can_be_asked_further_and_joined_with_what_is_at_hand(connection: Any) -> None:
    calls = connection.sql(CALLS)
    assert calls.filter("input_tokens = 10").aggregate("sum(cost_usd) AS usd").fetchall() == [
        (Decimal("0.000225"),)
    ]
    assert calls.count("*").fetchall() == [(3,)]


def test_parameters_have_places_or_names(connection: Any) -> None:
    assert connection.sql("SELECT ? AS a, $2 AS b", ["x'; --", 1]).fetchall() == [("x'; --", 1)]
    assert connection.sql("SELECT count(*) FROM spans WHERE trace_id <> $id", {"id": "x"}).fetchall() == [
        (3,)
    ]


@pytest.mark.parametrize(
    "attack",
    ["DROP TABLE spans", "COPY spans TO 'x'", "FROM 'x.csv'", "SET threads = 1", "SELECT 1; SELECT 2"],
)
def test_it_only_reads(connection: Any, attack: str) -> None:
    with pytest.raises((query.SqlRefused, query.SqlFailed)):
        connection.sql(attack)
    assert connection.sql("SELECT count(*) FROM spans").fetchall() == [(3,)]


def test_what_is_wrong_is_said_and_the_next_question_answered(connection: Any) -> None:
    with pytest.raises(query.SqlFailed, match="nonsense"):
        connection.sql("SELECT nonsense FROM spans")
    assert connection.sql("SELECT 1").fetchall() == [(1,)]


def test_threads_share_a_connection_and_get_their_own_answers(connection: Any) -> None:
    def ask(number: int) -> list[tuple[Any, ...]]:
        return connection.sql("SELECT $1::INT, count(*) FROM range(1000 + $1::INT)", [number]).fetchall()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(20))) == [[(number, 1000 + number)] for number in range(20)]


def test_it_goes_on_when_the_processor_starts_anew_elsewhere_and_when_it_has_gone(
    start_processor: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "x.duckdb"
    first = start_processor(file)
    with connect(file) as connection:
        assert connection.sql("SELECT count(*) FROM spans").fetchall() == [(0,)]
        first.stop()
        second = start_processor(file)
        assert second.http != first.http
        assert connection.sql("SELECT count(*) FROM spans").fetchall() == [(0,)]
        second.stop()
        assert connection.sql("SELECT count(*) FROM spans").fetchall() == [(0,)]
    # It is given back: a processor can have it.
    start_processor(file).stop()


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere\.duckdb"), connect(tmp_path / "nowhere.duckdb"):
        pass
    with connect("http://127.0.0.1:9") as connection, pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        connection.sql("SELECT 1")


FORKS = """
import os, sys, time
from tupletrace.processor import connect
from tupletrace.processor.schema import StoreError

ended, ending = os.pipe()
with connect(sys.argv[1]) as connection:
    before = connection.sql("FROM spans").fetchall()
    written = os.stat(sys.argv[1]).st_mtime_ns
    child = os.fork()
    if not child:
        try:
            connection.sql("FROM spans")
        except StoreError as error:
            print(error, flush=True)
        sys.exit(7)
    assert os.waitpid(child, 0)[1] == 7 << 8
    assert os.stat(sys.argv[1]).st_mtime_ns == written
    assert connection.sql("FROM spans").fetchall() == before
    # Another one outlives its parent.
    if not os.fork():
        os.close(ending)
        os.close(1)
        os.close(2)
        os.read(0, 1)
        os._exit(0)
print(os.getpid(), flush=True)
os._exit(0)
"""


def test_f12_a_fork_is_refused_changes_nothing_and_holds_nothing(
    tmp_path: Path, open_database: Any, otlp: Any
) -> None:
    """Neither by what it asks nor by its end; and while it lives the file of its parent is free again."""
    path = tmp_path / "x.duckdb"
    made = open_database(path)
    made.insert(otlp.request(otlp.call(1, 1)))
    made.store.close()
    script = [sys.executable, "-c", FORKS, path]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdin
        refused, pid = parent.stdout.read().splitlines()
        assert refused == f"process {pid} connected, of which this is a fork: connect after the fork"
        assert parent.wait(60) == 0
        with connect(path) as again:
            assert again.sql("SELECT count(*) FROM llm_calls").fetchall() == [(1,)]
        parent.stdin.close()
