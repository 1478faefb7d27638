"""The body of an HTTP request: read within limits of size and time, then inflated and made protobuf."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Final

import pyarrow as pa
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tupletrace.processor import otlp_json
from tupletrace.processor.admission import Held
from tupletrace.processor.limits import Limits
from tupletrace.processor.refusal import Cancelled, MalformedRequest, TooLarge, TooSlow, Unsupported

_WHOLE_S: Final = 60.0
_PIECE_S: Final = 10.0
_LINGER_BYTES: Final = 64 * 2**20
_MAGIC: Final = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_LARGE_JSON: Final = 8 * 2**20
_one_large: Final = threading.Lock()
"""As Python's objects it takes up to ten times its size: one at a time."""
_STEP: Final = 2**20


class Lingering:
    """ASGI middleware: after an answer the rest of a body is read, and thrown away, for a while.

    Where a connection is closed with bytes that nobody has read, the client may never see the answer: it
    would take "come back later", or "too large", for a broken connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Let ``app`` answer."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on both ways."""
        ended = False

        async def receiving() -> Message:
            nonlocal ended
            message = await receive()
            ended = not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and not ended:
                await send({**message, "more_body": True})
                left = _LINGER_BYTES
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PIECE_S):
                        while not ended and left > 0:
                            left -= len((await receiving()).get("body", b""))
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, receiving, sending)


def expected(request: Request, limits: Limits) -> int:
    """Return how many bytes the request says it has, 0 if it does not say.

    Raises:
        TooLarge: more than it may have.
    """
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said) > limits.request_bytes:
        raise _too_large(limits)
    return int(said)


async def read(request: Request, limits: Limits, held: Held) -> bytes:
    """Read the body as it is sent.

    Raises:
        TooLarge, TooSlow, Overloaded, Cancelled: it is not read to its end.
    """
    parts: list[bytes] = []
    size = 0
    arriving = request.stream()
    due = asyncio.get_running_loop().time() + _WHOLE_S
    try:
        while True:
            async with asyncio.timeout_at(min(due, asyncio.get_running_loop().time() + _PIECE_S)):
                part = await anext(arriving, None)
            if part is None:
                return b"".join(parts)
            size += len(part)
            if size > limits.request_bytes:
                raise _too_large(limits)
            held.add(len(part))
            parts.append(part)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {_WHOLE_S:g} s, or nothing for {_PIECE_S:g} s") from None
    except ClientDisconnect:
        raise Cancelled("the client went away") from None


def unpacker(
    encoding: str, limits: Limits, as_json: str | None = None
) -> Callable[[bytes, Held], bytes] | None:
    """Return what makes protobuf of a body, None where it is that; ``as_json`` is the signal of a JSON body.

    Raises:
        Unsupported: nobody knows how.
    """
    # HTTP's older name of it.
    encoding = encoding.removeprefix("x-")
    if encoding not in ("", "identity", *_MAGIC):
        raise Unsupported(f"content-encoding {encoding} is not understood; send gzip, zstd or none")
    if encoding not in _MAGIC and as_json is None:
        return None

    def unpack(body: bytes, held: Held) -> bytes:
        if encoding in _MAGIC:
            body = inflate(body, encoding, limits, held)
        if as_json is None:
            return body
        with _one_large if len(body) > _LARGE_JSON else nullcontext():
            return otlp_json.to_protobuf(as_json, body, limits.objects)

    return unpack


def inflate(body: bytes, encoding: str, limits: Limits, held: Held) -> bytes:
    """Return what a gzip (of any number of members) or zstd body holds.

    Raises:
        MalformedRequest: it is none, or ends too early.
        TooLarge, Overloaded: it holds more than is taken.
    """
    if not body:
        return body
    if not body.startswith(_MAGIC[encoding]):
        raise MalformedRequest(f"the body is not {encoding}")
    parts: list[bytes] = []
    size = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), encoding) as inflating:
            while part := inflating.read(_STEP):
                size += len(part)
                if size > limits.request_bytes:
                    raise _too_large(limits)
                held.add(len(part))
                parts.append(part)
    except OSError as error:
        raise MalformedRequest(f"the body is not {encoding}: {error}") from None
    return b"".join(parts)


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"a request may have {limits.request_bytes} bytes, uncompressed")
