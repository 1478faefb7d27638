"""Messages and tools that vendors spread over keys (``llm.input_messages.0.message.role``), put together."""

import re
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import Attributes
from tupletrace.processor.sources import engine

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

_MESSAGE: Final = re.compile(
    r"(?:llm\.(?P<a>input|output)_messages|gen_ai\.(?P<b>input|output)\.messages)\.(?P<n>\d+)\.message\.(?P<rest>.+)"
    r"|gen_ai\.(?P<c>prompt|completion)\.(?P<m>\d+)\.(?P<more>.+)"
    r"|llm\.(?P<d>prompts|choices)\.(?P<k>\d+)\.(?:prompt|completion)\.(?P<text>text)"
)
_FIELD: Final = re.compile(
    r"(?P<plain>role|content|text|tool_call_id|finish_reason|reasoning|reasoning_content|tool_calls)"
    r"|function_call_(?P<function>name|arguments)(?:_json)?"
    r"|contents\.(?P<part>\d+)\.(?:message_content\.)?(?P<sub>.+)"
    r"|tool_calls\.(?P<call>\d+)\.(?:tool_call\.)?(?:function\.)?(?P<of>id|name|arguments)"
)
_PLAIN: Final = {
    "finish_reason": "finish",
    "text": "content",
    "reasoning_content": "reasoning",
    "tool_calls": "calls",
}
_SINGLE: Final = {
    f"ai.{said}.{key}": ("output", 0, field, -1, "")
    for said in ("response", "result")
    for key, field in (
        ("text", "content"),
        ("object", "content"),
        ("reasoning", "reasoning"),
        ("toolCalls", "calls"),
        ("finishReason", "finish"),
    )
}
_TOOL: Final = re.compile(
    r"(?:llm\.tools|gen_ai\.tool\.definitions)\.(?P<n>\d+)\.tool\.(?:json_schema|(?P<by>name|description))"
    r"|llm\.request\.functions\.(?P<m>\d+)\.(?P<of>name|description|parameters)"
)
_SIDES: Final = {"prompt": "input", "completion": "output", "prompts": "input", "choices": "output"}
_COLUMN: Final = {"input": "input_messages", "output": "output_messages"}
_EARLIER: Final = r'"tool_call_response"[^}]*"result"|"arguments": ?"\{'
"""A tool's answer was its result, and arguments were JSON in a string."""
Place = tuple[str, int, str, int, str]
"""Side, message, field, which part or tool call, what of it."""


def _place(key: str) -> Place | None:
    if key in _SINGLE:
        return _SINGLE[key]
    found = _MESSAGE.fullmatch(key)
    if found is None:
        return None
    said = found["a"] or found["b"] or found["c"] or found["d"]
    side, message = _SIDES.get(said, said), int(found["n"] or found["m"] or found["k"])
    field = _FIELD.fullmatch(found["rest"] or found["more"] or found["text"])
    if field is None:
        return None
    if field["plain"]:
        return side, message, _PLAIN.get(field["plain"], field["plain"]), -1, ""
    if field["function"]:
        return side, message, f"function_{field['function']}", -1, ""
    if field["part"]:
        return side, message, "part", int(field["part"]), field["sub"]
    return side, message, "call", int(field["call"]), field["of"]


def _tool_place(key: str) -> Place | None:
    found = _TOOL.fullmatch(key)
    if found is None:
        return None
    return "tools", int(found["n"] or found["m"]), found["of"] or found["by"] or "schema", -1, ""


def messages(attributes: Attributes, found: dict[str, pa.Array]) -> None:
    """Write the messages of each span that are not in the JSON of the conventions yet."""
    places = {code: place for code, key in enumerate(attributes.keys) if (place := _place(key))}
    foreign = {side: _foreign(found[f"{side}_messages"]) for side in _COLUMN}
    blobs = pa.concat_tables(
        _blobs(side, pc.coalesce(foreign[side], found.pop(f"{side}_chat"))) for side in _COLUMN
    )
    blobs, cells = _apart(blobs, _cells(attributes, places))
    if not blobs.num_rows and not cells.num_rows:
        return
    answer = _told(blobs, cells, attributes.count)
    for side, column in _COLUMN.items():
        told = _spread(answer.filter(pc.equal(answer.column("side"), side)), "messages", attributes.count)
        own = pc.if_else(pc.is_valid(foreign[side]), pa.scalar(None, pa.string()), found[column])
        found[column] = pc.coalesce(own, told, found[column])


def _foreign(said: pa.Array) -> pa.Array:
    """Return what stands under the conventions' key and has another shape, or that of an earlier version."""
    if said.null_count == len(said):
        return said
    listed = pc.match_substring_regex(said, r"^\s*[\[{]")
    own = pc.and_not(pc.match_substring(said, '"parts"'), pc.match_substring_regex(said, _EARLIER))
    return pc.if_else(pc.and_not(listed, own), said, pa.scalar(None, pa.string()))


def _apart(blobs: pa.Table, cells: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Of what a span says twice keep what stands in keys of its own, if each message there is whole."""
    if not blobs.num_rows or not cells.num_rows:
        return blobs, cells
    field, sub = cells.column("field"), cells.column("sub")
    marks = {
        "says": pc.invert(pc.is_in(field, pa.array(["role", "finish"]))),
        "calls": pc.and_(pc.equal(field, "call"), pc.equal(sub, "name")),
        "knows": pc.and_(pc.equal(field, "call"), pc.equal(sub, "id")),
    }
    for mark, where in marks.items():
        cells = cells.append_column(mark, where)
    message = cells.group_by(["span", "side", "message"]).aggregate([(mark, "any") for mark in marks])
    says, calls, knows = (message.column(f"{mark}_any") for mark in marks)
    message = message.append_column("whole", pc.and_(says, pc.or_(pc.invert(calls), knows)))
    told = message.group_by(["span", "side"]).aggregate([("whole", "all")])
    blobs = blobs.join(told.filter(told.column("whole_all")), ["span", "side"], join_type="left anti")
    cells = cells.drop_columns([*marks])
    return blobs, cells.join(blobs, ["span", "side"], join_type="left anti")


def _told(blobs: pa.Table, cells: pa.Table, count: int) -> pa.Table:
    """Return span, side and messages: of the plain ones first, which takes little."""
    found = {"plain_blobs": blobs, "plain_cells": cells}
    try:
        plain = pa.concat_tables(
            _asked(f"SELECT * FROM {macro}('found')", found=table)
            for macro, table in found.items()
            if table.num_rows
        )
    except duckdb.Error:
        return _conversations(blobs, cells, 0, count)
    others = [table.join(plain, ["span", "side"], join_type="left anti") for table in (blobs, cells)]
    if not any(table.num_rows for table in others):
        return plain
    return pa.concat_tables([plain, _conversations(others[0], others[1], 0, count)])


def _conversations(blobs: pa.Table, cells: pa.Table, first: int, end: int) -> pa.Table:
    """Return span, side and messages of spans ``first`` to ``end``, without those that nobody can read."""
    query = "SELECT * FROM conversations('found_blobs', 'found_cells')"
    try:
        return _asked(query, found_blobs=blobs, found_cells=cells)
    except duckdb.Error:
        # Half by half, so that one span's broken text costs no other span its messages.
        middle = (first + end) // 2
        if middle == first:
            return _asked(query, found_blobs=blobs.slice(0, 0), found_cells=cells.slice(0, 0))
        return pa.concat_tables(
            _conversations(_between(blobs, low, high), _between(cells, low, high), low, high)
            for low, high in ((first, middle), (middle, end))
        )


def _between(table: pa.Table, low: int, high: int) -> pa.Table:
    span = table.column("span")
    return table.filter(pc.and_(pc.greater_equal(span, low), pc.less(span, high)))


def _blobs(side: str, said: pa.Array) -> pa.Table:
    rows = np.flatnonzero(pc.is_valid(said).to_numpy(zero_copy_only=False))
    sides = pa.array([side], pa.string()).take(pa.array(np.zeros(len(rows), np.int64)))
    return pa.table({"span": pa.array(rows), "side": sides, "said": said.take(pa.array(rows))})


def tools(attributes: Attributes) -> pa.Array:
    """Return the tools of each span as a JSON list of what their vendor wrote."""
    places = {code: place for code, key in enumerate(attributes.keys) if (place := _tool_place(key))}
    if not places:
        return pa.nulls(attributes.count, pa.string())
    query = "SELECT * FROM tools_of('found_cells')"
    return _spread(_asked(query, found_cells=_cells(attributes, places)), "tools", attributes.count)


def _cells(attributes: Attributes, places: dict[int, Place]) -> pa.Table:
    """Return one row an attribute whose key is a place."""
    codes = np.array(sorted(places), np.int64)
    here = np.flatnonzero(np.isin(attributes.codes, codes) & ~attributes.unread)
    which = pa.array(np.searchsorted(codes, attributes.codes[here]))
    sides, numbers, fields, within, subs = (
        zip(*(places[int(code)] for code in codes), strict=True) if places else ((),) * 5
    )
    return pa.table(
        {
            "span": pa.array(attributes.rows[here]),
            "side": pa.array(sides, pa.string()).take(which),
            "message": pa.array(numbers, pa.int64()).take(which),
            "field": pa.array(fields, pa.string()).take(which),
            "number": pa.array(within, pa.int64()).take(which),
            "sub": pa.array(subs, pa.string()).take(which),
            "value": attributes.values.take(pa.array(here)),
        }
    )


def _asked(query: str, **tables: pa.Table) -> pa.Table:
    with engine().cursor() as cursor:
        for name, table in tables.items():
            cursor.register(name, table)
        # As a relation it would be planned twice, and that takes longer than a small batch.
        cursor.execute(f"CREATE TEMPORARY TABLE answer AS {query}")
        return cursor.table("answer").to_arrow_table()


def _spread(told: pa.Table, column: str, count: int) -> pa.Array:
    """Return a column with a row for every span out of one for some."""
    at = np.full(count, -1, np.int64)
    at[told.column("span").to_numpy()] = np.arange(told.num_rows)
    return told.column(column).combine_chunks().take(pa.array(at, mask=at < 0))
