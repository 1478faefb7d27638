"""What several commands share: options, and how an answer to SQL is shown."""

import argparse
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from tupletrace.processor import ask, query

_DEFAULT_DB: Final = "~/.tupletrace/tupletrace.duckdb"


class Commands(Protocol):
    """Where a command adds itself."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002
        """Return the parser of a new command."""
        ...


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line that says why and what to do."""


def add_db(parser: argparse.ArgumentParser) -> None:
    """Let ``--db`` or ``TUPLETRACE_DB`` name the database."""
    default = os.environ.get("TUPLETRACE_DB", _DEFAULT_DB)
    parser.add_argument("--db", type=path, default=default, metavar="FILE", help=f"DuckDB file ({default})")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Let ``--db`` or ``--url`` say whom to ask, and ``--format`` how to show the answer."""
    add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")
    said = "default: table, or as the name of --output ends"
    parser.add_argument("--format", choices=("table", "json", "csv", "markdown", "parquet"), help=said)
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="--format json")
    parser.add_argument("--output", "-o", type=path, metavar="FILE", help="write there instead of stdout")


def path(text: str) -> Path:
    """Return an absolute path; ``~`` is the user's folder."""
    return Path(text).expanduser().absolute()


def add_window(parser: argparse.ArgumentParser) -> None:
    """Let ``--since``, ``--until`` and ``--route`` say which traces."""
    said = "for instance 2026-03-01, or 7d or 12h ago (default: ever)"
    parser.add_argument("--since", "--from", type=_moment, metavar="TIME", help=said)
    said = "before this time (default: now)"
    parser.add_argument("--until", "--to", type=_moment, metavar="TIME", help=said)
    parser.add_argument("--route", help="only this route")


def _moment(text: str) -> str:
    units = {"d": "days", "h": "hours"}
    if text[-1:] in units and text[:-1].isdigit():
        return (datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})).isoformat()
    return text


@contextmanager
def answering(asked: argparse.Namespace) -> Generator["ask.Ask"]:
    """Yield a function that asks whom the options of ``add_source`` name.

    Raises:
        UsageError: nobody can be asked, or the question cannot be answered.
    """
    from tupletrace.processor import ask, query
    from tupletrace.processor.database import StoreError
    from tupletrace.processor.journal import JournalError

    try:
        if asked.url:
            if not asked.url.startswith(("http://", "https://")):
                raise UsageError(f"--url {asked.url}: write http://HOST:PORT")
            yield _with_progress(ask.Processor(asked.url).sql)
        else:
            with ask.database(asked.db) as answer:
                yield _with_progress(answer)
    except (query.SqlRefused, query.SqlFailed) as error:
        # DuckDB points at the place on the lines that follow.
        said = str(error).partition("\nLINE ")[0].split("\n")
        raise UsageError(" ".join(line.strip() for line in said if line.strip())) from None
    except (StoreError, JournalError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise UsageError(f"{asked.db}: {error}") from None


def _with_progress(ask: "ask.Ask") -> "ask.Ask":
    """Show on a terminal that an answer is being worked on."""
    from rich.console import Console

    console = Console(stderr=True)

    def asked(sql: str, parameters: "query.Parameters" = None) -> "pa.Table":
        with console.status("asking"):
            return ask(sql, parameters)

    return asked if console.is_terminal else ask


def show(asked: argparse.Namespace, sql: str, parameters: "query.Parameters" = None) -> int:
    """Ask whom the options of ``add_source`` name and print the answer."""
    with answering(asked) as ask:
        return show_table(asked, ask(sql, parameters))


def show_table(asked: argparse.Namespace, table: "pa.Table", *, brief: bool = True) -> int:
    """Print an answer, or write it, as the options of ``add_source`` say; ``brief``: no empty columns."""
    from tupletrace.processor import render

    suffix = asked.output.suffix.removeprefix(".") if asked.output else ""
    by_name = {"md": "markdown"}.get(suffix, suffix)
    form = asked.format or (by_name if by_name in render.FORMATS else "table")
    try:
        render.write(table, form, asked.output, brief=brief)
    except render.NoTerminalFormat as error:
        raise UsageError(str(error)) from None
    return 0


def show_report(asked: argparse.Namespace, name: str) -> int:
    """Show one of the reports in ``sql/reports/``."""
    from tupletrace.processor.database import statement

    return show(asked, statement(f"reports/{name}"))
