"""``tupletrace demo``: start everything, run the example programs, wait for their traces, report."""

import os
import signal
import sys
import tempfile
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tupletrace.processor import ask
from tupletrace.processor.query import SqlFailed
from tupletrace.processor.schema import StoreError

from . import report, settled
from .endpoint import serve
from .processor_run import NotStarted, processor
from .programs_run import RUNS, Result, Run, Runner

_AT_A_TIME: Final = 2
_LIBRARIES: Final = (
    "openai",
    "langchain",
    "langchain_openai",
    "langgraph",
    "llama_index.core",
    "llama_index.llms.openai",
    "llama_index.embeddings.openai",
)


def run(live: bool, db: Path | None) -> int:
    """Run the demo; 0 if every program ran and its traces arrived, 1 if not, 2 if it could not begin."""
    if absent := _absent():
        return _cannot(f"{absent} is not installed: pip install 'tupletrace[demo]'")
    if live and not os.environ.get("OPENAI_API_KEY"):
        return _cannot("--live needs OPENAI_API_KEY (and OPENAI_BASE_URL, if it is not api.openai.com)")
    database = (db or Path(tempfile.mkdtemp(prefix="tupletrace-demo-")) / "demo.duckdb").absolute()
    try:
        with _terminated_as_interrupted(), processor(database) as running, _credentials(live) as credentials:
            answer = ask.Processor(running.http).sql
            return _demo(Runner(running.otlp, credentials), answer, database)
    except NotStarted as error:
        return _cannot(str(error).removeprefix("tupletrace: "))
    except (SqlFailed, StoreError) as error:
        print(f"tupletrace: {error}", file=sys.stderr)
        return 1


def _demo(runner: Runner, answer: ask.Ask, database: Path) -> int:
    console, began = Console(), datetime.now(UTC)
    results = _run_all(runner, console)
    failed = [result for result in results if result.exit_code]
    expected = {result.run.service for result in results} - {result.run.service for result in failed}
    with console.status("waiting for the last spans"):
        waiting = settled.wait(answer, expected, began)
    report.show(console, answer, database)
    for result in failed:
        name = f"{result.run.program} ({result.run.varies})"
        console.print(f"\n[bold red]{name} ended with exit code {result.exit_code}[/]")
        console.print(escape(result.last_errors), highlight=False)
    if waiting:
        console.print(f"\n[bold red]Traces that did not arrive: {', '.join(sorted(waiting))}[/]")
    return 1 if failed or waiting else 0


def _run_all(runner: Runner, console: Console) -> list[Result]:
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(_AT_A_TIME) as pool:

        def one(run: Run) -> Result:
            said = f"{run.program:17} {run.varies:26}"
            task = progress.add_task(said, total=1)
            result = runner(run)
            end = "[red]failed[/]" if result.exit_code else "[green]done[/]"
            progress.update(task, completed=1, description=f"{said} {end}")
            return result

        try:
            return list(pool.map(one, RUNS))
        finally:
            runner.stop()


@contextmanager
def _credentials(live: bool) -> Generator[Mapping[str, str]]:
    """What the programs need to reach a model."""
    if live:
        yield {}
        return
    with serve() as endpoint:
        yield {"OPENAI_API_KEY": endpoint.api_key, "OPENAI_BASE_URL": endpoint.base_url}


@contextmanager
def _terminated_as_interrupted() -> Generator[None]:
    """SIGTERM ends the demo as Ctrl-C does: programs first, then the processor."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _absent() -> str | None:
    for name in _LIBRARIES:
        try:
            found = find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return name.replace("_", "-").replace(".", "-")
    return None


def _cannot(message: str) -> int:
    print(f"tupletrace: {message}", file=sys.stderr)
    return 2
