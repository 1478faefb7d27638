"""Arrow Flight SQL, read-only: for ADBC, JDBC, DBeaver and Grafana while the processor runs."""

import base64
import threading
import uuid
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError
from pyarrow import flight

from tupletrace.processor import flight_catalog, query
from tupletrace.processor.flight_messages import packed, unpacked
from tupletrace.processor.listen import PortInUse, bound
from tupletrace.processor.refusal import Forbidden, Unauthenticated
from tupletrace.processor.tls import Tls
from tupletrace.processor.tokens import READ, Access

_MOST_STATEMENTS: Final = 1_000
"""Prepared and not yet closed; the oldest is forgotten."""
_CANCELLED_S: Final = 0.5


_MiddlewareFactory: Any = flight.ServerMiddlewareFactory
_Middleware: Any = flight.ServerMiddleware
_AuthHandler: Any = flight.ServerAuthHandler
_ServerBase: Any = flight.FlightServerBase


class _Gate(_MiddlewareFactory):
    """Lets nobody past without a token that may read."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def start_call(self, info: Any, headers: dict[str, list[str]]) -> Any:
        """Refuse a call; its method is not reached."""
        said = next((values[0] for key, values in headers.items() if key.lower() == "authorization"), None)
        bearer = _bearer(said) if said else None
        try:
            self._access.check(bearer or said, READ)
        except Unauthenticated as error:
            raise flight.FlightUnauthenticatedError(str(error)) from None
        except Forbidden as error:
            raise flight.FlightUnauthorizedError(str(error)) from None
        return _LoggedIn(bearer) if bearer else None


class _LoggedIn(_Middleware):
    """Tells a client that sent a user and a password what to send from now on."""

    def __init__(self, bearer: str) -> None:
        super().__init__()
        self._bearer = bearer

    def sending_headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {"authorization": self._bearer}


class _Handshake(_AuthHandler):
    """Lets clients log in, who go through the gate with that and every other call."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Answer nothing: what is to be known is in the headers."""

    def is_valid(self, token: bytes) -> bytes:
        """Return nobody's name."""
        return b""


class _Server(_ServerBase):
    def __init__(self, queries: query.Queries, location: str, **options: Any) -> None:
        super().__init__(location, **options)
        self._queries = queries
        self._statements: OrderedDict[bytes, tuple[str, query.Parameters]] = OrderedDict()
        self._changing = threading.Lock()

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Say where the answer to a command is to be had: here, with the command as its ticket."""
        name, command = _known(descriptor.command)
        if _is_statement(name):
            schema = self._schema(*self._asked(name, command))
        else:
            schema = flight_catalog.schema(name, command)
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(descriptor.command, [])], -1, -1)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """Return the columns of the answer to a command."""
        return flight.SchemaResult(self.get_flight_info(context, descriptor).schema)

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Return the answer to a command."""
        name, command = _known(ticket.ticket)
        if not _is_statement(name):
            return flight.RecordBatchStream(flight_catalog.answer(name, command, self._run))
        asked = self._asked(name, command)
        answer = self._queries.open()
        try:
            with _said(), _watched(context, answer):
                answer.ask(*asked)
                rows = _rows(answer)
                # A generator that was begun gives the cursor back when it is forgotten.
                first = list(islice(rows, 1))
        except BaseException:
            answer.close()
            raise
        return flight.GeneratorStream(answer.schema, chain(first, rows))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Bind a prepared statement's parameters; nothing else can be put."""
        name, command = _known(descriptor.command)
        if name != "CommandPreparedStatementQuery":
            raise flight.FlightServerError("this database can only be read")
        rows = reader.read_all().to_pylist()
        with self._changing:
            sql, _ = self._statement(command.prepared_statement_handle)
            bound = rows[0] if rows else {}
            named = set(bound) == set(self._queries.parameters(sql))
            self._statements[command.prepared_statement_handle] = (
                sql,
                bound if named else list(bound.values()),
            )

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        """Prepare a statement, or forget one."""
        name, command = _known(action.body.to_pybytes())
        if name == "ActionCreatePreparedStatementRequest":
            dataset, parameters = self._prepared(command.query)
            handle = uuid.uuid4().bytes
            with self._changing:
                self._statements[handle] = (command.query, [])
                if len(self._statements) > _MOST_STATEMENTS:
                    self._statements.popitem(last=False)
            yield flight.Result(
                packed(
                    "ActionCreatePreparedStatementResult",
                    prepared_statement_handle=handle,
                    dataset_schema=dataset.serialize().to_pybytes(),
                    parameter_schema=parameters.serialize().to_pybytes(),
                )
            )
        elif name == "ActionClosePreparedStatementRequest":
            with self._changing:
                self._statements.pop(command.prepared_statement_handle, None)

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """Return the actions that ``do_action`` knows."""
        return [
            ("CreatePreparedStatement", "Keep a query, to run it with parameters."),
            ("ClosePreparedStatement", "Forget a query."),
        ]

    def _asked(self, name: str, command: Any) -> tuple[str, query.Parameters]:
        if name == "CommandStatementQuery":
            return command.query, []
        return self._statement(command.prepared_statement_handle)

    def _statement(self, handle: bytes) -> tuple[str, query.Parameters]:
        try:
            return self._statements[handle]
        except KeyError:
            raise flight.FlightServerError("this prepared statement is closed") from None

    def _schema(self, sql: str, bound: query.Parameters) -> pa.Schema:
        try:
            return self._queries.run(f"SELECT * FROM ({sql.rstrip().rstrip(';')}) LIMIT 0", bound).schema
        except (query.SqlRefused, query.SqlFailed):
            # A query that cannot stand in another, or one that is wrong and says why.
            return self._run(sql, bound).schema

    def _prepared(self, sql: str) -> tuple[pa.Schema, pa.Schema]:
        """Return the columns of the answer, and the parameters: text, which DuckDB reads as their type."""
        with _said():
            names = self._queries.parameters(sql)
        parameters = pa.schema([(name, pa.string()) for name in names])
        if not names:
            return self._schema(sql, []), parameters
        try:
            return self._schema(sql, dict.fromkeys(names)), parameters
        except flight.FlightError:
            # Only the values of its parameters can tell.
            return pa.schema([]), parameters

    def _run(self, sql: str, parameters: query.Parameters = None) -> pa.Table:
        with _said():
            return self._queries.run(sql, parameters)


class FlightServer:
    """A running Flight SQL server; ``address`` is where it really listens."""

    def __init__(
        self, queries: query.Queries, access: Access, host: str, port: int, tls: Tls | None = None
    ) -> None:
        """Listen and serve.

        Raises:
            PortInUse: somebody else listens there, or the address is not this machine's.
        """
        options: dict[str, Any] = {"middleware": {"gate": _Gate(access)}, "auth_handler": _Handshake()}
        scheme = "grpc+tcp"
        if tls:
            scheme = "grpc+tls"
            options["tls_certificates"] = [(tls.certificate.read_bytes(), tls.key.read_bytes())]
            if tls.client_ca:
                options |= {"verify_client": True, "root_certificates": tls.client_ca.read_bytes()}
        # Of a server that could not start Arrow keeps a reference for ever, with all that it knows of.
        for tried in bound(host, port, "Flight SQL"):
            tried.close()
        try:
            self._server = _Server(queries, f"{scheme}://{host}:{port}", **options)
        except (pa.ArrowException, OSError) as error:
            said = str(error).partition("\n")[0]
            raise PortInUse(f"cannot listen on {host}:{port} (Flight SQL): {said}") from None
        self.address = f"{host}:{self._server.port}"
        self._thread = threading.Thread(target=self._server.wait, name="tupletrace-flight", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let calls under way finish and take no more."""
        self._server.shutdown()
        self._thread.join()


def _bearer(said: str) -> str | None:
    """Return the token that a login gave for a password, whoever the user."""
    kind, _, encoded = said.partition(" ")
    if kind.lower() != "basic":
        return None
    with suppress(ValueError):
        return f"Bearer {base64.b64decode(encoded).decode().partition(':')[2]}"
    return None


def _rows(answer: query.Answer) -> Iterator[pa.RecordBatch]:
    with answer, _said():
        yield from answer


@contextmanager
def _said() -> Generator[None]:
    try:
        yield
    except query.SqlRefused as error:
        raise flight.FlightUnauthorizedError(str(error)) from None
    except query.SqlFailed as error:
        raise flight.FlightServerError(str(error)) from None


@contextmanager
def _watched(context: Any, answer: query.Answer) -> Generator[None]:
    """Interrupt a query whose client goes before there are rows."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_CANCELLED_S):
            if context.is_cancelled():
                answer.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _known(command: bytes) -> tuple[str, Any]:
    try:
        return unpacked(command)
    except (KeyError, DecodeError):
        raise flight.FlightServerError("this is no Flight SQL command of a database that is read") from None


def _is_statement(name: str) -> bool:
    return name in ("CommandStatementQuery", "CommandPreparedStatementQuery")
