"""The protobuf messages of Arrow Flight SQL that a server which only reads has to know."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage

_PACKAGE: Final = "arrow.flight.protocol.sql"
_Field: Final = descriptor_pb2.FieldDescriptorProto
_STRING: Final = _Field.TYPE_STRING
_BYTES: Final = _Field.TYPE_BYTES
_BOOL: Final = _Field.TYPE_BOOL
_UINT32: Final = _Field.TYPE_UINT32
_TABLE: Final = {"catalog": (1, _STRING), "db_schema": (2, _STRING), "table": (3, _STRING)}
_MESSAGES: Final[Mapping[str, Mapping[str, tuple[int, int] | tuple[int, int, bool]]]] = {
    "CommandGetSqlInfo": {"info": (1, _UINT32, True)},
    "CommandGetXdbcTypeInfo": {},
    "CommandGetCatalogs": {},
    "CommandGetDbSchemas": {"catalog": (1, _STRING), "db_schema_filter_pattern": (2, _STRING)},
    "CommandGetTables": {
        "catalog": (1, _STRING),
        "db_schema_filter_pattern": (2, _STRING),
        "table_name_filter_pattern": (3, _STRING),
        "table_types": (4, _STRING, True),
        "include_schema": (5, _BOOL),
    },
    "CommandGetTableTypes": {},
    "CommandGetPrimaryKeys": _TABLE,
    "CommandGetExportedKeys": _TABLE,
    "CommandGetImportedKeys": _TABLE,
    "CommandGetCrossReference": {
        "pk_catalog": (1, _STRING),
        "pk_db_schema": (2, _STRING),
        "pk_table": (3, _STRING),
        "fk_catalog": (4, _STRING),
        "fk_db_schema": (5, _STRING),
        "fk_table": (6, _STRING),
    },
    "CommandStatementQuery": {"query": (1, _STRING)},
    "CommandPreparedStatementQuery": {"prepared_statement_handle": (1, _BYTES)},
    "ActionCreatePreparedStatementRequest": {"query": (1, _STRING)},
    "ActionCreatePreparedStatementResult": {
        "prepared_statement_handle": (1, _BYTES),
        "dataset_schema": (2, _BYTES),
        "parameter_schema": (3, _BYTES),
    },
    "ActionClosePreparedStatementRequest": {"prepared_statement_handle": (1, _BYTES)},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="tupletrace/flight_sql.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, *listed) in fields.items():
            label = _Field.LABEL_REPEATED if listed else _Field.LABEL_OPTIONAL
            message.field.add(name=field, number=number, type=kind, label=label)  # pyright: ignore[reportArgumentType]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # pyright: ignore[reportAttributeAccessIssue]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES: Final = _classes()


def unpacked(packed: bytes) -> tuple[str, Any]:
    """Return the name and the content of a command.

    Raises:
        KeyError: it is not one that a server which only reads knows.
        google.protobuf.message.DecodeError: these are no such bytes.
    """
    wrapped = AnyMessage.FromString(packed)
    name = wrapped.type_url.rpartition(".")[2]
    return name, _CLASSES[name].FromString(wrapped.value)


def packed(name: str, **fields: Any) -> bytes:
    """Return a message as a client expects it."""
    url = f"type.googleapis.com/{_PACKAGE}.{name}"
    return AnyMessage(type_url=url, value=_CLASSES[name](**fields).SerializeToString()).SerializeToString()
