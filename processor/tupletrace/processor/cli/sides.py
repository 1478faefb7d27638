"""``tupletrace diff | compare | drift``: two tuples, or two sets of traces, side by side."""

import argparse

from tupletrace.processor.cli.options import Commands, UsageError, add_source, answering, show, show_table

_COHORTS = "a tuple's id, a window FROM..TO, or a condition on the columns of trace_measures()"


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = commands.add_parser("diff", help="what two tuples, or a route at two times, differ in, by layer")
    parser.add_argument("before", metavar="A", help="a tuple's id, or with --route a time")
    parser.add_argument("after", metavar="B")
    parser.add_argument("--route", help="compare what served this route at the times A and B")
    add_source(parser)
    parser.set_defaults(run=_diff)

    for name, said, run in (
        ("compare", "is B worse than A: errors, latency, tokens, cost, evaluations, tested", _compare),
        ("drift", "what has moved from A to B: PSI, KL, Jensen-Shannon, KS, by layer version too", _drift),
    ):
        parser = commands.add_parser(name, help=said)
        parser.add_argument("a", metavar="A", help=_COHORTS)
        parser.add_argument("b", metavar="B")
        parser.add_argument("--route", help="only traces of this route")
        parser.add_argument("--min-traces", type=int, default=20, help="of either, or nothing is said (20)")
        add_source(parser)
        parser.set_defaults(run=run)


def _diff(asked: argparse.Namespace) -> int:
    sides = [asked.before, asked.after]
    if asked.route is None:
        return show(asked, "FROM tuple_diff($1, $2)", sides)
    return show(asked, "FROM what_changed($1, $2, $3)", [asked.route, *sides])


def _compare(asked: argparse.Namespace) -> int:
    from tupletrace.processor import compare

    return show_table(asked, compare.compare(*_measured(asked), asked.min_traces))


def _drift(asked: argparse.Namespace) -> int:
    from tupletrace.processor import drift

    return show_table(asked, drift.drift(*_measured(asked), asked.min_traces))


def _measured(asked: argparse.Namespace):
    from tupletrace.processor import cohorts

    try:
        with answering(asked) as ask:
            return cohorts.measured(ask, asked.a, asked.b, asked.route)
    except cohorts.CohortError as error:
        raise UsageError(str(error)) from None
