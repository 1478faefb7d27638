"""F4, F5, F9, F10: a disk without room, or that fails, and one that is well again."""

import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

TRACES = "SELECT trace_id[-8:] AS trace, count(*) AS spans FROM spans GROUP BY ALL ORDER BY ALL"


@contextmanager
def no_room(pid: int, beyond: int = 1) -> Generator[None]:
    """Let no file of a process be written beyond so many bytes."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def injected(pid: int, calls: str, what: str, *files: Path) -> Generator[None]:
    """Let these system calls of a process on these files be those of a bad disk: ``error=EIO``."""
    strace = shutil.which("strace") or pytest.skip("strace is not installed")
    paths = [word for file in files for word in ("-P", str(file))]
    command = [strace, "-f", "-qq", "-p", str(pid), *paths, "-e", f"trace={calls}", "-e"]
    with subprocess.Popen(
        [*command, f"inject={calls}:{what}", "-o", os.devnull],
        stderr=subprocess.PIPE,
        text=True,
    ) as tracer:
        try:
            if not traced(pid, tracer):
                pytest.skip(f"processes cannot be traced here: {tracer.communicate()[1].strip()}")
            yield
        finally:
            tracer.terminate()


def traced(pid: int, tracer: subprocess.Popen[str]) -> bool:
    """Wait until every thread of a process is traced; False: it cannot be."""
    while tracer.poll() is None:
        threads = list(Path(f"/proc/{pid}/task").glob("*/status"))
        with suppress(FileNotFoundError):
            if all(f"TracerPid:\t{tracer.pid}\n" in thread.read_text() for thread in threads):
                return True
        threading.Event().wait(0.03)
    return False


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
    for result in ("accepted", "unavailable"):
        for counted in ("records", "requests"):
            name = f"tupletrace_{counted}_total"
            assert running.metric(name, signal="traces", result=result) == 2, (counted, result)
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 3))
    again.kill()


def test_f10_without_its_folder_it_asks_to_come_back_and_does_not_fail(alone: Any, one_of: Any) -> None:
    """A disk that is away: C20, never 500."""
    running = alone.processor
    folder = running.database.with_name("x.duckdb.journal")
    away = folder.rename(folder.with_name("away"))
    answer = alone.http("/v1/traces", one_of("traces", trace=1))
    assert (answer.status, bool(answer.headers["retry-after"])) == (503, True)
    assert alone.refused("traces", one_of("traces", trace=1)).code() is grpc.StatusCode.UNAVAILABLE
    assert [alone.http(path, None, "GET").status for path in ("/readyz", "/healthz", "/metrics")] == [
        503,
        200,
        200,
    ]
    away.rename(folder)
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    assert alone.http("/readyz", None, "GET").status == 200
    assert "Traceback" not in running.stop()


def test_f5_where_the_database_has_no_room_nothing_is_brought_to_it_and_it_answers(
    alone: Any, one_of: Any, until: Any, tupletrace: Any, start_processor: Any, tmp_path: Path
) -> None:
    """A process does not survive every checkpoint of DuckDB that fails while others read."""
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    until(lambda: running.sql(TRACES) == there(1))
    with no_room(running.process.pid):
        done = tupletrace("snapshot", tmp_path / "copy.duckdb", "--db", running.database)
        assert (done.returncode, "make room on its disk" in done.stderr) == (2, True)
        assert running.sql(TRACES) == there(1)
    assert running.post_traces(one_of("traces", trace=2)).status == 200
    until(lambda: running.sql(TRACES) == there(1, 2))
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 2))
    again.kill()


def test_f5_while_the_database_cannot_grow_the_journal_goes_on_and_it_is_said_once(
    alone: Any, one_of: Any, until: Any
) -> None:
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    until(lambda: running.sql(TRACES) == there(1))
    with no_room(running.process.pid, 12 * 2**20):
        for trace in range(2, 30):
            assert alone.http("/v1/traces", one_of("traces", trace=trace)).status == 200
        assert any("make room on its disk" in line for line in running.process.stderr)
        assert running.sql(TRACES) == there(1)
        assert running.metric("tupletrace_journal_seq") == 29
        assert running.metric("tupletrace_index_seq") == 1
    until(lambda: running.sql(TRACES) == there(*range(1, 30)))
    log = running.stop()
    assert ("make room on its disk" in log, "Traceback" in log) == (False, False)


def test_f9_on_a_slow_disk_requests_wait_or_are_asked_to_come_back_and_nothing_is_lost(
    alone: Any, one_of: Any, until: Any
) -> None:
    """A quarter of a second each time that something is brought to disk, for as many as wait together."""
    running = alone.processor
    (journal,) = running.database.with_name("x.duckdb.journal").glob("*.sqlite")
    log = journal.with_name(journal.name + "-wal")

    def deliver(trace: int) -> None:
        while (answer := alone.http("/v1/traces", one_of("traces", trace=trace))).status == 503:
            assert answer.headers["retry-after"]
        assert answer.status == 200

    with (
        injected(running.process.pid, "fsync,fdatasync", "delay_enter=250000", journal, log),
        ThreadPoolExecutor(40) as pool,
    ):
        list(pool.map(deliver, range(1, 41)))
    until(lambda: running.sql(TRACES) == there(*range(1, 41)), 60)


@pytest.mark.parametrize("calls", ["fsync,fdatasync", "unlink,unlinkat"])
def test_f5_a_checkpoint_that_fails_costs_nothing_and_doubles_nothing(
    alone: Any, one_of: Any, until: Any, tupletrace: Any, start_processor: Any, tmp_path: Path, calls: str
) -> None:
    """Before what was committed is on disk, or after that: then DuckDB says "failed" of what is durable."""
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    until(lambda: running.sql(TRACES) == there(1))
    log = running.database.with_name("x.duckdb.wal")
    with injected(running.process.pid, calls, "error=EIO", running.database, log):
        done = tupletrace("snapshot", tmp_path / "copy.duckdb", "--db", running.database)
        assert (done.returncode, "Checkpoint failed" in done.stderr) == (2, True)
        assert running.post_traces(one_of("traces", trace=2)).status == 200, "the journal takes it"
    until(lambda: running.ask(TRACES).status == 200 and running.sql(TRACES) == there(1, 2), 60)
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 2))
    again.kill()


def test_f10_what_the_journal_could_not_bring_to_disk_is_not_acknowledged(
    alone: Any, one_of: Any, until: Any, start_processor: Any
) -> None:
    """The next transaction writes its place anew, so that no acknowledgement rests on what had failed."""
    running = alone.processor
    assert alone.http("/v1/traces", one_of("traces", trace=1)).status == 200
    (journal,) = running.database.with_name("x.duckdb.journal").glob("*.sqlite")
    log = journal.with_name(journal.name + "-wal")
    with injected(running.process.pid, "fsync,fdatasync,pwrite64", "error=EIO", journal, log):
        answer = alone.http("/v1/traces", one_of("traces", trace=2))
        assert (answer.status, bool(answer.headers["retry-after"])) == (503, True)
        assert alone.refused("traces", one_of("traces", trace=2)).code() is grpc.StatusCode.UNAVAILABLE
    assert alone.http("/v1/traces", one_of("traces", trace=3)).status == 200
    running.kill()
    again = start_processor(running.database)
    until(lambda: again.sql(TRACES) == there(1, 3))
    again.kill()


def tmpfs(folder: Path, options: str) -> str:
    """Mount a disk of its own at a folder; return why that is not possible."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB; only who administers a machine can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if why := tmpfs(folder, "size=48m"):
        pytest.skip(why)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_f4_f5_a_disk_that_fills_up_under_load_loses_nothing_acknowledged_and_nobody_dies(
    small_disk: Path, start_processor: Any, otlp: Any, until: Any
) -> None:
    """Nothing is held in reserve; questions are asked all the time; the disk grows in the end."""
    running = start_processor(small_disk / "x.duckdb", TUPLETRACE_DISK_RESERVE="0")
    stopping = threading.Event()
    acknowledged, refused = set[str](), set[str]()

    def send(traces: range) -> None:
        for trace in traces:
            if stopping.is_set():
                return
            text = os.urandom(100_000).hex()
            answer = running.post_traces(otlp.request(otlp.span(trace, attributes={"text": text})))
            assert answer.status in (200, 503)
            (acknowledged if answer.status == 200 else refused).add(f"{trace:08x}")

    def ask() -> None:
        while not stopping.is_set():
            running.ask(TRACES)

    with ThreadPoolExecutor(3) as pool:
        doing = [
            pool.submit(send, range(1, 9999)),
            pool.submit(send, range(10_001, 20_000)),
            pool.submit(ask),
        ]
        try:
            until(lambda: len(refused) > 20, 60)
            assert not tmpfs(small_disk, "remount,size=1g")
            before = len(acknowledged)
            until(lambda: len(acknowledged) > before)
        finally:
            stopping.set()
        for one in doing:
            one.result()
    until(lambda: {row["trace"] for row in running.sql(TRACES)} >= acknowledged, 60)
    # What was refused may be there: its sender was only not told that it is on disk.
    assert all(row["spans"] == 1 for row in running.sql(TRACES))
    assert "Traceback" not in running.stop()
