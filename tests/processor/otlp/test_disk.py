"""F4, F5: a disk without room, by the kernel's limit on the size of files, and with room again."""

import resource
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

TRACES = "SELECT trace_id[-8:] AS trace, count(*) AS spans FROM spans GROUP BY ALL ORDER BY ALL"


@contextmanager
def no_room(pid: int) -> Generator[None]:
    """Let no file of a process be written beyond its first byte."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.fixture
def alone(start_processor: Callable[..., Any], client_of: Any, tmp_path: Path) -> Iterator[Any]:
    """A client of a processor that a test may harm."""
    running = start_processor(tmp_path / "x.duckdb")
    yield client_of(running)
    if running.process.poll() is None:
        running.kill()


def there(*traces: int) -> list[dict[str, Any]]:
    return [{"trace": f"{trace:08x}", "spans": 1} for trace in traces]


def test_f4_what_the_journal_has_no_room_for_is_not_acknowledged_and_nothing_else_is_lost(
    alone: Any, one_of: Any, until: Any, start_processor: Any
) -> None:
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    until(lambda: running.sql(TRACES) == there(1))
    with no_room(running.process.pid):
        answer = alone.http("/v1/traces", one_of("traces", trace=2))
        assert answer.status == 503
        assert answer.headers["retry-after"]
        assert alone.refused("traces", one_of("traces", trace=2)).code() is grpc.StatusCode.UNAVAILABLE
        assert running.sql(TRACES) == there(1), "questions are answered"
    # It goes on by itself.
    assert alone.http("/v1/traces", one_of("traces", trace=3)).status == 200
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 3))
    again.kill()


def test_f5_a_checkpoint_that_has_no_room_costs_nothing_and_doubles_nothing(
    alone: Any, one_of: Any, until: Any, tupletrace: Any, start_processor: Any, tmp_path: Path
) -> None:
    """What was committed and is not on disk is indexed again, once, also where DuckDB did not survive."""
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    until(lambda: running.sql(TRACES) == there(1))
    with no_room(running.process.pid):
        assert tupletrace("snapshot", tmp_path / "copy.duckdb", "--db", running.database).returncode != 0
    if running.process.poll() is not None:
        running = start_processor(running.database)
    assert running.post_traces(one_of("traces", trace=2)).status == 200
    until(lambda: running.ask(TRACES).status == 200 and running.sql(TRACES) == there(1, 2))
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 2))
    again.kill()
