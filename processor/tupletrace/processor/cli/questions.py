"""``tupletrace tuples | audit | rollbacks``: questions that one table macro of ``sql/questions/`` answers."""

import argparse
from collections.abc import Callable
from typing import Final

from tupletrace.processor.cli.options import Commands, add_source, add_window, show

_WINDOW: Final = "since := $1, until := $2, of_route := $3"
_TUPLES: Final = f"""
    SELECT
        route,
        tuple_id,
        any_value(traces) AS traces,
        any_value(share) AS share,
        any_value(first_seen) AS first_seen,
        any_value(last_seen) AS last_seen,
        string_agg(concat_ws(' ', layer, name, coalesce(version, '?')), '; ' ORDER BY layer, name) AS layers
    FROM audit({_WINDOW})
    GROUP BY route, tuple_id
    ORDER BY route, any_value(first_seen)
"""
_QUESTIONS: Final = {
    "tuples": ("which tuples served which route, when first and last", _TUPLES),
    "audit": ("every layer of every tuple that served, with provenance and texts", f"FROM audit({_WINDOW})"),
    "rollbacks": (
        "which tuples were worse than the one before, and how fast it came back",
        f"FROM rollbacks({_WINDOW})",
    ),
}


def add(commands: Commands) -> None:
    """Declare the commands."""
    for name, (said, sql) in _QUESTIONS.items():
        parser = commands.add_parser(name, help=said)
        add_window(parser)
        add_source(parser)
        parser.set_defaults(run=_run(sql))


def _run(sql: str) -> Callable[[argparse.Namespace], int]:
    def run(asked: argparse.Namespace) -> int:
        return show(asked, sql, [asked.since, asked.until, asked.route])

    return run
