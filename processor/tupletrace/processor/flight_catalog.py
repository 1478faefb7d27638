"""What DBeaver and other Flight SQL clients ask about a database before they query it."""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa

Ask = Callable[[str, Any], pa.Table]


def _schema(**types: pa.DataType) -> pa.Schema:
    """Return columns; one whose name ends with ``_`` is never NULL. Clients check both to the letter."""
    return pa.schema(
        [pa.field(name.removesuffix("_"), kind, not name.endswith("_")) for name, kind in types.items()]
    )


_TEXT: Final = pa.string()
_CATALOGS: Final = _schema(catalog_name_=_TEXT)
_SCHEMAS: Final = _schema(catalog_name=_TEXT, db_schema_name_=_TEXT)
_TABLE: Final = _schema(catalog_name=_TEXT, db_schema_name=_TEXT, table_name_=_TEXT, table_type_=_TEXT)
_TABLE_SCHEMA: Final = pa.field("table_schema", pa.binary(), nullable=False)
_TABLE_TYPES: Final = _schema(table_type_=_TEXT)
_PRIMARY_KEYS: Final = _schema(
    catalog_name=_TEXT,
    db_schema_name=_TEXT,
    table_name_=_TEXT,
    column_name_=_TEXT,
    key_name=_TEXT,
    key_sequence_=pa.int32(),
)
_KEYS: Final = _schema(
    pk_catalog_name=_TEXT,
    pk_db_schema_name=_TEXT,
    pk_table_name_=_TEXT,
    pk_column_name_=_TEXT,
    fk_catalog_name=_TEXT,
    fk_db_schema_name=_TEXT,
    fk_table_name_=_TEXT,
    fk_column_name_=_TEXT,
    key_sequence_=pa.int32(),
    fk_key_name=_TEXT,
    pk_key_name=_TEXT,
    update_rule_=pa.uint8(),
    delete_rule_=pa.uint8(),
)
_TYPES: Final = {
    "BOOLEAN": -7,
    "BIGINT": -5,
    "DOUBLE": 8,
    "DECIMAL": 3,
    "VARCHAR": 12,
    "DATE": 91,
    "TIMESTAMP WITH TIME ZONE": 2014,
}
"""What a column may be, by the numbers that ODBC and JDBC know them by."""
_TYPE_INFO: Final = _schema(
    type_name_=_TEXT,
    data_type_=pa.int32(),
    column_size=pa.int32(),
    literal_prefix=_TEXT,
    literal_suffix=_TEXT,
    create_params=pa.list_(pa.field("item", _TEXT, nullable=False)),
    nullable_=pa.int32(),
    case_sensitive_=pa.bool_(),
    searchable_=pa.int32(),
    unsigned_attribute=pa.bool_(),
    fixed_prec_scale_=pa.bool_(),
    auto_increment=pa.bool_(),
    local_type_name=_TEXT,
    minimum_scale=pa.int32(),
    maximum_scale=pa.int32(),
    sql_data_type_=pa.int32(),
    datetime_subcode=pa.int32(),
    num_prec_radix=pa.int32(),
    interval_precision=pa.int32(),
)
_INFO: Final[dict[str, dict[int, Any]]] = {
    "string_value": {
        0: "tupletrace",
        1: version("tupletrace"),
        2: pa.__version__,
        504: '"',  # what quotes a name
        513: "\\",  # what escapes in LIKE
        514: "",  # no other signs in names
        529: "schema",
        530: "macro",
        531: "catalog",
    },
    "bool_value": {
        3: True,  # read-only
        4: True,  # SQL
        **dict.fromkeys((5, 9, 10, 11), False),  # Substrait, cancelling, ingesting
        **dict.fromkeys((500, 501, 502), False),  # no DDL: catalogs, schemas, tables
        506: True,  # every table may be selected from
        **dict.fromkeys((515, 516, 518, 520, 521, 523, 532, 539), True),  # what DuckDB's queries can do
        **dict.fromkeys((519, 524, 527, 536, 537, 556, 563, 565, 566, 572, 573, 574, 575, 576), False),
    },
    "bigint_value": {
        8: 0,  # no transactions
        503: 1,  # names: any case
        505: 1,
        507: 3,  # NULL is last
        **{number: 0 for number in range(541, 563) if number != 556},  # no limits, no isolation
    },
    "int32_bitmask": {
        522: 0b11,  # GROUP BY what is not selected, and more
        525: 0b111,  # SQL: minimum, core, extended
        526: 0b1,  # SQL-92: entry
        528: 0b110,  # outer joins: limited, full
        538: 0b1111,  # subqueries: comparisons, EXISTS, IN, ANY
        540: 0b11,  # UNION, UNION ALL
        564: 0b1,  # isolation: none
        567: 0b10,  # rows come forward only
        569: 0b10,  # and read-only
        **dict.fromkeys((533, 534, 535, 568, 570, 571), 0),
    },
    "string_list": {
        number: [] for number in range(508, 513)
    },  # keywords and functions: clients know SQL's own
    "int32_to_int32_list_map": {517: []},  # no CONVERT
}
"""Answers by their type and the number of ``SqlInfo``: drivers fail on those that are missing."""
_INFO_VALUE: Final = pa.dense_union(
    [
        pa.field("string_value", _TEXT),
        pa.field("bool_value", pa.bool_()),
        pa.field("bigint_value", pa.int64()),
        pa.field("int32_bitmask", pa.int32()),
        pa.field("string_list", pa.list_(_TEXT)),
        pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
)
_COLUMNS: Final = {
    "CommandGetCatalogs": _CATALOGS,
    "CommandGetDbSchemas": _SCHEMAS,
    "CommandGetTableTypes": _TABLE_TYPES,
    "CommandGetSqlInfo": _schema(info_name_=pa.uint32(), value_=_INFO_VALUE),
    "CommandGetXdbcTypeInfo": _TYPE_INFO,
    "CommandGetPrimaryKeys": _PRIMARY_KEYS,
}
_TABLES: Final = """
    SELECT database_name AS catalog_name, schema_name AS db_schema_name, table_name, 'TABLE' AS table_type
    FROM duckdb_tables()
    WHERE table_name = 'spans'
    UNION ALL
    SELECT database_name, schema_name, view_name, 'VIEW'
    FROM duckdb_views()
    WHERE NOT internal
"""


def schema(name: str, command: Any) -> pa.Schema:
    """Return the columns of what ``answer`` gives, without asking the database."""
    if name == "CommandGetTables":
        return _TABLE.append(_TABLE_SCHEMA) if command.include_schema else _TABLE
    return _COLUMNS.get(name, _KEYS)


def answer(name: str, command: Any, ask: Ask) -> pa.Table:
    """Answer one of the commands ``CommandGet...``."""
    match name:
        case "CommandGetCatalogs":
            return ask(f"SELECT DISTINCT catalog_name FROM ({_TABLES})", None).cast(_CATALOGS)
        case "CommandGetDbSchemas":
            return _filtered(ask, "SELECT DISTINCT catalog_name, db_schema_name", command).cast(_SCHEMAS)
        case "CommandGetTableTypes":
            return pa.table([["TABLE", "VIEW"]], schema=_TABLE_TYPES)
        case "CommandGetTables":
            return _tables(ask, command)
        case "CommandGetSqlInfo":
            return _info(command.info)
        case "CommandGetXdbcTypeInfo":
            return _types()
        case "CommandGetPrimaryKeys":
            return _PRIMARY_KEYS.empty_table()
        case _:
            return _KEYS.empty_table()


def _filtered(ask: Ask, select: str, command: Any) -> pa.Table:
    conditions = {
        "catalog": "catalog_name = $catalog",
        "db_schema_filter_pattern": "db_schema_name LIKE $db_schema_filter_pattern",
        "table_name_filter_pattern": "table_name LIKE $table_name_filter_pattern",
    }
    asked = {
        field.name: value for field, value in command.ListFields() if field.name in conditions and value != ""
    }
    where = " AND ".join(["TRUE", *(conditions[name] for name in asked)])
    return ask(f"{select} FROM ({_TABLES}) WHERE {where} ORDER BY ALL", asked)


def _tables(ask: Ask, command: Any) -> pa.Table:
    found = _filtered(ask, "SELECT *", command).cast(_TABLE)
    if command.table_types:
        found = found.filter(
            pa.array(kind in command.table_types for kind in found["table_type"].to_pylist())
        )
    if not command.include_schema:
        return found
    schemas = [
        ask(f'SELECT * FROM "{name}" LIMIT 0', None).schema.serialize().to_pybytes()
        for name in found["table_name"].to_pylist()
    ]
    return found.append_column(_TABLE_SCHEMA, [pa.array(schemas, pa.binary())])


def _types() -> pa.Table:
    rows = [
        {
            "type_name": name,
            "data_type": number,
            "sql_data_type": number,
            "nullable": 1,
            "case_sensitive": name == "VARCHAR",
            "searchable": 3,
            "fixed_prec_scale": False,
        }
        for name, number in _TYPES.items()
    ]
    return pa.Table.from_pylist([dict.fromkeys(_TYPE_INFO.names) | row for row in rows], _TYPE_INFO)


def _info(asked: Iterable[int]) -> pa.Table:
    wanted = set(asked)
    numbers, kinds, offsets, children = list[int](), list[int](), list[int](), list[pa.Array]()
    for kind, field in enumerate(_INFO_VALUE):
        told = {key: value for key, value in _INFO[field.name].items() if key in wanted or not wanted}
        numbers += told
        kinds += [kind] * len(told)
        offsets += range(len(told))
        children.append(pa.array(list(told.values()), field.type))
    names = [field.name for field in _INFO_VALUE]
    values = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()), pa.array(offsets, pa.int32()), children, names
    )
    return pa.Table.from_arrays(
        [pa.array(numbers, pa.uint32()), values], schema=_COLUMNS["CommandGetSqlInfo"]
    )
