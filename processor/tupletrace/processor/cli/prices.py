"""``tupletrace prices``: what is charged for what, and what a change of it does to the past."""

import argparse

from tupletrace.processor.cli.options import Commands, UsageError, add_source, show_report, show_table


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("prices", help="prices in use, since when and by whom")
    said = "read them again (genai-prices, TUPLETRACE_PRICES) and say what the past costs now"
    parser.add_argument("action", nargs="?", choices=("list", "update"), default="list", help=said)
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    return _update(asked) if asked.action == "update" else show_report(asked, "prices")


def _update(asked: argparse.Namespace) -> int:
    from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
    from tupletrace.processor.recost import recost
    from tupletrace.processor.schema import StoreError

    if not asked.db.exists():
        raise UsageError(f"{asked.db}: there is no such database")
    try:
        with DatabaseLock(asked.db):
            table = recost(asked.db)
    except DatabaseInUse:
        raise UsageError(
            f"{asked.db} is in use by a processor, which reads the prices when it starts: restart it"
        ) from None
    except StoreError as error:
        raise UsageError(str(error)) from None
    return show_table(asked, table)
