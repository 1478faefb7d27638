"""Raw responses: handed out as they are, while what is read of their body is noted."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any, ClassVar, Final
from weakref import ReferenceType, ref

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.openai.observation import Gathered, Observation
from tupletrace.instrumentors.openai.stream import async_closing, closing

_LARGEST: Final = 32 * 2**20
"""Bytes kept of one body; facts that come later are lost."""
_reading_on: Final = guard("openai body")


class Json(SimpleNamespace):
    """A JSON object, read like a model of the client's."""

    __pydantic_extra__: ClassVar[bool] = True

    def to_dict(self) -> dict[str, Any]:
        """Return its fields: content is told as plain values."""
        return vars(self)


class Body:
    """What the program has read of a response, be it JSON or server-sent events."""

    def __init__(self, chunks: Gathered | None, binary: bool, whole: bytes | None = None) -> None:
        self._chunks = chunks
        self._read: list[bytes] = []
        self._room = 0 if binary and chunks is None else _LARGEST
        # What has all arrived is handed out without being read from the wire.
        self._whole = whole if whole is not None and len(whole) <= self._room else b""

    def add(self, chunk: Any) -> None:
        """Keep the next bytes, already decompressed."""
        if not isinstance(chunk, bytes):  # an event that these bytes spelled
            return
        self._room -= len(chunk)
        if self._room >= 0:
            self._read.append(chunk)

    def answer(self) -> Any:
        """Return the answer that the bytes spell; None where they spell none."""
        body = b"".join(self._read) or self._whole
        if self._chunks is None:
            return parse(body)
        data: list[bytes] = []
        for line in body.splitlines():
            if line.startswith(b"data:"):
                data.append(line[5:])
            elif not line and data:
                if data[0].lstrip().startswith(b"[DONE]"):  # what comes after that, the client drops
                    break
                if (event := parse(b"\n".join(data))) is not None:
                    self._chunks.add(event)
                data = []
        return self._chunks.answer()


def parse(body: bytes) -> Any:
    """Return the JSON of a body or an event; None for what is none, such as ``[DONE]``."""
    try:
        value = json.loads(body, object_hook=_json)
    except ValueError:
        return None
    return value if isinstance(value, Json) else None


def loaded(response: Any) -> bytes | None:
    """Return the body if the client has read it whole, without reading it for the program."""
    return getattr(response, "_content", None)


def watch_body(response: Any, observation: Observation) -> None:
    """Note what is read of a response, and its end; the response holds the observation, not the reverse."""
    target = ref(response)
    response.iter_bytes = _reading(target, lambda: observation)
    response.aiter_bytes = _async_reading(target, lambda: observation)
    response.close = closing(target, ref(observation))
    response.aclose = async_closing(target, ref(observation))


def watch_past(response: Any, observation: Observation) -> None:
    """Note the bytes of a stream's response that a program reads past the stream: line by line, say."""
    target, watch = ref(response), ref(observation)

    def past() -> Observation | None:
        watched = watch()
        gathers_bytes = watched is not None and watched.gather_with(lambda chunks: Body(chunks, binary=False))
        return watched if gathers_bytes else None

    response.iter_bytes = _reading(target, past)
    response.aiter_bytes = _async_reading(target, past)


def _json(pairs: dict[str, Any]) -> Json:
    return Json(**pairs)


def _reading(
    response: ReferenceType[Any], watch: Callable[[], Observation | None]
) -> Callable[..., Iterator[bytes]]:
    def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        target: Any = response()
        read = type(target).iter_bytes(target, *args, **kwargs)
        with _reading_on:
            if (observation := watch()) is not None:
                return _noted(read, observation)
        return read

    return iter_bytes


def _async_reading(
    response: ReferenceType[Any], watch: Callable[[], Observation | None]
) -> Callable[..., AsyncIterator[bytes]]:
    def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        target: Any = response()
        read = type(target).aiter_bytes(target, *args, **kwargs)
        with _reading_on:
            if (observation := watch()) is not None:
                return _async_noted(read, observation)
        return read

    return aiter_bytes


def _noted(inner: Any, observation: Observation) -> Iterator[bytes]:
    with contextlib.closing(inner):
        while True:
            try:
                data = observation.read(inner.__next__)
            except StopIteration:
                return
            yield data


async def _async_noted(inner: Any, observation: Observation) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(inner):
        while True:
            try:
                data = await observation.read_async(inner.__anext__)
            except StopAsyncIteration:
                return
            yield data
