"""HTTP: OTLP in protobuf under ``/v1/``, SQL under ``POST /sql``, health under ``/healthz``."""

import asyncio
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import uvicorn
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tupletrace.processor import listen, query, wire
from tupletrace.processor.journal import JournalError
from tupletrace.processor.receive import MAX_REQUEST_BYTES, Receiver

PROTOBUF: Final = "application/x-protobuf"
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14
_BACKLOG: Final = 2048

Answer = Callable[[str, query.Parameters], pa.Table]


class _TooLarge(ValueError):
    def __init__(self) -> None:
        super().__init__(f"a request may have {MAX_REQUEST_BYTES} bytes, uncompressed")


class _UnknownEncoding(ValueError):
    pass


class HttpServer:
    """A running HTTP server in a thread of its own; ``address`` is where it really listens."""

    def __init__(self, receiver: Receiver, answer: Answer, host: str, port: int) -> None:
        """Listen and serve; ``answer`` runs one SQL query.

        Raises:
            PortInUse: somebody else listens there, or the address is not this machine's.
        """
        listener = listen.bound(host, port, "HTTP")
        # At once: who connects before the thread serves waits for it and is not refused.
        listener.listen(_BACKLOG)
        self.address = f"{host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            _application(receiver, answer, host),
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="tupletrace-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Refuse new requests, let those under way finish."""
        self._server.should_exit = True
        self._thread.join()


def _application(receiver: Receiver, answer: Answer, host: str) -> Starlette:
    async def export(request: Request) -> Response:
        return await _export(receiver, request)

    async def sql(request: Request) -> Response:
        return await _sql(answer, request)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "counts": dict(receiver.counts)})

    return Starlette(
        routes=[
            Route("/v1/{signal}", export, methods=["POST"]),
            Route("/sql", sql, methods=["POST"]),
            Route("/healthz", health),
        ],
        # A page in a browser must not reach us through a name that it rebinds to 127.0.0.1.
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", host])
        ],
    )


async def _export(receiver: Receiver, request: Request) -> Response:
    signal = request.path_params["signal"]
    if signal not in (wire.TRACES, wire.METRICS, wire.LOGS):
        return Response(status_code=404)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != PROTOBUF:
        return _status(415, _INVALID_ARGUMENT, f"send {PROTOBUF}")
    try:
        body = await _body(request)
        accepted = await run_in_threadpool(receiver.accept, signal, body)
        if accepted.durable is not None:
            await asyncio.wrap_future(accepted.durable)
    except _TooLarge as error:
        # Nobody reads the rest.
        return _status(413, _INVALID_ARGUMENT, str(error), {"Connection": "close"})
    except _UnknownEncoding as error:
        return _status(415, _INVALID_ARGUMENT, str(error))
    except (wire.MalformedRequest, zlib.error) as error:
        return _status(400, _INVALID_ARGUMENT, str(error))
    except JournalError as error:
        return _status(503, _UNAVAILABLE, str(error), {"Retry-After": "1"})
    except ClientDisconnect:
        return Response(status_code=400)
    return Response(accepted.response, media_type=PROTOBUF)


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise _UnknownEncoding(f"content-encoding {encoding} is not understood; send gzip or none")
    parts: list[bytes] = []
    size, begun = 0, False
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    async for chunk in request.stream():
        begun |= bool(chunk)
        while chunk:
            part, chunk = (chunk, b"") if inflater is None else _inflate(inflater, chunk)
            size += len(part)
            if size > MAX_REQUEST_BYTES:
                raise _TooLarge
            parts.append(part)
            if inflater is not None and inflater.eof and chunk:
                # A gzip body may have several members.
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    if inflater is not None and begun and not inflater.eof:
        raise wire.MalformedRequest("the gzip body ends too early")
    return b"".join(parts)


def _inflate(inflater: Any, chunk: bytes) -> tuple[bytes, bytes]:
    part = inflater.decompress(chunk, MAX_REQUEST_BYTES + 1)
    return part, inflater.unconsumed_tail or inflater.unused_data


def _status(code: int, grpc_code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = Status(code=grpc_code, message=message).SerializeToString()
    return Response(body, code, headers, PROTOBUF)


async def _sql(answer: Answer, request: Request) -> Response:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return JSONResponse({"error": 'send application/json: {"sql": "SELECT ...", "params": []}'}, 415)
    try:
        asked = json.loads(await _body(request))
        sql, parameters = asked["sql"], asked.get("params")
        if not isinstance(sql, str) or not isinstance(parameters, list | dict | None):
            raise TypeError
    except (_TooLarge, ClientDisconnect) as error:
        return JSONResponse({"error": str(error)}, 413, {"Connection": "close"})
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error):
        return JSONResponse({"error": 'the body is {"sql": "SELECT ...", "params": []}'}, 400)
    try:
        table = await run_in_threadpool(answer, sql, parameters)
    except query.SqlRefused as error:
        return JSONResponse({"error": str(error)}, 403)
    except query.SqlFailed as error:
        return JSONResponse({"error": str(error)}, 400)
    accepted = request.headers.get("accept", "")
    if query.ARROW in accepted:
        return Response(_arrow(table), media_type=query.ARROW)
    if "text/csv" in accepted:
        return Response(await run_in_threadpool(query.to_csv, table), media_type="text/csv")
    return Response(await run_in_threadpool(query.to_json, table), media_type="application/json")


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
