"""``tupletrace retain``: content and spans that are older than they may be, or too many, gone for good."""

import argparse

from tupletrace.processor.cli.options import Commands
from tupletrace.processor.cli.rebuild import add_place, done, place


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "retain", help="drop old prompts, old spans, or the oldest until the rest fits"
    )
    said = "drop prompts, answers, arguments and documents of traces older than this: 7d, 1d12h"
    parser.add_argument("--keep-content", metavar="AGE", help=said)
    parser.add_argument(
        "--keep-spans", metavar="AGE", help="drop traces older than this, with tokens and costs"
    )
    said = "then drop the oldest, content before spans, until journal and database have this size: 20GB"
    parser.add_argument("--keep-size", metavar="SIZE", help=said)
    add_place(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    said = {"content": asked.keep_content, "spans": asked.keep_spans, "size": asked.keep_size}
    answer = done(asked, "retain", {what: kept for what, kept in said.items() if kept})
    for one in answer["dropped"]:
        what = "spans" if one["what"] == "spans" else "spans without their content now"
        print(f"{one['spans']} {what}, of {one['traces']} traces before {one['before']} ({one['because']})")
    since = f"spans since {answer['spans_since']}, content since {answer['content_since']}"
    print(f"{place(asked)} keeps {since}")
    print(f"database {answer['database_bytes'] / 1e6:.1f} MB, journal {answer['journal_bytes'] / 1e6:.1f} MB")
    return 0
