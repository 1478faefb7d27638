"""HTTP: OTLP in protobuf and JSON under ``/v1/``, ``POST /sql``, ``POST /admin/...``, health and metrics."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final

import h11
import uvicorn
from google.protobuf import json_format
from google.rpc import code_pb2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tupletrace.processor import body, guard, listen, metrics
from tupletrace.processor.evaluation_endpoint import evaluate
from tupletrace.processor.guard import Callers
from tupletrace.processor.query import Queries
from tupletrace.processor.receive import Receiver, counted
from tupletrace.processor.refusal import Refused, Unsupported
from tupletrace.processor.sql_endpoint import SqlEndpoint
from tupletrace.processor.tls import Tls
from tupletrace.processor.tokens import Access

_BACKLOG: Final = 2048
_READ_BYTES: Final = 64 * 2**10
_CHUNKED_BYTES: Final = 2 * 2**10
_HEADERS_S: Final = 5.0
_IDLE_S: Final = 60
_DRAIN_S: Final = 4


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where to listen, and whom to answer."""

    host: str
    port: int
    callers: Callers
    tls: Tls | None = None
    admin: Sequence[Route] = ()


class HttpServer:
    """A running HTTP server in a thread of its own; ``address`` is where it really listens."""

    def __init__(
        self, receiver: Receiver, queries: Queries, access: Access, settings: HttpSettings, ready: "Ready"
    ) -> None:
        """Listen and serve; ``queries`` answers SQL, ``ready`` says why no request is taken now.

        Raises:
            PortInUse: somebody else listens there, or the address is not this machine's.
        """
        listeners = listen.bound(settings.host, settings.port, "HTTP")
        for listener in listeners:
            # At once: who connects before the thread serves waits for it and is not refused.
            listener.listen(_BACKLOG)
        self.address = listen.written(listeners[0], settings.host)
        tls = settings.tls
        config = uvicorn.Config(
            _application(receiver, queries, access, settings, ready),
            http=_Protocol,
            ws="none",
            log_config=None,
            lifespan="off",
            server_header=False,
            access_log=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_DRAIN_S,
            ssl_context_factory=(lambda _config, _default: tls.context()) if tls else None,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=(listeners,), name="tupletrace-http", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Refuse new requests from now on."""
        self._server.end()

    def stop(self) -> None:
        """Refuse new requests, let those under way finish."""
        self.end()
        self._thread.join()


Ready = Callable[[], list[str]]


class _Server(uvicorn.Server):
    """Waits to be ended, and does not wake up ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Stop it, from another thread."""
        self.should_exit = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._ending.wait()


class _Protocol(H11Protocol, asyncio.BufferedProtocol):
    """Closes a connection that takes too long to say what it wants; dates the answers.

    Reads little at a time where a body comes in chunks: one of a byte costs as much as one of a megabyte, and
    others wait meanwhile.
    """

    _late: asyncio.TimerHandle | None = None
    _read: Final = memoryview(bytearray(_READ_BYTES))
    """Of all connections: what is in it is taken at once."""

    def get_buffer(self, sizehint: int) -> memoryview:
        asked: Any = self.cycle
        chunked = asked and asked.more_body and any(name == b"transfer-encoding" for name, _ in self.headers)
        return self._read[:_CHUNKED_BYTES] if chunked else self._read

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._read[:nbytes]))

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Let a client that has sent its whole export, and will send no more, have its answer.

        A query ends with its client: whoever has gone looks like that, and an export takes no time.
        """
        asked: Any = self.cycle
        answering = self.scheme == "http" and asked and not asked.more_body and not asked.response_complete
        answering = answering and asked.scope["path"] in guard.OTLP
        if answering:
            asked.keep_alive = False
        return bool(answering)

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, where nothing has been answered yet."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        if self.cycle:
            # It has nothing more to say.
            self.cycle.disconnected = True
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE:
            self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._late is None:
                self._await_headers()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._late = self.loop.call_later(_HEADERS_S, self.transport.close)

    def _disarm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _application(
    receiver: Receiver, queries: Queries, access: Access, settings: HttpSettings, ready: Ready
) -> Starlette:
    async def export(request: Request) -> Response:
        return await _export(receiver, request)

    async def evaluations(request: Request) -> Response:
        return await evaluate(receiver, request)

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readiness(_request: Request) -> Response:
        why = ready()
        return JSONResponse(
            {"status": "ready"} if not why else {"status": "not ready", "why": why}, 503 if why else 200
        )

    async def measured(_request: Request) -> Response:
        return Response(await run_in_threadpool(metrics.text), media_type=metrics.CONTENT_TYPE)

    application = Starlette(
        routes=[
            *(Route(path, export, methods=["POST"]) for path in guard.OTLP),
            Route(guard.EVALUATIONS, evaluations, methods=["POST"]),
            Route("/sql", SqlEndpoint(queries, receiver.admission), methods=["POST"]),
            Route("/healthz", health),
            Route("/readyz", readiness),
            Route("/metrics", measured),
            *settings.admin,
        ],
        middleware=[
            Middleware(body.Lingering),
            Middleware(guard.Doorkeeper, callers=settings.callers),
            # A preflight carries no token.
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.callers.origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Content-Encoding"],
            ),
            Middleware(guard.Gatekeeper, access=access),
        ],
        exception_handlers={404: _not_served, 405: _not_served, 500: _broken},
    )
    # A redirect would name a host that the client may not know.
    application.router.redirect_slashes = False
    return application


async def _not_served(request: Request, error: Any) -> Response:
    said = f"{request.method} {request.url.path}: {error.detail}"
    return guard.status(request.scope, error.status_code, code_pb2.UNIMPLEMENTED, said, error.headers or {})


async def _broken(request: Request, _error: Exception) -> Response:
    return guard.status(request.scope, 500, code_pb2.INTERNAL, "the processor failed; its log says why", {})


async def _export(receiver: Receiver, request: Request) -> Response:
    signal, kind = guard.OTLP[request.url.path], guard.media_type(request.headers)
    try:
        with counted(signal):
            if kind not in (guard.PROTOBUF, guard.JSON):
                raise Unsupported(f"send {guard.PROTOBUF} or {guard.JSON}")
            encoding = request.headers.get("content-encoding", "").strip().lower()
            response = await receiver.take(
                signal,
                lambda held: body.read(request, receiver.limits, held),
                body.unpacker(encoding, receiver.limits, signal if kind == guard.JSON else None),
                body.expected(request, receiver.limits),
            )
    except Refused as error:
        return guard.refusal(request.scope, error)
    if kind == guard.PROTOBUF:
        return Response(response.SerializeToString(), media_type=kind)
    return Response(json_format.MessageToJson(response, indent=None), media_type=kind)
