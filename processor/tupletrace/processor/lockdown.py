"""Which SQL from outside is answered: one query that only reads tables, as DuckDB's syntax tree shows it."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from tupletrace.processor.schema import statement_names

_QUERY_NODES: Final = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "VALUES_NODE"}
_TABLE_FUNCTIONS: Final = {
    "range",
    "generate_series",
    "unnest",
    "json_each",
    "json_tree",
    "duckdb_tables",
    "duckdb_views",
    "duckdb_columns",
    *statement_names("questions"),
}
_SCALARS_REFUSED: Final = {
    **dict.fromkeys(
        ("array_resize", "bitstring", "list_resize", "lpad", "repeat", "reservoir_quantile", "rpad"),
        "it makes values of any size",
    ),
    **dict.fromkeys(
        ("damerau_levenshtein", "editdist3", "jaro_similarity", "jaro_winkler_similarity", "levenshtein"),
        "it takes time by the square of its arguments",
    ),
    **dict.fromkeys(
        ("current_setting", "getenv", "getvariable", "query", "query_table"),
        "it reads what is not in the tables",
    ),
    **dict.fromkeys(("nextval", "setseed", "setval", "write_log"), "it writes"),
    "sleep_ms": "it only takes time",
}
"""With why: what happens in a single value no limit interrupts."""
_LISTS: Final = {"range", "generate_series"}
_FORMATS: Final = {"format", "printf"}
_REPLACES: Final = {"replace", "regexp_replace"}
_HUGE: Final = re.compile(r"\d{6}")
_LONG: Final = re.compile(r".{100}", re.DOTALL)
_HUGE_WIDTH: Final = re.compile(r"\d{4}|\*|\{[^}]*\{")
_GROWS: Final = {
    **dict.fromkeys(("bin", "to_binary"), 8),
    **dict.fromkeys(("json_quote", "regexp_escape", "to_json", "url_encode"), 3),
    **dict.fromkeys(("base64", "hex", "to_base64", "to_hex"), 2),
}
"""How many times as long as its argument the answer of a function may be."""
_JOINS: Final = {"||", "concat", "concat_ws", "list_concat", "list_cat", "array_concat", "array_cat"}
_MOST_GROWTH: Final = 10_000
_REDUCES: Final = {"list_reduce", "array_reduce", "reduce"}
_ARITHMETIC: Final = {"+", "-", "*", "/", "//", "%", "least", "greatest", "row"}
"""What may be done to what has been gathered: texts would double with each element."""
_MOST_TEXT: Final = 200_000
_MOST_TABLES: Final = 50
_MOST_STARS: Final = 100
_MOST_JOINED_STARS: Final = 10
"""Planning is not interrupted: its time is the square of the tables, and `*` over joins doubles columns."""
_IS_TABLE: Final = "SELECT 1 FROM duckdb_columns() WHERE lower(table_name) = lower(trim(?, '\"'))"
_COMMENT: Final = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_EXPLAIN: Final = re.compile(
    rf"{_COMMENT}*EXPLAIN(?:{_COMMENT}+ANALYZE)?(?={_COMMENT}|\()"
    r"(?:\s*\(\s*(?:ANALYZE|FORMAT\s+\w+)(?:\s*,\s*(?:ANALYZE|FORMAT\s+\w+))*\s*\))?",
    re.IGNORECASE | re.DOTALL,
)
_FILE_LIKE: Final = ("/", "\\", ".", "*", "?")


class SqlRefused(ValueError):
    """The statement is not a single read-only query, or asks for more than reading the tables."""


class SqlFailed(ValueError):
    """DuckDB could not run the query; the message is the first lines of its own."""


def check(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise ``SqlRefused`` unless this is one query that only reads tables, ``SqlFailed`` if it is no SQL."""
    if len(sql) > _MOST_TEXT:
        raise SqlRefused(f"a statement has at most {_MOST_TEXT:,} characters here; pass lists as parameters")
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlFailed(str(error).strip()) from None
    if len(statements) != 1:
        raise SqlRefused(f"send one statement, not {len(statements)}")
    # What is explained is checked as if it were asked: with ANALYZE it is run.
    explained = _EXPLAIN.match(sql)
    asked = sql[explained.end() :] if explained else sql
    ((tree,),) = cursor.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [asked]).fetchall()
    parsed = json.loads(tree)
    if parsed["error"]:
        raise SqlRefused(
            "only SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN of these and PIVOT with the "
            "values that become columns, ON ... IN (...), are answered: read-only SQL"
        )
    _growth(parsed["statements"])
    _check_size(parsed["statements"])
    for node in _nodes(parsed["statements"]):
        _check_node(node)
        # SHOW tells of a setting where there is no such table.
        if node.get("show_type") == "SHOW" and not cursor.execute(_IS_TABLE, [node["table_name"]]).fetchall():
            raise SqlRefused("settings cannot be read here, and there is no table of this name")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _check_size(statements: Any) -> None:
    stars = tables = joined = 0
    for node in _nodes(statements):
        kind = node.get("type")
        tables += kind in ("BASE_TABLE", "TABLE_FUNCTION")
        stars += kind == "STAR"
        if kind == "SELECT_NODE" and node["from_table"].get("type") == "JOIN":
            joined += any(one.get("type") == "STAR" for one in node["select_list"])
    if tables > _MOST_TABLES or stars > _MOST_STARS or joined > _MOST_JOINED_STARS:
        raise SqlRefused(
            f"a query names at most {_MOST_TABLES} tables, and has at most {_MOST_STARS} `*` here, "
            f"{_MOST_JOINED_STARS} of them over joins"
        )


def _check_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise SqlRefused(
            f"a query may not contain {kind.removesuffix('_NODE').replace('_', ' ').lower()}: read-only SQL"
        )
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise SqlRefused(f"the table function {name}() is not allowed here")
        # Rows come one after the other and can be interrupted, unlike a list.
        node["function"]["type"] = "TABLE"
    elif node.get("class") == "LAMBDA":
        if _functions(node) & _LISTS:
            raise SqlRefused("a lambda may not make lists")
    elif kind == "FUNCTION":
        _check_function(str(node.get("function_name", "")).lower(), node)
    elif kind == "BASE_TABLE" and any(mark in str(node.get("table_name")) for mark in _FILE_LIKE):
        raise SqlRefused("files cannot be read here; name a table or view")
    elif kind == "BASE_TABLE" and _tells_of_the_server(str(node.get("table_name")).lower()):
        raise SqlRefused("of the server itself nothing can be read here, settings and paths neither")


def _tells_of_the_server(table: str) -> bool:
    views = table.startswith(("duckdb_", "pragma_")) and table not in _TABLE_FUNCTIONS
    return views or table in ("pg_settings", "pg_database")


def _check_function(name: str, node: dict[str, Any]) -> None:
    if name in _SCALARS_REFUSED:
        raise SqlRefused(f"the function {name}() is not allowed here: {_SCALARS_REFUSED[name]}")
    arguments = _arguments(node)
    if name in _REDUCES:
        for one in arguments:
            if one.get("class") == "LAMBDA" and not _functions(one) <= _ARITHMETIC:
                raise SqlRefused(f"{name}() only calculates here")
    if name in _LISTS | _FORMATS | _REPLACES:
        large = _HUGE if name in _LISTS else _HUGE_WIDTH if name in _FORMATS else _LONG
        checked = arguments if name in _LISTS else arguments[:1] if name in _FORMATS else arguments[2:3]
        for one in checked:
            if one.get("class") != "CONSTANT" or large.search(_constant(one)):
                raise SqlRefused(f"{name}() takes small constants here")


def _functions(tree: Any) -> set[str]:
    return {str(one.get("function_name", "")).lower() for one in _nodes(tree)} - {""}


def _arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of a function; DuckDB 2 wraps each once more than 1.5."""
    return [one.get("expression", one) for one in node.get("arguments") or node.get("children") or []]


def _constant(node: dict[str, Any]) -> str:
    literal = node.get("literal") or node.get("value") or {}
    return str(literal.get("text", literal.get("value")))


def _growth(tree: Any) -> float:
    """Return how many times as long as what it is made of a value in this part of a query may be.

    Raises:
        SqlRefused: so many times that no limit would stop it: what is constant is made before anything runs.
    """
    if isinstance(tree, list):
        return max(map(_growth, tree), default=1)
    if not isinstance(tree, dict):
        return 1
    name = str(tree.get("function_name", "")).lower()
    inner = max(map(_growth, tree.values()), default=1)
    if name in _REPLACES:
        *_, instead = ["", *(_constant(one) for one in _arguments(tree)[:3])]
        inner *= max(len(instead), 1)
    elif name in _JOINS:
        inner = sum(map(_growth, _arguments(tree)))
    inner *= _GROWS.get(name, 1)
    if inner > _MOST_GROWTH:
        raise SqlRefused(f"{name}() would make values of any size here")
    return inner
