"""``tupletrace costs``: the views ``costs_by_*``."""

import argparse
from importlib.resources import files
from typing import Final

from tupletrace.processor.cli.options import Commands, add_source, show

_PREFIX: Final = "costs_by_"


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("costs", help="USD spent")
    said = "what to group by (default: route)"
    parser.add_argument("--by", choices=_groupings(), default="route", help=said)
    add_source(parser)
    parser.set_defaults(run=_run)


def _groupings() -> list[str]:
    views = files("tupletrace.processor") / "sql" / "views"
    names = (entry.name.removesuffix(".sql") for entry in views.iterdir())
    return sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))


def _run(asked: argparse.Namespace) -> int:
    return show(asked, f"FROM {_PREFIX}{asked.by}")
