"""What every HTTP request passes before it is routed: its host, its origin, its token."""

import ipaddress
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tupletrace.processor import metrics, tokens, wire
from tupletrace.processor.refusal import (
    Forbidden,
    Refused,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
)
from tupletrace.processor.tokens import Access

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
OPEN: Final = {"/healthz", "/readyz"}
"""Asked by what starts and watches processes, which knows no tokens; they tell nothing else."""
OTLP: Final = {f"/v1/{signal}": signal for signal in wire.REQUESTS}
EVALUATIONS: Final = "/v1/evaluations"
ADMIN: Final = "/admin/"
_RETRY_S: Final = 3
"""At most: the SDK's exporters give a request up after 10 s. Clients that come back do so one by one."""
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class Callers:
    """Names under which this server may be asked for, and pages that may ask it from a browser."""

    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    any_address: bool = False
    """Whether a host may be any IP address: nobody can make a name of their own out of one."""


class Doorkeeper:
    """ASGI middleware: refuses hosts and origins that are not allowed (DNS rebinding, pages elsewhere)."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        """Let only ``callers`` pass on to ``app``."""
        self._app, self._callers = app, callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        headers = Headers(scope=scope)
        try:
            self._check(headers, scope["scheme"])
        except Forbidden as refused:
            await _turned_away(scope, refused)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, headers: Headers, scheme: str) -> None:
        hosts = headers.getlist("host")
        host = _host(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._allowed(host):
            raise Forbidden(f"host {', '.join(hosts)} is not served here; --allow-host adds a name")
        for origin in headers.getlist("origin"):
            if origin not in self._callers.origins and origin != f"{scheme}://{hosts[0]}":
                raise Forbidden(f"origin {origin} is not allowed; --allow-origin adds one")

    def _allowed(self, host: str) -> bool:
        if host in self._callers.hosts:
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return self._callers.any_address


class Gatekeeper:
    """ASGI middleware: asks for the token that the path needs, before a byte of the body is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Let pass on to ``app`` whom ``access`` allows."""
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401 or 403."""
        headers, path = Headers(scope=scope), scope["path"]
        if path not in OPEN:
            try:
                self._access.check(headers.get("authorization"), _needed(path))
            except Refused as refused:
                await _turned_away(scope, refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _needed(path: str) -> str:
    if path in {*OTLP, EVALUATIONS}:
        return tokens.INGEST
    return tokens.ADMIN if path.startswith(ADMIN) else tokens.READ


def _turned_away(scope: Scope, error: Refused) -> Response:
    metrics.REQUESTS.labels(OTLP.get(scope["path"], "other"), error.reason).inc()
    return refusal(scope, error)


def media_type(headers: Headers) -> str:
    """Return the content type of a request without its parameters, in lower case."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def refusal(scope: Scope, error: Refused) -> Response:
    """Answer a request that is refused, in its own encoding."""
    match error:
        case Unauthenticated():
            extra = {"WWW-Authenticate": "Bearer"}
        case Unavailable():
            extra = {"Retry-After": str(random.randint(1, _RETRY_S))}  # noqa: S311
        case TooLarge() | TooSlow():
            # Nobody reads the rest.
            extra = {"Connection": "close"}
        case _:
            extra = {}
    return status(scope, error.http, error.grpc, str(error), extra)


def status(scope: Scope, http: int, grpc: int, message: str, extra: Mapping[str, str]) -> Response:
    """Return a ``google.rpc.Status`` in the encoding of an OTLP request; elsewhere ``{"error": ...}``."""
    kind = media_type(Headers(scope=scope))
    if scope["path"] not in OTLP and kind != PROTOBUF:
        return JSONResponse({"error": message}, http, extra)
    said = Status(code=grpc, message=message[:1000])
    if http == _BAD_REQUEST:
        said.details.add().Pack(BadRequest(field_violations=[{"description": said.message}]))
    if kind == JSON:
        return JSONResponse(json_format.MessageToDict(said), http, extra)
    return Response(said.SerializeToString(), http, extra, PROTOBUF)


def _host(header: str) -> str | None:
    try:
        found = urlsplit(f"//{header}")
        _ = found.port
    except ValueError:
        return None
    host = (found.hostname or "").lower()
    if not host or found.username is not None or found.path or found.query:
        return None
    return f"[{host}]" if ":" in host else host
