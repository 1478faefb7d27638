"""``tupletrace trace ID``: one trace as a tree."""

import argparse
from typing import Any, Final

from tupletrace.processor.cli.options import (
    Commands,
    UsageError,
    add_source,
    add_window,
    answering,
    show_table,
    whole_id,
)

_DIGITS: Final = 32
_SPANS: Final = """
    SELECT
        spans.span_id,
        spans.parent_span_id,
        spans.name,
        spans.operation_name,
        spans.start_time,
        spans.duration_ns / 1e9 AS duration_s,
        spans.status_code,
        spans.error_type,
        roles.usage_role,
        roles.duplicate_of,
        coalesce(calls.response_model, spans.response_model, spans.request_model) AS model,
        coalesce(calls.prompt_name, spans.prompt_name) AS prompt_name,
        coalesce(calls.prompt_version, spans.prompt_version) AS prompt_version,
        spans.retriever_version,
        spans.tool_name,
        calls.input_tokens,
        calls.output_tokens,
        calls.usage_status,
        calls.cost_usd,
        calls.cost_status
    FROM trace_spans($1) AS spans
    LEFT JOIN usage_roles AS roles ON roles.trace_id = $1 AND roles.span_id = spans.span_id
    LEFT JOIN trace_calls($1) AS calls ON calls.span_id = spans.span_id
    WHERE within(spans.start_time, $2, $3)
    ORDER BY spans.start_unix_nano, spans.span_id
"""
_TRACE: Final = "FROM traces WHERE trace_id = $1 AND ($2 IS NULL OR route = $2)"
_LAYERS: Final = "FROM trace_layers WHERE trace_id = $1 ORDER BY layer, name"


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("trace", help="one trace as a tree, with times, tokens, cost and tuple")
    parser.add_argument("trace", metavar="ID", help="32 hex digits, or as many as only it begins with")
    add_window(parser)
    add_source(parser)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    from tupletrace.processor import render

    with answering(asked) as ask:
        wanted = asked.trace.lower() if len(asked.trace) == _DIGITS else whole_id(ask, "trace", asked.trace)
        # Programs that call random.seed() use an id again: a window tells which run is meant.
        spans = ask(_SPANS, [wanted, asked.since, asked.until])
        traces = ask(_TRACE, [wanted, asked.route]).to_pylist()
        if not spans.num_rows or not traces:
            raise UsageError(f"there is no trace {asked.trace!r} here")
        if asked.output or asked.format not in (None, "table"):
            return show_table(asked, spans)
        (trace,) = traces
        layers = ask(_LAYERS, [wanted]).to_pylist()
    head = (
        f"{trace['route']}  {_seconds(trace['duration_ns'] / 1e9)}  {_cost(trace)}  tuple {trace['tuple_id']}"
    )
    told = [" ".join(filter(None, (one["layer"], one["name"], one["version"], _why(one)))) for one in layers]
    render.tree(head, [f"  {line}" for line in told], spans.to_pylist(), _label)
    return 0


def _why(layer: dict[str, Any]) -> str:
    return f"({layer['provenance']}{': ' + layer['reason'] if layer['reason'] else ''})"


def _label(span: dict[str, Any]) -> str:
    said = [span["name"], _seconds(span["duration_s"])]
    if span["status_code"] == "ERROR":
        said.append(f"ERROR {span['error_type'] or ''}".strip())
    if span["usage_role"] == "leaf":
        tokens = f"{_count(span['input_tokens'])} -> {_count(span['output_tokens'])} tokens"
        said += [span["model"] or "", tokens, _cost(span)]
        if span["prompt_version"]:
            said.append(f"prompt {span['prompt_name'] or ''}@{span['prompt_version']}")
    elif span["usage_role"]:
        said.append(f"({span['usage_role']}{' of ' + span['duplicate_of'] if span['duplicate_of'] else ''})")
    return "  ".join(part for part in said if part)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)


def _cost(row: dict[str, Any]) -> str:
    if row["cost_usd"] is None:
        return row["cost_status"] or ""
    partly = " (partly priced)" if row["cost_status"] == "partly_priced" else ""
    return f"{row['cost_usd'].normalize():f} USD{partly}"
