"""What several commands share: options, and how an answer to SQL is shown."""

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tupletrace.processor import times

if TYPE_CHECKING:
    import pyarrow as pa

    from tupletrace.processor import ask, query

_DEFAULT_DB: Final = "~/.tupletrace/tupletrace.duckdb"
_MOST_ROUTES: Final = 10
_FORMATS: Final = {
    "": "table",
    ".txt": "table",
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".parquet": "parquet",
}
"""By how the name of ``--output`` ends."""


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
    parser.add_argument("--format", choices=sorted({*_FORMATS.values()}), help=said)
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="--format json")
    parser.add_argument("--output", "-o", type=path, metavar="FILE", help="write there instead of stdout")


def path(text: str) -> Path:
    """Return an absolute path; ``~`` is the user's folder."""
    return Path(text).expanduser().absolute()


def add_window(parser: argparse.ArgumentParser) -> None:
    """Let ``--since``, ``--until`` and ``--route`` say which traces."""
    said = "for instance 2026-03-01, or 7d, 12h or 5m ago (default: ever)"
    parser.add_argument("--since", "--from", type=_iso, metavar="TIME", help=said)
    said = "before this time (default: now)"
    parser.add_argument("--until", "--to", type=_iso, metavar="TIME", help=said)
    parser.add_argument("--route", help="only this route")


def moment(text: str) -> datetime:
    """Return a time as ``times.moment`` does, and let argparse say what it says."""
    try:
        return times.moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _iso(text: str) -> str:
    return moment(text).isoformat()


@contextmanager
def answering(asked: argparse.Namespace) -> Generator["ask.Ask"]:
    """Yield a function that asks whom the options of ``add_source`` name.

    Raises:
        UsageError: nobody can be asked, or the question cannot be answered.
    """
    from tupletrace.processor import ask, query
    from tupletrace.processor.journal import JournalError
    from tupletrace.processor.schema import StoreError

    # Before anybody works on an answer that cannot be written.
    _form(asked)
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
        found = ask(sql, parameters)
        explain(asked, ask, found)
        return show_table(asked, found)


def explain(asked: argparse.Namespace, ask: "ask.Ask", found: "pa.Table") -> None:
    """Say on stderr why there are no rows, where nothing has arrived at all or no trace has the route."""
    if found.num_rows:
        return
    route = vars(asked).get("route")
    routes = known_routes(ask)
    if not routes:
        print("nothing has arrived yet: `tupletrace doctor` says where spans go", file=sys.stderr)
    elif route is not None and route not in routes:
        print(no_route(route, routes), file=sys.stderr)


def known_routes(ask: "ask.Ask") -> list[str]:
    """Return the routes of all traces, the most frequent first."""
    return ask("SELECT route FROM traces GROUP BY route ORDER BY count(*) DESC, route")["route"].to_pylist()


def no_route(route: str, routes: Sequence[str]) -> str:
    """Return what to say to whom asks for a route that no trace has."""
    known = ", ".join(map(repr, routes[:_MOST_ROUTES]))
    more = f" and {len(routes) - _MOST_ROUTES} more" if len(routes) > _MOST_ROUTES else ""
    return f"no trace has route {route!r}; known are {known or 'none'}{more}"


def whole_id(ask: "ask.Ask", what: str, said: str) -> str:
    """Return the id of the one ``tuple`` or ``trace`` whose id begins as is said.

    Raises:
        UsageError: there is none, or there are several.
    """
    sql = f"SELECT DISTINCT {what}_id AS id FROM traces WHERE starts_with({what}_id, $1) ORDER BY id LIMIT 4"
    found = ask(sql, [said.lower()])["id"].to_pylist() if said else []
    if not found:
        raise UsageError(f"there is no {what} {said!r} here")
    if len(found) > 1:
        raise UsageError(
            f"several {what}s begin with {said!r}, {', '.join(found[:3])} for instance: say more of it"
        )
    return found[0]


def show_table(asked: argparse.Namespace, table: "pa.Table", *, brief: bool = True) -> int:
    """Print an answer, or write it, as the options of ``add_source`` say; ``brief``: no empty columns."""
    from tupletrace.processor import render

    try:
        render.write(table, _form(asked), asked.output, brief=brief)
    except render.NoTerminalFormat as error:
        raise UsageError(str(error)) from None
    return 0


def _form(asked: argparse.Namespace) -> str:
    ending = asked.output.suffix.lower() if asked.output else ""
    if asked.format or ending in _FORMATS:
        return asked.format or _FORMATS[ending]
    known = ", ".join(filter(None, _FORMATS))
    raise UsageError(f"{asked.output}: no format is known by {ending}; end it with {known}, or say --format")


def show_report(asked: argparse.Namespace, name: str) -> int:
    """Show one of the reports in ``sql/reports/``."""
    from tupletrace.processor.schema import statement

    return show(asked, statement(f"reports/{name}"))
