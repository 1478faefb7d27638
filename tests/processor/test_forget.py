"""``tupletrace forget``: what is forgotten is in no file any more, and the rest is as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.ask import database
from tupletrace.processor.forget import forget
from tupletrace.processor.journal import Journal, journal_folder

COUNT = "SELECT count(DISTINCT trace_id) AS traces, count(*) AS spans FROM spans"


@pytest.fixture
def db(tmp_path: Path, otlp: Any) -> Path:
    """Six traces of two spans by two users; the secret of one user is in every place that has text."""
    path = tmp_path / "x.duckdb"
    written = Journal(journal_folder(path))
    for trace in range(1, 7):
        user = "ann" if trace % 2 else "bob"
        said = {"user.id": user, "note": f"secret of {user} " * 50, "gen_ai.conversation.id": f"c{trace}"}
        spans = [
            otlp.call(trace, 1, attributes=said),
            otlp.span(trace, 2, parent=1, name=f"secret of {user}"),
        ]
        written.append(
            "traces", otlp.request(*spans, *([otlp.span(90 + trace)] if trace > 3 else []))
        ).result(120)
    written.close()
    with database(path) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 15}]
    return path


def holding(folder: Path, text: bytes) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]


def test_no_file_holds_what_was_forgotten_and_nothing_else_is_gone(db: Path) -> None:
    assert holding(db.parent, b"secret of ann")
    record = None
    for _ in range(2):
        record = forget(db, "user", "ann", lambda _done, _total: None)
        assert not holding(db.parent, b"secret of ann")
        assert not holding(db.parent, b'"ann"')
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 6, "spans": 9}]
        assert answer("SELECT * FROM lost_requests").to_pylist() == []
        assert answer("SELECT DISTINCT user_id FROM spans WHERE user_id IS NOT NULL").to_pylist() == [
            {"user_id": "bob"}
        ]
    first, second = map(json.loads, (journal_folder(db) / "forgotten.jsonl").read_text().splitlines())
    assert (first["kind"], first["traces"], first["spans"]) == ("user", 3, 6)
    assert second == record
    assert second["traces"] == 0


def test_a_name_that_is_written_as_sql_is_a_name(db: Path) -> None:
    """F34: nobody has it, so nothing is forgotten."""
    for name in ("' OR '1'='1", "%", "$value"):
        assert forget(db, "user", name, lambda _done, _total: None)["traces"] == 0
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 15}]


def test_what_comes_after_has_new_numbers_and_is_kept(db: Path, otlp: Any) -> None:
    forget(db, "conversation", "c6", lambda _done, _total: None)
    more = Journal(journal_folder(db))
    assert more.append("traces", otlp.request(otlp.span(50))).result(120) == 7
    more.close()
    with database(db) as answer:
        assert answer(COUNT).to_pylist() == [{"traces": 9, "spans": 14}]


def test_the_command_warns_of_the_files_that_it_does_not_look_into(
    db: Path, tupletrace: Callable[..., Any]
) -> None:
    done = tupletrace("forget", "--trace", f"{2:032x}", "--db", db)
    assert (done.returncode, "1 traces with 2 spans" in done.stdout) == (0, True), done.stderr
    aside = db.with_name("x.duckdb.quarantined-1")
    aside.touch()
    done = tupletrace("forget", "--trace", f"{4:032x}", "--db", db)
    assert (done.returncode, f"tupletrace: {aside} is not looked into" in done.stderr) == (0, True), done
