"""``POST /sql``: one query in, rows out as JSON, CSV or Arrow, while they come."""

import asyncio
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tupletrace.processor import body, formats, guard, query
from tupletrace.processor.admission import Admission
from tupletrace.processor.limits import Limits
from tupletrace.processor.refusal import MalformedRequest, Refused

_logger: Final = logging.getLogger(__name__)
_FORM: Final = {
    "error": 'the body is {"sql": "SELECT ...", "params": [], "max_rows": 1000}, the last two if wanted'
}
_WORTH_PACKING: Final = 1024
_AT_ONCE: Final = 2**16
"""Bytes: an answer that is no longer is sent with its length."""
_AGAIN_S: Final = 0.1
_Asked = tuple[str, query.Parameters, int | None]
"""The query, its parameters, and how many rows at most."""


class SqlEndpoint:
    """An ASGI application."""

    def __init__(self, queries: query.Queries, admission: Admission) -> None:
        """Let ``queries`` answer."""
        self._queries, self._admission, self._limits = queries, admission, Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            if guard.media_type(request.headers) != guard.JSON:
                response = JSONResponse(
                    {"error": 'send application/json: {"sql": "SELECT ...", "params": []}'}, 415
                )
            else:
                response = await self._answered(request, await self._asked(request), send)
        except (MalformedRequest, ValueError, KeyError, TypeError, RecursionError):
            response = JSONResponse(_FORM, 400)
        except Refused as error:
            response = guard.refusal(scope, error)
        if response:
            await response(scope, receive, send)

    async def _answered(self, request: Request, asked: _Asked, send: Send) -> Response | None:
        """Return the answer, or send it as it comes."""
        try:
            answer = await run_in_threadpool(self._queries.open)
        except query.SqlFailed as error:
            return JSONResponse({"error": str(error)}, 400)
        leaving = asyncio.create_task(_left(request.receive, answer))
        try:
            return await _sent(answer, asked, request, send)
        except query.SqlRefused as error:
            return JSONResponse({"error": str(error)}, 403)
        except query.SqlFailed as error:
            return JSONResponse({"error": str(error)}, 400)
        finally:
            leaving.cancel()
            await run_in_threadpool(answer.close)

    async def _asked(self, request: Request) -> _Asked:
        unpack = body.unpacker(request.headers.get("content-encoding", "").strip().lower(), self._limits)
        body.expected(request, self._limits)
        with self._admission.hold() as held:
            raw = await body.read(request, self._limits, held)
            asked = json.loads(raw if unpack is None else await run_in_threadpool(unpack, raw, held))
        sql, parameters, most = asked["sql"], asked.get("params"), asked.get("max_rows")
        if not isinstance(sql, str) or not isinstance(parameters, list | dict | None):
            raise TypeError
        if most is not None and (type(most) is not int or most < 0):
            raise TypeError
        return sql, parameters, most


async def _left(receive: Receive, answer: query.Answer) -> None:
    """Interrupt a query whose client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    while True:
        answer.interrupt()
        await asyncio.sleep(_AGAIN_S)


async def _sent(answer: query.Answer, asked: _Asked, request: Request, send: Send) -> Response | None:
    accept = request.headers.get("accept", "")
    kind = next((kind for kind in (query.ARROW, "text/csv") if kind in accept), guard.JSON)
    chunks = _chunks(answer, asked, kind)
    first, ended = await run_in_threadpool(_gathered, chunks)
    headers = {"Vary": "Accept-Encoding"}
    if len(first) > _WORTH_PACKING and _takes_gzip(request.headers.get("accept-encoding", "")):
        chunks = _packed(chain([first], chunks))
        headers["Content-Encoding"] = "gzip"
        first = b"".join(chunks) if ended else await run_in_threadpool(next, chunks)
    if ended:
        return Response(first, 200, headers, kind)
    started = Response(None, 200, headers, kind)
    del started.headers["Content-Length"]
    await send({"type": "http.response.start", "status": 200, "headers": started.raw_headers})
    chunk: bytes | None = first
    while chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        try:
            chunk = await run_in_threadpool(next, chunks, None)
        except query.SqlFailed as error:
            # Without its end the client sees that it is not whole.
            _logger.warning("an answer was cut off: %s", error)
            return None
    await send({"type": "http.response.body", "body": b""})
    return None


def _chunks(answer: query.Answer, asked: _Asked, kind: str) -> Iterator[bytes]:
    sql, parameters, most = asked
    answer.ask(sql, parameters)
    rows = answer if most is None else _first(answer, most)
    if kind == query.ARROW:
        yield from formats.to_arrow(answer.schema, rows)
        return
    written = formats.to_csv if kind == "text/csv" else formats.to_json
    for text in written(answer.schema, rows):
        yield text.encode()


def _first(batches: formats.Batches, most: int) -> formats.Batches:
    for batch in batches:
        yield batch.slice(0, most)
        most -= batch.num_rows
        if most <= 0:
            return


def _gathered(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """Return the beginning, and whether that is all."""
    parts: list[bytes] = []
    for chunk in chunks:
        parts.append(chunk)
        if sum(map(len, parts)) > _AT_ONCE:
            return b"".join(parts), False
    return b"".join(parts), True


def _packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


def _takes_gzip(accept_encoding: str) -> bool:
    offered = [one.replace(" ", "").lower().split(";") for one in accept_encoding.split(",")]
    return any(one[0] == "gzip" and one[1:] not in (["q=0"], ["q=0.0"]) for one in offered)
