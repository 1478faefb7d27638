"""OTLP over gRPC: the trace, metrics and logs services."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from tupletrace.processor import listen, wire
from tupletrace.processor.journal import JournalError
from tupletrace.processor.receive import MAX_REQUEST_BYTES, Receiver

_SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": wire.TRACES,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": wire.METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": wire.LOGS,
}
_WORKERS: Final = 32
_DURABLE_TIMEOUT_S: Final = 8.0
"""Below the 10 s after which the SDK's exporters give a request up."""
_RETRY: Final = RetryInfo(retry_delay=Duration(seconds=1)).SerializeToString()
_DRAIN_S: Final = 5.0


class GrpcServer:
    """A running OTLP/gRPC server; ``address`` is where it really listens (port 0 asks for a free one)."""

    def __init__(self, receiver: Receiver, host: str, port: int) -> None:
        """Listen and serve.

        Raises:
            PortInUse: somebody else listens there, or the address is not this machine's.
        """
        # Tried first by ourselves: gRPC says why only in its own log.
        listen.bound(host, port, "gRPC").close()
        self._receiver = receiver
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, "tupletrace-grpc"),
            options=[
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                # Otherwise a second processor would share the port and split the traffic unseen.
                ("grpc.so_reuseport", 0),
            ],
        )
        for service, signal in _SERVICES.items():
            self._server.add_generic_rpc_handlers((self._handler(service, signal),))
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            bound = 0
        if not bound:
            raise listen.PortInUse(
                f"cannot listen on {host}:{port} (gRPC): the port is in use or the address is not here"
            )
        self.address = f"{host}:{bound}"
        self._server.start()

    def stop(self) -> None:
        """Refuse new calls, let those under way finish."""
        self._server.stop(_DRAIN_S).wait()

    def _handler(self, service: str, signal: str) -> grpc.GenericRpcHandler:
        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            return self._export(signal, body, context)

        # No deserializer: gRPC would answer INTERNAL to bytes that are not protobuf.
        method = grpc.unary_unary_rpc_method_handler(export)
        return grpc.method_handlers_generic_handler(service, {"Export": method})

    def _export(self, signal: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            accepted = self._receiver.accept(signal, body)
            if accepted.durable is not None:
                accepted.durable.result(_DURABLE_TIMEOUT_S)
        except wire.MalformedRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except (JournalError, FutureTimeout) as error:
            _retry_later(context, str(error) or "the journal did not answer in time")
        return accepted.response


def _retry_later(context: Any, why: str) -> NoReturn:
    # Python's exporter looks for the delay here.
    context.set_trailing_metadata((("google.rpc.retryinfo-bin", _RETRY),))
    context.abort(grpc.StatusCode.UNAVAILABLE, why)
    raise AssertionError("abort returns")
