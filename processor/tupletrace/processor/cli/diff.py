"""``tupletrace diff``: what two tuples differ in, by layer, with the lines of the texts that are kept."""

import argparse
import difflib
import json
from typing import TYPE_CHECKING, Final

from tupletrace.processor import times
from tupletrace.processor.cli.options import (
    Commands,
    UsageError,
    add_source,
    add_window,
    answering,
    known_routes,
    no_route,
    show_table,
    whole_id,
)

if TYPE_CHECKING:
    from tupletrace.processor.ask import Ask

_SERVING: Final = "SELECT tuple_id FROM serving_trace($1, $2)"
_CONTENT: Final = ("prompt", "tools")
_KEEP: Final = "an application sends it with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"
_TEXTS: Final = """
    SELECT layer, name, version, arg_max(text, (last_seen, text)) AS text
    FROM layer_texts($1, since := $2, until := CAST($3 AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 MICROSECOND)
    GROUP BY layer, name, version
"""


def add(commands: Commands) -> None:
    """Declare the command."""
    said = "what two tuples, or a route at two times, differ in, by layer, with the texts that are kept"
    parser = commands.add_parser("diff", help=said)
    parser.add_argument("before", metavar="A", help="a tuple's id, or its beginning; with --route a time")
    parser.add_argument("after", metavar="B")
    add_window(parser)
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    import pyarrow as pa

    from tupletrace.processor import render

    sides = [asked.before, asked.after]
    with answering(asked) as ask:
        if asked.route:
            untils = [_time(side) for side in sides]
            tuples = [_serving(ask, asked.route, time) for time in untils]
        else:
            untils = [asked.until] * 2
            tuples = [whole_id(ask, "tuple", side) for side in sides]
        found = ask("FROM tuple_diff($1, $2)", tuples)
        before, after = (
            _texts(ask, tuple_id, asked.since, until) for tuple_id, until in zip(tuples, untils, strict=True)
        )
    rows = found.to_pylist()
    diffs: list[str | None] = []
    not_kept: list[str] = []
    for row in rows:
        old = before.get((row["layer"], row["name_before"], row["version_before"]))
        new = after.get((row["layer"], row["name_after"], row["version_after"]))
        diffs.append(_unified(old, new) if old and new else None)
        if row["change"] == "changed" and row["layer"] in _CONTENT and not (old and new):
            not_kept.append(row["layer"])
        if row["change"] == "same" and diffs[-1]:
            # A label that was used again.
            row["change"] = "text"
    shown = pa.Table.from_pylist(rows, found.schema)
    if asked.output or asked.format not in (None, "table"):
        return show_table(asked, shown.append_column("diff", pa.array(diffs, pa.string())))
    show_table(asked, shown)
    for row, lines in zip(rows, diffs, strict=True):
        if lines:
            render.text(f"\n{row['layer']} {row['name_after'] or ''}\n{lines}")
    if not_kept:
        render.text(f"\nWhat {' and '.join(not_kept)} said was not kept on both sides; {_KEEP}")
    return 0


def _time(said: str) -> str:
    try:
        return times.moment(said).isoformat()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _serving(ask: "Ask", route: str, time: str) -> str:
    served = ask(_SERVING, [route, time])["tuple_id"].to_pylist()
    if not served:
        routes = known_routes(ask)
        raise UsageError(
            f"nothing served {route!r} at {time} or before" if route in routes else no_route(route, routes)
        )
    return served[0]


def _texts(ask: "Ask", tuple_id: str, since: str | None, until: str | None) -> dict[tuple[str, ...], str]:
    rows = ask(_TEXTS, [tuple_id, since, until]).to_pylist()
    return {(row["layer"], row["name"], row["version"]): row["text"] for row in rows}


def _unified(before: str, after: str) -> str | None:
    lines = difflib.unified_diff(_lines(before), _lines(after), "before", "after", lineterm="")
    return "\n".join(lines) or None


def _lines(text: str) -> list[str]:
    """Return a text by lines, of JSON one value a line."""
    try:
        found = json.loads(text)
    except ValueError:
        return text.splitlines()
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
