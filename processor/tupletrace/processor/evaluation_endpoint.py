"""``POST /v1/evaluations``: evaluations as JSON, acknowledged once they are in the journal."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tupletrace.processor import body, evaluations, guard, wire
from tupletrace.processor.admission import Held
from tupletrace.processor.receive import Receiver, counted
from tupletrace.processor.refusal import Refused, Unsupported


async def evaluate(receiver: Receiver, request: Request) -> Response:
    """Take one request; everything in it, or nothing."""
    count = 0

    def unpack(raw: bytes, held: Held) -> bytes:
        nonlocal count
        unpacked, count = evaluations.to_protobuf(inflate(raw, held) if inflate else raw)
        return unpacked

    try:
        with counted(wire.LOGS):
            if guard.media_type(request.headers) != guard.JSON:
                raise Unsupported(f"send {guard.JSON}")
            encoding = request.headers.get("content-encoding", "").strip().lower()
            inflate = body.unpacker(encoding, receiver.limits)
            await receiver.take(
                wire.LOGS,
                lambda held: body.read(request, receiver.limits, held),
                unpack,
                body.expected(request, receiver.limits),
            )
    except Refused as error:
        return guard.refusal(request.scope, error)
    return JSONResponse({"accepted": count})
