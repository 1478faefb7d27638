"""What ``tupletrace serve`` says when it cannot start: one line, no traceback, exit code 2."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tupletrace.processor.cli import main
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.schema import StoreError
from tupletrace.processor.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]
HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
ANY = "127.0.0.1:0"


@pytest.fixture
def refused(tupletrace: Run) -> Callable[..., str]:
    """Start on this database, which must fail as promised, and return the line."""

    def run(database: Path, grpc: str = ANY, http: str = ANY) -> str:
        done = tupletrace("serve", "--db", database, "--grpc", grpc, "--http", http)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("tupletrace: ")
        return done.stderr

    return run


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_in_use_is_named_with_its_protocol(refused: Any, tmp_path: Path, taken: str) -> None:
    """C51: two servers must never share a port."""
    database = tmp_path / "x.duckdb"
    over_grpc, over_http = refused(database, grpc=taken), refused(database, http=taken)
    assert f"{taken} (gRPC)" in over_grpc
    assert f"{taken} (HTTP)" in over_http


@pytest.mark.parametrize("said", ["4317", "localhost", "127.0.0.1:", "127.0.0.1:99999", ":1", "a:b"])
def test_an_address_that_is_none_is_named_with_the_form_it_should_have(
    tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--db", str(tmp_path / "x.duckdb"), "--grpc", said]) == 2
    line = capsys.readouterr().err
    assert f"--grpc {said}" in line
    assert "HOST:PORT" in line
    assert not list(tmp_path.iterdir())


def test_a_database_of_a_running_processor_is_refused_naming_the_process(
    processor: Any, refused: Any
) -> None:
    """F11."""
    line = refused(processor.database)
    assert str(processor.database) in line
    assert f"process {processor.process.pid}" in line
    assert processor.sql("SELECT 1 AS still") == [{"still": 1}]


def test_a_database_that_another_program_has_open_is_refused_naming_it_and_left_as_it_is(
    refused: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F11: also where there is a journal to make it again from, for it is not damaged."""
    database, snapshot = tmp_path / "x.duckdb", tmp_path / "s.duckdb"
    with closing(Journal(journal_folder(database))) as journal:
        journal.append("traces", b"").result(10)
    assert main(["snapshot", str(snapshot), "--db", str(database)]) == 0
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    holder.stdout.readline()
    asked = ("sql", "SELECT 1"), ("rebuild",), ("restore", str(snapshot)), ("retain", "--keep-spans", "1d")
    try:
        said = [refused(database)]
        for command in asked:
            assert main([*command, "--db", str(database)]) == 2, command
            said.append(capsys.readouterr().err)
        for one in said:
            assert f"{database} is open in process {holder.pid} (" in one
            assert "close it there" in one
    finally:
        holder.communicate(b"\n", timeout=20)
    assert {file.name for file in tmp_path.iterdir()} == {
        *("x.duckdb", "x.duckdb.journal", "x.duckdb.lock", "s.duckdb")
    }
    assert main(["sql", "SELECT 1 AS one", "--db", str(database), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"one": 1}]


@pytest.mark.parametrize("content", [b"not a database\n" * 999, b"SQLite format 3\0" + bytes(9000), b"x"])
def test_a_file_that_is_no_duckdb_file_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    file.chmod(0o644)
    with pytest.raises(StoreError, match=f"{file} cannot be opened as a DuckDB file") as refused:
        Store(file)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE bills AS SELECT 1 AS x"],
        ["CREATE TABLE spans AS SELECT 1 AS x"],
        ["CREATE TABLE meta AS SELECT 1 AS x", "CREATE TABLE spans AS SELECT 1 AS x"],
        ["CREATE SCHEMA other", "CREATE TABLE other.bills AS SELECT 1 AS x"],
        ["CREATE VIEW bills AS SELECT 1 AS x"],
    ],
)
def test_a_duckdb_file_of_something_else_is_refused_and_left_as_it_was(
    tmp_path: Path, statements: list[str]
) -> None:
    file = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)
    file.chmod(0o644)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=f"{file} is a DuckDB file of something else"):
        Store(file)
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_foreign_file_is_refused_in_one_line(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database")
    assert str(tmp_path / "notes.txt") in refused(tmp_path / "notes.txt")


def test_a_database_of_a_newer_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    Store(file).close()
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE meta SET value = 4711 WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match=f"{file} has schema version 4711, this tupletrace knows "):
        Store(file)


def test_a_folder_that_cannot_be_made_or_written_is_named(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a regular file")
    below = tmp_path / "file" / "folder" / "x.duckdb"
    assert str(below.parent) in refused(below)
    assert str(tmp_path / "file") in refused(tmp_path / "file" / "x.duckdb")


def test_a_folder_in_place_of_the_database_is_named(refused: Any, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            "raise ModuleNotFoundError(\"No module named 'duckdb'\", name='duckdb')",
            "pip install 'tupletrace[",
        ),
        ("raise ImportError('_duckdb.so: undefined symbol: x', name='_duckdb')", "undefined symbol: x"),
    ],
    ids=["missing", "of another machine"],
)
def test_f43_a_dependency_that_cannot_be_loaded_is_named(
    tupletrace: Run, tmp_path: Path, module: str, words: str
) -> None:
    (tmp_path / "duckdb.py").write_text(module)
    done = tupletrace("sql", "SELECT 1", "--db", tmp_path / "x.duckdb", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "duckdb" in done.stderr
    assert words in done.stderr


def test_folders_that_are_missing_are_made(start_processor: Any, tmp_path: Path) -> None:
    running = start_processor(tmp_path / "a" / "b" / "x.duckdb")
    running.stop()
    assert running.database.exists()
    assert running.database.parent.stat().st_mode & 0o777 == 0o700


def test_the_environment_says_the_same_as_the_options(tmp_path: Path, tupletrace: Run, taken: str) -> None:
    """The options are tried one after the other, each with a value that is refused."""
    database = tmp_path / "x.duckdb"
    here = {"TUPLETRACE_DB": str(database), "TUPLETRACE_GRPC": ANY, "TUPLETRACE_HTTP": ANY}
    assert f"{taken} (gRPC)" in tupletrace("serve", **here | {"TUPLETRACE_GRPC": taken}).stderr
    assert f"{taken} (HTTP)" in tupletrace("serve", **here | {"TUPLETRACE_HTTP": taken}).stderr
    assert database.exists()


def test_the_owner_of_a_database_is_written_beside_it(processor: Any) -> None:
    said = json.loads(processor.database.with_name("x.duckdb.lock").read_text())
    assert (said["pid"], said["http"]) == (processor.process.pid, processor.http)
