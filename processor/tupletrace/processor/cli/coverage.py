"""``tupletrace coverage``."""

import argparse
from typing import Final

from tupletrace.processor.cli.options import Commands, add_source, add_window, show

_WINDOW: Final = "since := $since, until := $until, of_route := $route"
_GROUPS: Final = ("route", "day", "service")


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("coverage", help="share of traces whose tuple is known, and why not more")
    said = "what to group by; reason: why traces are not covered (default: route)"
    parser.add_argument("--by", choices=(*_GROUPS, "reason"), default="route", help=said)
    add_window(parser)
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    window = {"since": asked.since, "until": asked.until, "route": asked.route}
    if asked.by == "reason":
        return show(asked, f"FROM coverage_gaps({_WINDOW})", window)
    sql = f"SELECT value AS {asked.by}, * EXCLUDE (value) FROM coverage_by('{asked.by}', {_WINDOW})"
    return show(asked, sql, window)
