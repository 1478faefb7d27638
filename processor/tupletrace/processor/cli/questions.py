"""``tupletrace tuples | audit | rollbacks | …``: what one macro of ``sql/questions/`` answers."""

import argparse
from collections.abc import Callable
from typing import Final

from tupletrace.processor.cli.options import Commands, add_source, add_window, show

_WINDOW: Final = "since := $since, until := $until, of_route := $route"
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
    "regressions": (
        "which tuples are worse than the one before, and by what",
        f"FROM regressions({_WINDOW})",
    ),
    "rollbacks": ("how fast the tuple before a worse one came back", f"FROM rollbacks({_WINDOW})"),
    "rollback-times": (
        "minutes until a worse tuple was taken back, by route",
        f"FROM rollback_times({_WINDOW})",
    ),
    "errors": ("which errors happened where, the most frequent first", f"FROM error_taxonomy({_WINDOW})"),
    "health": ("what came from whom, and what is wrong with it", f"FROM ingest_health({_WINDOW})"),
}
_ORDERS: Final = {
    "slowest": f"FROM slowest_traces({_WINDOW})",
    "dearest": f"FROM dearest_traces({_WINDOW})",
    "looping": f"FROM trajectories({_WINDOW}) WHERE repeats > 0 OR longest_run > 2",
    "dead-ends": f"FROM trajectories({_WINDOW}) WHERE dead_end IS NOT NULL",
    "unfinished": f"FROM unfinished_traces({_WINDOW})",
}
_MOST: Final = 20


def add(commands: Commands) -> None:
    """Declare the commands."""
    for name, (said, sql) in _QUESTIONS.items():
        parser = commands.add_parser(name, help=said)
        add_window(parser)
        add_source(parser)
        parser.set_defaults(run=_run(sql))
    traces = commands.add_parser("traces", help="the slowest, dearest, most looping or unfinished traces")
    traces.add_argument("--order", choices=_ORDERS, default="slowest", help="default: slowest")
    traces.add_argument("--limit", type=int, default=_MOST, metavar="COUNT", help=f"at most ({_MOST})")
    add_window(traces)
    add_source(traces)
    traces.set_defaults(run=lambda asked: _ask(asked, f"{_ORDERS[asked.order]} LIMIT {asked.limit}"))


def _run(sql: str) -> Callable[[argparse.Namespace], int]:
    return lambda asked: _ask(asked, sql)


def _ask(asked: argparse.Namespace, sql: str) -> int:
    return show(asked, sql, {"since": asked.since, "until": asked.until, "route": asked.route})
