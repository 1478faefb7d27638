"""OTLP over gRPC: the trace, metrics and logs services, and the standard health service."""

import asyncio
import random
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tupletrace.processor import listen, tokens, wire
from tupletrace.processor.admission import Held
from tupletrace.processor.limits import Limits
from tupletrace.processor.receive import Receiver, counted
from tupletrace.processor.refusal import Overloaded, Refused, TooLarge, TooSlow, Unavailable
from tupletrace.processor.tls import Tls
from tupletrace.processor.tokens import Access

SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": wire.TRACES,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": wire.METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": wire.LOGS,
}
_DRAIN_S: Final = 4.0
_BODY_S: Final = 60.0
_SMALL_BYTES: Final = 4 * 2**20
_LARGE_AT_ONCE: Final = 2
_TURN_S: Final = 5.0
_PATIENCE_S: Final = 0.2
_MOST_PEERS: Final = 10_000
_RETRY_S: Final = (1.0, 3.0)
"""The SDK's exporters give a request up after 10 s. Clients that come back do so one by one."""
_OPTIONS: Final = [
    # Otherwise a second processor would share the port and split the traffic unseen.
    ("grpc.so_reuseport", 0),
    # The default calls a client that pings every 30 s too eager, and closes its connection.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Half-open connections are found and closed.
    ("grpc.keepalive_time_ms", 120_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Otherwise it takes megabytes of each call before anybody asks for them; what is read comes as fast.
    ("grpc.http2.bdp_probe", 0),
]
_EOF: Final[Any] = grpc.aio.EOF  # pyright: ignore[reportAttributeAccessIssue]
_InternalError: Final[type[Exception]] = grpc.aio.InternalError  # pyright: ignore[reportAttributeAccessIssue]
_HealthServicer: Any = health.aio.HealthServicer  # pyright: ignore[reportAttributeAccessIssue]
Ready = Callable[[], list[str]]


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """Where to listen."""

    host: str
    port: int
    tls: Tls | None = None


class GrpcServer:
    """A running OTLP/gRPC server in a thread of its own; ``address`` is where it really listens."""

    def __init__(self, receiver: Receiver, access: Access, settings: GrpcSettings, ready: Ready) -> None:
        """Listen and serve; ``ready`` says why no request is taken now.

        Raises:
            PortInUse: somebody else listens there, or the address is not this machine's.
        """
        self._receiver, self._access, self._settings, self._ready = receiver, access, settings, ready
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._reading = _Reading(receiver.limits)
        started: Future[str] = Future()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete,
            args=(self._serve(started),),
            name="tupletrace-grpc",
            daemon=True,
        )
        self._thread.start()
        self.address = started.result()

    def stop(self) -> None:
        """Refuse new calls, let those under way finish."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self, started: "Future[str]") -> None:
        try:
            server = grpc.aio.server(
                options=[*_OPTIONS, ("grpc.max_receive_message_length", self._receiver.limits.request_bytes)]
            )
            for service, signal in SERVICES.items():
                server.add_generic_rpc_handlers((self._handler(service, signal),))
            servicer = _Health(self._ready)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
            address = self._listen(server)
            await server.start()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            started.set_exception(error)
            return
        started.set_result(address)
        await self._stopping.wait()
        await servicer.enter_graceful_shutdown()
        await server.stop(_DRAIN_S)

    def _listen(self, server: Any) -> str:
        host, tls = self._settings.host, self._settings.tls
        # Tried first by ourselves: gRPC says why only in its own log.
        tried = listen.bound(host, self._settings.port, "gRPC")
        address = listen.written(tried[0], host)
        names = [one.getsockname()[:2] for one in tried]
        for one in tried:
            one.close()
        credentials = tls.credentials() if tls else None
        for name, port in names:
            target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
            try:
                if credentials is None:
                    server.add_insecure_port(target)
                else:
                    server.add_secure_port(target, credentials)
            except RuntimeError:
                raise listen.PortInUse(
                    f"cannot listen on {target} (gRPC): the port is in use or the address is not here"
                ) from None
        return address

    def _handler(self, service: str, signal: str) -> grpc.GenericRpcHandler:
        # Unary to the client. As a stream to us: its one message is read when we ask for it, not before.
        # No deserializer: gRPC would answer INTERNAL to bytes that are not protobuf.
        method = grpc.stream_unary_rpc_method_handler(self._export(signal))
        return grpc.method_handlers_generic_handler(service, {"Export": method})

    def _export(self, signal: str) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def export(_requests: Any, context: Any) -> bytes:
            async def read(held: Held) -> bytes:
                return await self._reading.message(context, held)

            try:
                with counted(signal):
                    self._check(context)
                    return (await self._receiver.take(signal, read)).SerializeToString()
            except Refused as error:
                try:
                    await _abort(context, error)
                except _InternalError:
                    # It has ended meanwhile: by the client, or by gRPC for its size.
                    raise asyncio.CancelledError from None
                raise AssertionError("abort raises") from None

        return export

    def _check(self, context: Any) -> None:
        said = dict(context.invocation_metadata() or ())
        self._access.check(said.get("authorization"), tokens.INGEST)


class _Reading:
    """Reads messages; gRPC takes each into memory as a whole, and tells nobody before how large it is.

    So the messages of a connection are expected to be like its last one; a large one, or its first, waits for
    its turn.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.request_bytes
        self._sizes = OrderedDict[str, int]()
        self._turns = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def message(self, context: Any, held: Held) -> bytes:
        """Return the one message of a call.

        Raises:
            TooLarge, TooSlow, Overloaded: it is not read to its end.
        """
        peer = context.peer()
        with ExitStack() as turn:
            if self._sizes.get(peer, self._most) > _SMALL_BYTES:
                await self._turn()
                turn.callback(self._turns.release)
                # What comes slowly is not much yet, and others may be quick.
                letting_go = asyncio.get_running_loop().call_later(_PATIENCE_S, turn.close)
                turn.callback(letting_go.cancel)
            try:
                async with asyncio.timeout(_BODY_S):
                    body = await context.read()
            except TimeoutError:
                raise TooSlow(f"the request did not come within {_BODY_S:g} s") from None
            if body is _EOF:
                # gRPC has refused it already.
                raise TooLarge(f"the call had no request, or one over {self._most} bytes, uncompressed")
            self._sizes[peer] = len(body)
            self._sizes.move_to_end(peer)
            if len(self._sizes) > _MOST_PEERS:
                self._sizes.popitem(last=False)
            held.add(len(body))
            return body

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("too many bytes are under way; send it again later") from None


async def _abort(context: Any, error: Refused) -> None:
    (code,) = [code for code in grpc.StatusCode if code.value[0] == error.grpc]
    await context.abort(code, str(error), _retry(error) if isinstance(error, Unavailable) else ())


def _retry(error: Unavailable) -> tuple[tuple[str, bytes], ...]:
    delay = Duration()
    delay.FromMilliseconds(int(1000 * random.uniform(*_RETRY_S)))  # noqa: S311
    retry = RetryInfo(retry_delay=delay)
    details = AnyMessage()
    details.Pack(retry)
    said = Status(code=error.grpc, message=str(error), details=[details])
    # Python's exporter looks for the delay in the first, the others in the second.
    return (
        ("google.rpc.retryinfo-bin", retry.SerializeToString()),
        ("grpc-status-details-bin", said.SerializeToString()),
    )


class _Health(_HealthServicer):
    """Answers for the whole server, under the name "" and those of its services."""

    def __init__(self, ready: Ready) -> None:
        super().__init__()
        self._ready = ready

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        state = health_pb2.HealthCheckResponse
        now = state.NOT_SERVING if self._ready() else state.SERVING
        for service in ("", *SERVICES):
            await self.set(service, now)
        return await super().Check(request, context)
