"""Queries that break DuckDB itself: the processor goes on, and nobody's words are taken for its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tupletrace.processor import query


@pytest.fixture(scope="module")
def processor(start_processor: Callable[..., Any], otlp: Any, until: Any) -> Iterator[Any]:
    """A processor with four spans."""
    running = start_processor()
    for trace in (1, 2):
        running.post_traces(otlp.request(otlp.span(trace, 1, name="ask"), otlp.call(trace, 2, 1)))
    until(lambda: running.sql("SELECT count(*) AS n FROM traces WHERE complete") == [{"n": 2}])
    yield running
    running.stop()


def test_a_query_that_breaks_duckdb_does_not_end_the_processor(processor: Any, otlp: Any, until: Any) -> None:
    """An internal error ends every connection to the database: it is opened again, with all that came."""
    text = "SELECT string_agg('x', '') AS s FROM range(10000000)"
    broken = processor.ask(f"SELECT length(concat({', '.join(['s'] * 900)})) FROM ({text})")
    assert broken.status == 400
    assert "INTERNAL" in broken.json["error"]
    assert "Stack Trace" not in broken.json["error"]
    processor.post_traces(otlp.request(otlp.span(3, 1, name="ask"), otlp.call(3, 2, 1)))
    counted = "SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces FROM spans"
    until(lambda: processor.ask(counted).json == [{"spans": 6, "traces": 3}])


def test_words_of_a_query_are_not_taken_for_an_error_of_the_database(
    processor: Any, otlp: Any, until: Any
) -> None:
    """It would be closed, put aside, and made again from the journal."""
    for words in ("FATAL Error: database has been invalidated", "IO Error: Corrupt database file"):
        for sql in (f"SELECT error('{words}')", f'SELECT "{words}" FROM spans'):
            assert words in processor.ask(sql).json["error"]
    processor.post_traces(otlp.request(otlp.span(4, 1, name="after these words")))
    until(lambda: processor.sql("SELECT 1 AS n FROM spans WHERE name = 'after these words'"))
    assert not [file.name for file in processor.database.parent.iterdir() if "quarantined" in file.name]


def test_spans_are_stored_while_somebody_reads_what_was_changed_since(database: Any, otlp: Any) -> None:
    """DuckDB refuses to bring the changes to disk until then."""
    many = otlp.request(*(otlp.span(1, number) for number in range(1, 1001)))
    with database.store.cursor() as reader:
        reader.execute("BEGIN TRANSACTION READ ONLY")
        reader.execute("SELECT count(*) FROM meta").fetchall()
        # More than a row group, most of them again and again: a checkpoint is due.
        database.insert(*[many] * 123)
        assert not database.store.save()
        database.insert(otlp.request(otlp.span(2, 1)))
        assert database.row("SELECT count(*) AS n FROM spans") == {"n": 1001}
    assert database.store.save()


def test_an_answer_that_nobody_takes_ends_at_the_time_limit(database: Any, otlp: Any, until: Any) -> None:
    """A client that stops reading holds up nothing: what was changed since can be brought to disk."""
    with query.Answer(database.store.cursor(), seconds=10) as answer:
        rows = iter(answer.ask("SELECT i, key FROM range(1000000) AS t(i), meta"))
        next(rows)
        database.insert(otlp.request(otlp.span(1, 1)))
        until(database.store.save)
        with pytest.raises(query.SqlFailed, match="the limit is 10 s"):
            next(rows)


def test_an_answer_that_is_left_leaves_no_transaction(database: Any, otlp: Any) -> None:
    with query.Answer(database.store.cursor()) as answer:
        next(iter(answer.ask("SELECT i, key FROM range(1000000) AS t(i), meta")))
    database.insert(otlp.request(otlp.span(1, 1)))
    assert database.store.save()
