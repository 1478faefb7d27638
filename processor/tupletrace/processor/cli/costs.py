"""``tupletrace costs``."""

import argparse
from importlib.resources import files
from typing import Final

from tupletrace.processor.cli.options import Commands, add_source, show_report

_PREFIX: Final = "costs_by_"


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("costs", help="USD spent")
    said = "what to group by (default: route)"
    parser.add_argument("--by", choices=_reports(), default="route", help=said)
    add_source(parser)
    parser.set_defaults(run=_run)


def _reports() -> list[str]:
    reports = files("tupletrace.processor") / "sql" / "reports"
    names = (entry.name.removesuffix(".sql") for entry in reports.iterdir())
    return sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))


def _run(asked: argparse.Namespace) -> int:
    return show_report(asked, f"{_PREFIX}{asked.by}")
