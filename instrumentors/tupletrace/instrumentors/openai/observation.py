"""The life of one stream, from the call's return to its end, whoever notices the end first."""

import sys
import weakref
from _thread import start_new_thread
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from tupletrace.instrumentors.firewall import guard

_HOOKS: Final = ("close", "aclose", "iter_bytes", "aiter_bytes")
_NO_FAILURE: Final = (StopIteration, StopAsyncIteration, GeneratorExit)
"""Exhausted, or left early by a program that had enough."""
_guarded: Final = guard("openai stream")


class Listener(Protocol):
    """What is told of a stream's first chunk and of its end."""

    def first_chunk(self, chunk: Any) -> None:
        """Note that the first chunk is here."""
        ...

    def end(self, answer: Any) -> None:
        """End without an error; idempotent."""
        ...

    def fail(self, error: BaseException, answer: Any) -> None:
        """End with an error; idempotent."""
        ...


class Gathered(Protocol):
    """What keeps a stream's chunks, or a body's bytes."""

    def add(self, chunk: Any) -> None:
        """Keep the next one."""
        ...

    def answer(self) -> Any:
        """Return what they say together."""
        ...


class Observation:
    """Ends a call once: on exhaustion, close, error or when nobody holds the stream any more."""

    def __init__(self, listener: Listener, gathered: Gathered, response: Any) -> None:
        self._listener: Listener | None = listener
        self._gathered: Gathered | None = gathered
        self._response = weakref.ref(response)
        self._started = False
        self._reading = False

    def read(self, read: Callable[[], Any]) -> Any:
        """Return what a read gives, and note it."""
        self._reading = True
        try:
            chunk = read()
        except BaseException as error:
            self._stopped(error)
            raise
        self._reading = False
        if not self._started:
            self._first(chunk)
        elif self._gathered is not None:
            try:
                self._gathered.add(chunk)
            except Exception:  # the guard tells; entering it costs as much as a chunk
                with _guarded:
                    raise
        return chunk

    async def read_async(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """Return what an asynchronous read gives, and note it."""
        self._reading = True
        try:
            chunk = await read()
        except BaseException as error:
            self._stopped(error)
            raise
        self._reading = False
        if not self._started:
            self._first(chunk)
        elif self._gathered is not None:
            try:
                self._gathered.add(chunk)
            except Exception:  # the guard tells; entering it costs as much as a chunk
                with _guarded:
                    raise
        return chunk

    def gather_with(self, gather: Callable[[Gathered], Gathered]) -> bool:
        """Gather what is to be read in another way; False within a read, or once something was read."""
        if self._reading or self._started or self._gathered is None:
            return False
        self._gathered = gather(self._gathered)
        return True

    def closed(self) -> None:
        """Note that the response is closed; within a read, that read's outcome says why."""
        if not self._reading:
            self.end()

    def end(self) -> None:
        """End as a success: whoever stops early has what was wanted."""
        self._finish(lambda listener, answer: listener.end(answer))

    def left(self, error: BaseException | None) -> None:
        """Note that the program leaves its ``with`` block, perhaps by an exception of its own."""
        if error is not None and not isinstance(error, _NO_FAILURE):
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End with the error that stopped the stream."""
        self._finish(lambda listener, answer: listener.fail(error, answer))

    def _first(self, chunk: Any) -> None:
        self._started = True
        with _guarded:
            if self._listener is not None and self._gathered is not None:
                self._gathered.add(chunk)
                self._listener.first_chunk(chunk)

    def _stopped(self, error: BaseException) -> None:
        self._reading = False
        if isinstance(error, _NO_FAILURE):
            self.end()
        else:
            self.fail(error)

    def _finish(self, tell: Callable[[Listener, Any], None]) -> None:
        listener, gathered = self._listener, self._gathered
        if listener is None or gathered is None:
            return
        # Dropped first: a finished stream that the program keeps must not keep its text, nor the span.
        self._listener = self._gathered = None
        answer = None
        with _guarded:
            answer = gathered.answer()
        with _guarded:
            tell(listener, answer)
        with _guarded:
            unhook(self._response())

    def __del__(self) -> None:
        if getattr(self, "_listener", None) is None:
            return
        try:
            if _within_telemetry():
                start_new_thread(self.end, ())
            else:
                self.end()
        except BaseException:  # noqa: BLE001, S110 - the interpreter is going down, and so is the exporter
            pass


def unhook(response: Any) -> None:
    """Take the shadows off one response's methods again."""
    if response is not None:
        for name in _HOOKS:
            vars(response).pop(name, None)


def _within_telemetry() -> bool:
    """Say whether the collector runs us inside the SDK, whose locks are not reentrant."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(("opentelemetry.sdk.", "opentelemetry.exporter.")):
            return True
        frame = frame.f_back
    return False
