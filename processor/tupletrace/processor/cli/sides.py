"""``tupletrace compare | drift``: two sets of traces side by side."""

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tupletrace.processor.cli.options import (
    Commands,
    UsageError,
    add_source,
    add_window,
    answering,
    explain,
    show_table,
    whole_id,
)

if TYPE_CHECKING:
    from tupletrace.processor.ask import Ask
    from tupletrace.processor.cohorts import Sides

_WORD: Final = re.compile(r"\w+")
_COHORTS = (
    "a tuple's id or its beginning, a window FROM..TO, or a condition on the columns of trace_measures()"
)
_SQL = "a column of trace_measures(), trace_attribute(trace_id, 'KEY'), or other SQL over them"


def add(commands: Commands) -> None:
    """Declare the commands."""
    comparing = commands.add_parser(
        "compare", help="is B worse than A: errors, latency, tokens, cost, evaluations, tested"
    )
    _add_sides(comparing)
    comparing.add_argument("--by", metavar="SQL", help=f"each value of it apart: {_SQL}")
    comparing.set_defaults(run=_compare)

    drifting = commands.add_parser(
        "drift", help="what has moved from A to B: PSI, KL, Jensen-Shannon, KS, by layer version too"
    )
    _add_sides(drifting)
    said = f"only this, numbers or texts; again for more: {_SQL}"
    drifting.add_argument("--column", metavar="SQL", action="append", help=said)
    said = "each version of a layer apart (model, prompt, retriever, tools, evaluator), or each value of SQL"
    drifting.add_argument("--by", metavar="SQL", help=said)
    drifting.set_defaults(run=_drift)


def _add_sides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help=_COHORTS)
    parser.add_argument("b", metavar="B")
    said = "of either, or nothing is said (default: as `tupletrace settings` has it)"
    parser.add_argument("--min-traces", type=int, metavar="COUNT", help=said)
    add_window(parser)
    add_source(parser)


def _compare(asked: argparse.Namespace) -> int:
    from tupletrace.processor import compare

    sides, limits = _measured(asked, compare.COLUMNS)
    return show_table(asked, compare.compare(sides, limits, by_cohort=asked.by is not None))


def _drift(asked: argparse.Namespace) -> int:
    from tupletrace.processor import drift

    columns = {sql: f"({sql})" for sql in asked.column} if asked.column else drift.COLUMNS
    sides, limits = _measured(asked, columns)
    return show_table(asked, drift.drift(sides, list(columns), limits, by_version=asked.by is not None))


def _measured(asked: argparse.Namespace, columns: Mapping[str, str]) -> "tuple[Sides, dict[str, float]]":
    import pyarrow as pa

    from tupletrace.processor import cohorts

    window = [asked.since, asked.until, asked.route]
    try:
        with answering(asked) as ask:
            a, b = (_cohort(ask, side) for side in (asked.a, asked.b))
            sides = cohorts.measured(ask, a, b, window, columns, asked.by)
            explain(asked, ask, pa.concat_tables([sides.a, sides.b]))
            limits = cohorts.thresholds(ask)
    except cohorts.CohortError as error:
        raise UsageError(str(error)) from None
    return sides, limits if asked.min_traces is None else limits | {"min_traces": asked.min_traces}


def _cohort(ask: "Ask", said: str) -> str:
    """Return what names a set of traces; a tuple by its whole id."""
    from tupletrace.processor.query import SqlFailed

    if not _WORD.fullmatch(said):
        return said
    try:
        return whole_id(ask, "tuple", said)
    except UsageError as error:
        # A column that is true or false is a condition.
        try:
            ask(f'SELECT NOT "{said}" FROM trace_measures() LIMIT 0')
        except SqlFailed:
            raise error from None
    return said
