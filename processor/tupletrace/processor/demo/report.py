"""What the demo says when its programs are done: coverage, costs, the version map, and what to ask next."""

import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from rich.console import Console

from tupletrace.processor import ask, render

_SQL: Final = files("tupletrace.processor.demo") / "sql"
_CONTENT: Final = (
    "It holds the messages, because the demo set "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY. "
    "Without that none are recorded; names, versions, tokens and costs are."
)


def show(console: Console, answer: ask.Ask, database: Path) -> None:
    """Print the report of a finished demo."""
    for title, sql in _statements("table_"):
        console.print(f"\n[bold cyan]{title}[/]")
        render.show(answer(sql), "table")
    where = f"--db {shlex.quote(str(database))}"
    console.print("\n[bold cyan]Ask next[/]")
    for title, sql in _statements("next_"):
        rows = answer(sql).num_rows
        console.print(f"\n{title} [dim]({rows} rows now)[/]", highlight=False)
        _print_as_it_is(console, f'tupletrace sql "{sql}" {where}')
    console.print("\n[bold cyan]The database[/]")
    _print_as_it_is(console, f"{database}\ntupletrace coverage {where}\ntupletrace costs --by prompt {where}")
    console.print(_CONTENT, style="dim", highlight=False)


def _print_as_it_is(console: Console, text: str) -> None:
    """Without wrapping, so that it can be copied."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _statements(prefix: str) -> Iterator[tuple[str, str]]:
    """The demo's statements of that name, in order; the first line of each, a comment, is its title."""
    for name in sorted(entry.name for entry in _SQL.iterdir() if entry.name.startswith(prefix)):
        title, _, sql = (_SQL / name).read_text("utf-8").strip().partition("\n")
        yield title.removeprefix("-- "), sql
