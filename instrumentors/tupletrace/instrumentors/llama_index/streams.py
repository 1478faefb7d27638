"""Results that arrive in chunks: read under the call's span, handed out in the reader's own context."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.util.genai.stream import AsyncStreamWrapper, SyncStreamWrapper

from tupletrace.instrumentors.current import attach_context, detach_context
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.calls import Scope


class Streamed(Protocol):
    """A call whose result arrives in chunks."""

    invocation: Any
    what: str

    def chunk(self, chunk: Any) -> None: ...
    def stop(self, result: Any) -> None: ...
    def fail(self, error: BaseException | str) -> None: ...


class _Chunks:
    """What both kinds of stream do; the span is current while a chunk is made, never between two."""

    _self_call: Streamed
    _self_take: Callable[[Any], None]

    def _process_chunk(self, chunk: Any) -> None:
        self._self_take(chunk)

    def _on_stream_end(self) -> None:
        self._self_call.stop(None)

    def _on_stream_error(self, error: BaseException) -> None:
        self._self_call.fail(error)


class _SyncChunks(_Chunks, SyncStreamWrapper[Any]):
    def __init__(self, stream: Any, call: Streamed) -> None:
        super().__init__(stream)
        self._self_call = call
        self._self_take = guard(f"{call.what} chunk")(call.chunk)
        self._self_read = self._self_iterator.__next__
        self._self_context: Context = call.invocation.context

    def __next__(self) -> Any:
        # The base's own way takes twice as long, for every chunk.
        token = attach_context(self._self_context)
        try:
            chunk = self._self_read()
            self._self_take(chunk)
        except StopIteration:
            self._finalize_success()
            raise
        except BaseException as error:
            self._finalize_failure(error)
            raise
        finally:
            detach_context(token)
        return chunk

    @contextmanager
    def _execution_context(self) -> Generator[None]:
        token = attach_context(self._self_context)
        try:
            yield
        finally:
            detach_context(token)


class _AsyncChunks(_Chunks, AsyncStreamWrapper[Any]):
    def __init__(self, stream: Any, call: Streamed) -> None:
        super().__init__(stream)
        self._self_call = call
        self._self_take = guard(f"{call.what} chunk")(call.chunk)

    def _execution_context(self) -> AbstractContextManager[None]:
        # A chunk that is awaited may be given up in another task.
        return Scope(self._self_call.invocation.context)


def streamed(stream: Any, call: Streamed) -> Any:
    """Return the stream as the user sees it, a generator if it was one; None if the result is no stream."""
    if isinstance(stream, Iterator):
        chunks = _SyncChunks(stream, call)
        return _generator(chunks) if type(stream) is GeneratorType else chunks
    if isinstance(stream, AsyncIterator):
        chunks = _AsyncChunks(stream, call)
        return _async_generator(chunks) if type(stream) is AsyncGeneratorType else chunks
    return None


# Of a generator that is never begun the argument is let go, which ends the span all the same.
def _generator(chunks: _SyncChunks) -> Generator[Any, Any, Any]:
    return (yield from chunks)


async def _async_generator(chunks: _AsyncChunks) -> AsyncGenerator[Any]:
    try:
        async for chunk in chunks:
            yield chunk
    except BaseException:
        await chunks.aclose()
        raise
