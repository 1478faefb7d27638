"""Arrow Flight SQL through the driver that everybody uses, ADBC's, against a running processor."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import adbc_driver_flightsql
import adbc_driver_manager
import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi
from pyarrow import flight

from tupletrace.processor.flight_messages import packed, unpacked

BEARER = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value


@pytest.fixture(scope="module")
def processor(start_processor: Callable[..., Any], otlp: Any, until: Any) -> Iterator[Any]:
    """A processor with two traces that answers Flight SQL."""
    running = start_processor(TUPLETRACE_FLIGHT="127.0.0.1:0")
    for trace in (1, 2):
        running.post_traces(otlp.request(otlp.span(trace, 1, name="ask"), otlp.call(trace, 2, 1)))
    until(lambda: running.sql("SELECT count(*) AS n FROM traces WHERE complete") == [{"n": 2}])
    yield running
    assert "Traceback" not in running.stop()


@pytest.fixture
def connection(processor: Any) -> Iterator[Any]:
    """A connection to it."""
    with dbapi.connect(f"grpc+tcp://{processor.said['flight']}", autocommit=True) as made:
        yield made


def rows(connection: Any, *asked: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(*asked)
        return cursor.fetchall()


def test_queries_are_answered_in_arrow(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT trace_id, cost_usd, start_time FROM traces ORDER BY 1")
        table = cursor.fetch_arrow_table()
    assert table.num_rows == 2
    assert table.schema.field("cost_usd").type == pa.decimal128(24, 12)
    assert table.schema.field("start_time").type == pa.timestamp("us", "UTC")


def test_parameters_are_bound(connection: Any) -> None:
    assert rows(connection, "SELECT count(*) FROM spans WHERE name = ? AND trace_id <> ?", ("ask", "x")) == [
        (2,)
    ]


@pytest.mark.parametrize(
    "sql",
    ["DESCRIBE traces", "FROM tuple_coverage -- all", "SELECT 1;", "FROM rollbacks()", "EXPLAIN FROM traces"],
)
def test_every_form_of_query_is_answered(connection: Any, sql: str) -> None:
    rows(connection, sql)


def test_large_answers_come_in_parts_and_many_at_once(connection: Any) -> None:
    asked = "SELECT i, 'text' || i AS t FROM range(100000) AS r(i)"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: len(rows(connection, asked)), range(8)))
    assert answers == [100_000] * 8


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE spans",
        "SELECT 1; DROP TABLE spans",
        "SELECT 1) LIMIT 0; DROP TABLE spans; SELECT * FROM (SELECT 1",
        "WITH x AS (DELETE FROM spans RETURNING 1) SELECT * FROM x",
        "COPY spans TO '/tmp/x'",
        "FROM read_csv('/etc/passwd')",
        "SET memory_limit = '1GB'",
    ],
)
def test_nothing_can_be_written_or_read_beside_the_tables(connection: Any, sql: str) -> None:
    with pytest.raises(adbc_driver_manager.Error):
        rows(connection, sql)
    assert rows(connection, "SELECT count(*) FROM spans") == [(4,)]


def test_what_is_wrong_with_a_query_is_said(connection: Any) -> None:
    with pytest.raises(adbc_driver_manager.Error, match='"nonsense"'):
        rows(connection, "SELECT nonsense FROM spans")


def test_rows_cannot_be_ingested(connection: Any) -> None:
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error):
        cursor.adbc_ingest("mine", pa.table({"a": [1]}))


def test_clients_find_catalogs_schemas_tables_and_columns(connection: Any) -> None:
    """The calls that DBeaver makes before it shows a tree."""
    assert connection.adbc_get_info()["vendor_name"] == "tupletrace"
    assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
    (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    assert {"spans", "evaluations", "traces", "llm_calls", "tuple_coverage"} <= set(tables)
    columns = [column["column_name"] for column in tables["trace_costs"]["table_columns"]]
    assert columns[:2] == ["trace_id", "route"]
    only = connection.adbc_get_objects(depth="tables", table_name_filter="trace_c%")
    (catalog,) = only.read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    assert [table["table_name"] for table in schema["db_schema_tables"]] == ["trace_costs"]
    assert "route" in connection.adbc_get_table_schema("traces").names


@pytest.mark.parametrize(
    ("command", "fields", "rows"),
    [
        ("CommandGetCatalogs", {}, 1),
        ("CommandGetDbSchemas", {"catalog": "tupletrace", "db_schema_filter_pattern": "main"}, 1),
        ("CommandGetTables", {"table_name_filter_pattern": "trac%", "table_types": ["VIEW"]}, None),
        ("CommandGetTables", {"table_name_filter_pattern": "spans", "include_schema": True}, 1),
        ("CommandGetTables", {"table_types": ["SYSTEM TABLE"]}, 0),
        ("CommandGetTableTypes", {}, 2),
        ("CommandGetSqlInfo", {}, None),
        ("CommandGetSqlInfo", {"info": [0, 3, 504]}, 3),
        ("CommandGetXdbcTypeInfo", {}, None),
        ("CommandGetPrimaryKeys", {"catalog": "tupletrace", "db_schema": "main", "table": "spans"}, 0),
        ("CommandGetExportedKeys", {"table": "spans"}, 0),
        ("CommandGetImportedKeys", {"table": "spans"}, 0),
        ("CommandGetCrossReference", {"pk_table": "spans", "fk_table": "evaluations"}, 0),
    ],
)
def test_what_jdbc_asks_about_a_database_has_the_columns_that_were_announced(
    processor: Any, command: str, fields: dict[str, Any], rows: int | None
) -> None:
    with flight.connect(f"grpc+tcp://{processor.said['flight']}") as client:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(packed(command, **fields)))
        answer = client.do_get(info.endpoints[0].ticket).read_all()
    assert answer.schema.equals(info.schema)
    assert answer.num_rows == rows if rows is not None else answer.num_rows > 0
    if fields.get("include_schema"):
        described = pa.ipc.read_schema(pa.py_buffer(answer["table_schema"][0].as_py()))
        assert described.names[:2] == ["trace_id", "span_id"]


def infos(client: Any, *asked: int) -> dict[int, Any]:
    command = flight.FlightDescriptor.for_command(packed("CommandGetSqlInfo", info=asked))
    table = client.do_get(client.get_flight_info(command).endpoints[0].ticket).read_all()
    return dict(zip(table["info_name"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_no_fact_that_a_driver_may_ask_for_is_missing(processor: Any) -> None:
    """JDBC's fails on its own request where one is: of the server, of its names, and of its SQL."""
    with flight.connect(f"grpc+tcp://{processor.said['flight']}") as client:
        told = infos(client)
        assert {*range(6), *range(8, 12), *range(500, 577)} <= set(told)
        assert (told[3], told[504], told[540], told[557]) == (True, '"', 0b11, 0)
        assert infos(client, 3, 504) == {3: True, 504: '"'}


def prepared(client: Any, sql: str) -> tuple[bytes, pa.Schema, pa.Schema]:
    """The handle, the columns and the parameters of a statement, as JDBC prepares every query."""
    (made,) = client.do_action(
        flight.Action("CreatePreparedStatement", packed("ActionCreatePreparedStatementRequest", query=sql))
    )
    _, result = unpacked(made.body.to_pybytes())
    dataset, parameters = (
        pa.ipc.read_schema(pa.py_buffer(schema))
        for schema in (result.dataset_schema, result.parameter_schema)
    )
    return result.prepared_statement_handle, dataset, parameters


@pytest.mark.parametrize(
    ("sql", "bound", "answer"),
    [
        ("SELECT count(*) AS n FROM spans WHERE name = ? AND duration_ns >= ?", ["ask", "0"], [{"n": 2}]),
        ("SELECT $b::INT - $a::INT AS n", ["1", "3"], [{"n": 2}]),
        ("SELECT " + " || ".join(["?"] * 11) + " AS t", list("abcdefghijk"), [{"t": "abcdefghijk"}]),
        ("SELECT count(*) AS n FROM range(?::BIGINT)", ["7"], [{"n": 7}]),
    ],
    ids=["places", "names", "more than ten", "of a table function"],
)
def test_a_prepared_statement_tells_its_columns_and_takes_its_parameters_as_text(
    processor: Any, sql: str, bound: list[str], answer: list[dict[str, Any]]
) -> None:
    with flight.connect(f"grpc+tcp://{processor.said['flight']}") as client:
        handle, dataset, parameters = prepared(client, sql)
        assert (dataset.names, len(parameters)) == (list(answer[0]), len(bound))
        run = packed("CommandPreparedStatementQuery", prepared_statement_handle=handle)
        descriptor = flight.FlightDescriptor.for_command(run)
        writer, _ = client.do_put(descriptor, parameters)
        writer.write_table(
            pa.Table.from_pylist([dict(zip(parameters.names, bound, strict=True))], parameters)
        )
        writer.close()
        info = client.get_flight_info(descriptor)
        assert client.do_get(info.endpoints[0].ticket).read_all().to_pylist() == answer
        packed_handle = packed("ActionClosePreparedStatementRequest", prepared_statement_handle=handle)
        list(client.do_action(flight.Action("ClosePreparedStatement", packed_handle)))
        with pytest.raises(flight.FlightServerError, match="closed"):
            client.get_flight_info(descriptor)


@pytest.mark.parametrize(
    ("sql", "said"), [("SELECT nonsense FROM spans", "nonsense"), ("DROP TABLE spans", "read-only")]
)
def test_what_is_wrong_with_a_query_is_said_when_it_is_prepared(processor: Any, sql: str, said: str) -> None:
    """JDBC takes a statement without columns for one that writes, and tells of that."""
    with (
        flight.connect(f"grpc+tcp://{processor.said['flight']}") as client,
        pytest.raises(flight.FlightError, match=said),
    ):
        prepared(client, sql)


def test_a_query_ends_when_its_client_has_gone(processor: Any, until: Any) -> None:
    slow = "SELECT count(*) FROM range(1000000) AS a(i), range(1000000) AS b(j) WHERE i + j = -1"
    long = "SELECT i, md5(CAST(i AS VARCHAR)) AS text FROM range(30000000) AS t(i)"
    with flight.connect(f"grpc+tcp://{processor.said['flight']}") as client:
        reader = client.do_get(flight.Ticket(packed("CommandStatementQuery", query=long)))
        reader.read_chunk()
        assert processor.metric("tupletrace_queries_running") == 1
        reader.cancel()
        until(lambda: processor.metric("tupletrace_queries_running") == 0)
        with pytest.raises(flight.FlightTimedOutError):
            client.do_get(
                flight.Ticket(packed("CommandStatementQuery", query=slow)),
                flight.FlightCallOptions(timeout=1),
            ).read_all()
    until(lambda: processor.metric("tupletrace_queries_running") == 0)


def test_a_token_is_asked_for_where_there_are_any(
    start_processor: Callable[..., Any], tupletrace: Callable[..., Any], tmp_path: Any
) -> None:
    file = tmp_path / "x.duckdb"
    made = {
        scope: tupletrace("tokens", "add", scope, "--scope", scope, "--db", file).stdout.split()[-1]
        for scope in ("read", "ingest")
    }
    running = start_processor(tmp_path / "x.duckdb", TUPLETRACE_FLIGHT="127.0.0.1:0")
    url = f"grpc+tcp://{running.said['flight']}"
    with dbapi.connect(url, db_kwargs={BEARER: f"Bearer {made['read']}"}, autocommit=True) as allowed:
        assert rows(allowed, "SELECT count(*) FROM spans") == [(0,)]
    for said in ({}, {BEARER: "Bearer tt_wrong"}, {BEARER: f"Bearer {made['ingest']}"}):
        with (
            dbapi.connect(url, db_kwargs=said, autocommit=True) as refused,
            pytest.raises(adbc_driver_manager.Error, match="token"),
        ):
            rows(refused, "SELECT 1")
    # What DBeaver's fields for a user and a password become.
    with flight.connect(url) as client:
        bearer = client.authenticate_basic_token("anybody", made["read"])
        assert client.get_flight_info(
            flight.FlightDescriptor.for_command(packed("CommandGetCatalogs")),
            flight.FlightCallOptions(headers=[bearer]),
        ).endpoints
        for password in ("tt_wrong", made["ingest"]):
            with pytest.raises(flight.FlightError, match="token"):
                client.authenticate_basic_token("anybody", password)


def test_a_port_in_use_is_said_and_nothing_else(
    processor: Any, tmp_path: Any, tupletrace: Callable[..., Any]
) -> None:
    done: subprocess.CompletedProcess[str] = tupletrace(
        *("serve", "--db", tmp_path / "x.duckdb", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"),
        *("--flight", processor.said["flight"]),
    )
    assert done.returncode == 2
    said = f"tupletrace: cannot listen on {processor.said['flight']} (Flight SQL): Address already in use\n"
    assert done.stderr == said
