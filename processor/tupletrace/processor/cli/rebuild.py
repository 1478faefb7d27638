"""``tupletrace rebuild`` and ``tupletrace reprocess``: the journal indexed again, with a progress bar."""

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tupletrace.processor.cli.options import Commands, UsageError, add_db


def add(commands: Commands) -> None:
    """Declare the commands."""
    rebuild = commands.add_parser("rebuild", help="make the database again from its journal")
    add_db(rebuild)
    rebuild.set_defaults(run=_rebuild)
    reprocess = commands.add_parser(
        "reprocess", help="read again what came since a day, as this version does"
    )
    reprocess.add_argument(
        "--since", required=True, type=_moment, help="2026-11-21, 2026-11-21T10:00 (UTC), or 7d, 12h ago"
    )
    add_db(reprocess)
    reprocess.set_defaults(run=_reprocess)


def _moment(text: str) -> datetime:
    units = {"d": "days", "h": "hours"}
    if text[-1:] in units and text[:-1].isdigit():
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rebuild(asked: argparse.Namespace) -> int:
    from tupletrace.processor.rebuild import rebuild

    with alone(asked, "rebuilding") as progress:
        kept = rebuild(asked.db, progress)
    print(f"{asked.db} is made again" + (f"; the old one is kept as {kept}" if kept else ""))
    return 0


def _reprocess(asked: argparse.Namespace) -> int:
    from tupletrace.processor.rebuild import reprocess

    with alone(asked, "reprocessing") as progress:
        count = reprocess(asked.db, asked.since, progress)
    print(f"{count} requests since {asked.since:%Y-%m-%d %H:%M} UTC are read again")
    return 0


@contextmanager
def alone(asked: argparse.Namespace, doing: str) -> Generator[Callable[[int, int], None]]:
    """Own the database, and show how far it is."""
    from tupletrace.processor.lock import DatabaseInUse, DatabaseLock

    try:
        with shown(asked, doing) as progress, DatabaseLock(asked.db):
            yield progress
    except DatabaseInUse as error:
        raise UsageError(f"{error}: stop it first") from None


@contextmanager
def shown(asked: argparse.Namespace, doing: str) -> Generator[Callable[[int, int], None]]:
    """Show how far it is with what is done to the database."""
    from duckdb import Error
    from rich.console import Console
    from rich.progress import Progress

    from tupletrace.processor.database import StoreError, first_line
    from tupletrace.processor.journal_file import JournalError
    from tupletrace.processor.query import SqlFailed

    try:
        with Progress(console=Console(file=sys.stderr)) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    except (StoreError, JournalError) as error:
        raise UsageError(str(error)) from None
    except (Error, SqlFailed) as error:
        raise UsageError(first_line(error)) from None
    except OSError as error:
        raise UsageError(str(error) if error.filename else f"{asked.db}: {error}") from None
