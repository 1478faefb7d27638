"""Streams that stay what they were (``openai.Stream``, lazy, closable) and are watched as they are read."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import wrapt

from tupletrace.instrumentors.openai.observation import Observation

if TYPE_CHECKING:

    class _Proxy:
        __wrapped__: Any

        def __init__(self, wrapped: Any) -> None: ...
else:
    _Proxy = wrapt.ObjectProxy


def watch_stream(stream: Any, observation: Observation) -> Any:
    """Return the proxy of a sync stream; the helpers close its response, so that is watched too."""
    stream.response.close = closing(ref(stream.response), ref(observation))
    return ObservedStream(stream, observation)


def watch_async_stream(stream: Any, observation: Observation) -> Any:
    """Return the proxy of an async stream."""
    stream.response.aclose = async_closing(ref(stream.response), ref(observation))
    return ObservedAsyncStream(stream, observation)


def closing(response: ReferenceType[Any], watch: ReferenceType[Observation]) -> Callable[[], None]:
    """Make the ``close`` of one response, which ends the observation too.

    It refers to both weakly: neither may outlive its last holder.
    """

    def close() -> None:
        target = response()
        try:
            if target is not None:
                type(target).close(target)
        finally:
            _closed(watch)

    return close


def async_closing(
    response: ReferenceType[Any], watch: ReferenceType[Observation]
) -> Callable[[], Awaitable[None]]:
    """Make the ``aclose`` of one response, which ends the observation too."""

    async def aclose() -> None:
        target = response()
        try:
            if target is not None:
                await type(target).aclose(target)
        finally:
            _closed(watch)

    return aclose


def _closed(watch: ReferenceType[Observation]) -> None:
    observation = watch()
    if observation is not None:
        observation.closed()


class _Observed(_Proxy):
    _self_observation: Observation

    def __init__(self, stream: Any, observation: Observation) -> None:
        super().__init__(stream)
        self._self_observation = observation

    # wrapt's proxies refuse to be copied; the client's streams do not.
    def __copy__(self) -> Any:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


class ObservedStream(_Observed):
    """An ``openai.Stream`` whose reads and end are noted."""

    def __next__(self) -> Any:
        return self._self_observation.read(self.__wrapped__.__next__)

    def __iter__(self) -> Iterator[Any]:
        # A generator, as the client's own: closing it leaves the stream open.
        read, upon = self._self_observation.read, self.__wrapped__.__next__
        while True:
            try:
                chunk = read(upon)
            except StopIteration:
                return
            yield chunk

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        self._self_observation.left(error)
        try:
            return self.__wrapped__.__exit__(kind, error, traceback)
        finally:
            self._self_observation.end()

    def close(self) -> None:
        try:
            self.__wrapped__.close()
        finally:
            self._self_observation.end()


class ObservedAsyncStream(_Observed):
    """An ``openai.AsyncStream`` whose reads and end are noted."""

    async def __anext__(self) -> Any:
        return await self._self_observation.read_async(self.__wrapped__.__anext__)

    async def __aiter__(self) -> AsyncIterator[Any]:
        read, upon = self._self_observation.read_async, self.__wrapped__.__anext__
        while True:
            try:
                chunk = await read(upon)
            except StopAsyncIteration:
                return
            yield chunk

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        self._self_observation.left(error)
        try:
            return await self.__wrapped__.__aexit__(kind, error, traceback)
        finally:
            self._self_observation.end()

    async def close(self) -> None:
        try:
            await self.__wrapped__.close()
        finally:
            self._self_observation.end()

    if TYPE_CHECKING:

        async def aclose(self) -> None: ...
