"""``POST /sql``: one query in, rows out as JSON, CSV or Arrow."""

import gzip
import json
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tupletrace.processor import body, guard, query
from tupletrace.processor.admission import Admission
from tupletrace.processor.limits import Limits
from tupletrace.processor.refusal import MalformedRequest, Refused, TooLarge, TooSlow

Answer = Callable[[str, query.Parameters], pa.Table]
_FORM: Final = {"error": 'the body is {"sql": "SELECT ...", "params": []}'}
_WORTH_PACKING: Final = 1024


class SqlEndpoint:
    """An ASGI application."""

    def __init__(self, answer: Answer, admission: Admission) -> None:
        """Let ``answer`` run each query."""
        self._answer, self._admission, self._limits = answer, admission, Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if guard.media_type(request.headers) != guard.JSON:
            return JSONResponse({"error": 'send application/json: {"sql": "SELECT ...", "params": []}'}, 415)
        try:
            sql, parameters = await self._asked(request)
        except (MalformedRequest, ValueError, KeyError, TypeError, RecursionError):
            return JSONResponse(_FORM, 400)
        except Refused as error:
            closing = {"Connection": "close"} if isinstance(error, TooLarge | TooSlow) else None
            return guard.refusal(request.scope, error, closing)
        try:
            table = await run_in_threadpool(self._answer, sql, parameters)
        except query.SqlRefused as error:
            return JSONResponse({"error": str(error)}, 403)
        except query.SqlFailed as error:
            return JSONResponse({"error": str(error)}, 400)
        accepts = request.headers.get("accept-encoding", "")
        return await run_in_threadpool(_response, table, request.headers.get("accept", ""), accepts)

    async def _asked(self, request: Request) -> tuple[str, Any]:
        unpack = body.unpacker(request.headers.get("content-encoding", "").strip().lower(), self._limits)
        body.expected(request, self._limits)
        with self._admission.hold() as held:
            raw = await body.read(request, self._limits, held)
            asked = json.loads(raw if unpack is None else await run_in_threadpool(unpack, raw, held))
        sql, parameters = asked["sql"], asked.get("params")
        if not isinstance(sql, str) or not isinstance(parameters, list | dict | None):
            raise TypeError
        return sql, parameters


def _response(table: pa.Table, accept: str, accept_encoding: str) -> Response:
    if query.ARROW in accept:
        kind, content = query.ARROW, _arrow(table)
    elif "text/csv" in accept:
        kind, content = "text/csv", query.to_csv(table).encode()
    else:
        kind, content = guard.JSON, query.to_json(table).encode()
    headers = {"Vary": "Accept-Encoding"}
    if len(content) > _WORTH_PACKING and _takes_gzip(accept_encoding):
        content = gzip.compress(content, 1)
        headers["Content-Encoding"] = "gzip"
    return Response(content, 200, headers, kind)


def _takes_gzip(accept_encoding: str) -> bool:
    offered = [one.replace(" ", "").lower().split(";") for one in accept_encoding.split(",")]
    return any(one[0] == "gzip" and one[1:] not in (["q=0"], ["q=0.0"]) for one in offered)


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
