"""Arrow Flight SQL through Arrow's JDBC driver, as DBeaver uses it; where Java and the driver can be had."""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DRIVER = "org.apache.arrow:flight-sql-jdbc-driver:18.3.0"
CLIENT = Path(__file__).parent / "jdbc" / "Client.java"


@pytest.fixture(scope="module")
def driver() -> Path:
    """The driver's file: Maven keeps what it has fetched once."""
    if not shutil.which("java"):
        pytest.skip("there is no java")
    group, name, version = DRIVER.split(":")
    file = Path("~/.m2/repository", *group.split("."), name, version, f"{name}-{version}.jar").expanduser()
    if not file.exists():
        if not shutil.which("mvn"):
            pytest.skip(f"there is no mvn to fetch {DRIVER}")
        get = ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={DRIVER}", "-Dtransitive=false"]
        try:
            fetched = subprocess.run(get, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{DRIVER} did not come within two minutes")
        if not file.exists():
            pytest.skip(f"{DRIVER} cannot be fetched: {fetched.stdout.strip()[:500]}")
    return file


@pytest.fixture(scope="module")
def told(
    driver: Path, start_processor: Callable[..., Any], otlp: Any, until: Any
) -> Iterator[dict[str, list[list[str]]]]:
    """What the client printed, the rows of each label."""
    running = start_processor(TUPLETRACE_FLIGHT="127.0.0.1:0")
    for trace in (1, 2):
        running.post_traces(otlp.request(otlp.span(trace, 1, name="ask"), otlp.call(trace, 2, 1)))
    until(lambda: running.sql("SELECT count(*) AS n FROM traces WHERE complete") == [{"n": 2}])
    command = [
        "java",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
    ]
    url = f"jdbc:arrow-flight-sql://{running.said['flight']}?useEncryption=false"
    done = subprocess.run(
        [*command, "-cp", driver, CLIENT, url], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = defaultdict[str, list[list[str]]](list)
    for line in done.stdout.splitlines():
        label, *fields = line.split("\t")
        rows[label].append(fields)
    # What was cancelled has ended.
    until(lambda: running.metric("tupletrace_queries_running") == 0)
    yield rows
    assert "Traceback" not in running.stop()


def test_a_tool_sees_a_read_only_database_without_transactions(told: dict[str, list[list[str]]]) -> None:
    facts = ("product", "read-only", "quote", "transactions", "valid")
    assert [told[fact] for fact in facts] == [[["tupletrace"]], [["true"]], [['"']], [["false"]], [["true"]]]


def test_a_tool_finds_catalogs_schemas_tables_columns_and_no_keys(told: dict[str, list[list[str]]]) -> None:
    assert [told[kind] for kind in ("catalog", "schema", "table type")] == [
        [["tupletrace"]],
        [["main"]],
        [["TABLE"], ["VIEW"]],
    ]
    assert ["traces", "VIEW"] in told["table"]
    assert all(name.startswith("trac") for name, _ in told["table"])
    assert {
        ("trace_id", "12", "VARCHAR"),
        ("start_time", "2014", "TIMESTAMP_WITH_TIMEZONE"),
        ("llm_calls", "-5", "BIGINT"),
        ("cost_usd", "3", "DECIMAL"),
    } <= {tuple(column) for column in told["column"]}
    assert (told["key"], told["imported"], told["exported"]) == ([], [], [])


def test_a_tool_reads_rows_and_binds_parameters_as_text(told: dict[str, list[list[str]]]) -> None:
    assert told["span"][:2] == [
        ["ask", "1000000", "2026-01-01 12:00:00.001"],
        ["span", "1000000", "2026-01-01 12:00:00.002"],
    ]
    assert (told["parameters"], told["counted"]) == ([["2"]], [["2"], ["0"]])


def test_a_tool_is_told_why_it_cannot_write_and_what_is_wrong(told: dict[str, list[list[str]]]) -> None:
    *refused, wrong = told["refused"]
    assert len(refused) == 6
    assert all(
        failed == "yes" and ("read-only SQL" in said or "one statement" in said) for failed, said in refused
    )
    assert told["updated"][0][0] == "yes"
    assert "nonsense" in wrong[1]
    assert told["after"] == [["4"]]


def test_a_query_can_be_cancelled_among_its_rows(told: dict[str, list[list[str]]]) -> None:
    assert told["cancelled"] == [["yes", "Statement canceled"]]
