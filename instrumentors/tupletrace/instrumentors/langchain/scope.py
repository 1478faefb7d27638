"""Contexts without leaks: attached around each step of a call, never across a yield or an await."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar
from weakref import ref

from opentelemetry.context import Context, create_key, set_value

from tupletrace.instrumentors.current import attach_context, current_context, detach_context
from tupletrace.instrumentors.langchain.runs import RUN, Kind, Run

_SCOPE: Final = create_key("tupletrace.langchain.scope")
P = ParamSpec("P")
T = TypeVar("T")


class Scope:
    """One call into LangChain, whose run is known from the start or entered when its callback comes.

    What the call does to the current context stays its own and is there again at its next step.
    """

    __slots__ = ("__weakref__", "_context", "_entered", "conversation", "kind", "owner", "run")

    def __init__(
        self, kind: Kind, owner: object = None, run: Run | None = None, context: Context | None = None
    ) -> None:
        self.kind: Kind = kind
        self.owner, self.run = owner, run
        self.conversation: str | None = None
        self._context: Context | None = run.context if run is not None else context
        self._entered = run is not None

    def enter(self, run: Run) -> None:
        """Place the rest of this step, and the next ones, below ``run``; called from its start callback."""
        self.run = run
        attach_context(run.context)

    def step(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` in this scope's context."""
        before = self._context
        token = attach_context(set_value(_SCOPE, ref(self)) if before is None else before)
        try:
            return function(*args, **kwargs)
        finally:
            current = current_context()
            run = self.run
            self._context = current if self._entered or run is None else self._entering(run, current)
            detach_context(token)

    def _entering(self, run: Run, current: Context) -> Context:
        self._entered = True
        # An async manager may have called back in a task of its own, whose context is gone.
        return current if current.get(RUN) is run else run.context or current


def waiting(*kinds: Kind) -> Scope | None:
    """Return the innermost call in progress if it is one of these kinds whose run has not begun."""
    held = current_context().get(_SCOPE)
    scope = held() if isinstance(held, ref) else None
    return scope if isinstance(scope, Scope) and scope.kind in kinds and scope.run is None else None


def iterate(iterator: Iterator[T], scope: Scope) -> Generator[T]:
    """Yield what ``iterator`` yields, each step in the scope; stay lazy and close it when closed."""
    advance = following = iterator.__next__
    try:
        while True:
            try:
                item = scope.step(advance)
            except StopIteration:
                return
            advance = following
            try:
                yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - thrown on into what waits for it
                advance = _throwing(iterator, error)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            scope.step(close)


async def aiterate(iterator: AsyncIterator[T], scope: Scope) -> AsyncGenerator[T]:
    """Do for an asynchronous iterator what ``iterate`` does."""
    advance: Callable[[], Awaitable[T]] = partial(_first_of, iterator)
    try:
        while True:
            try:
                item = await InScope(advance(), scope)
            except StopAsyncIteration:
                return
            advance = iterator.__anext__
            try:
                yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - thrown on into what waits for it
                advance = _throwing(iterator, error)
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await InScope(close(), scope)


def _first_of(iterator: AsyncIterator[T]) -> Awaitable[T]:
    # Else the event loop, as it shuts down, would close this generator while ours is closing it.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return iterator.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _throwing(iterator: Any, error: BaseException) -> Callable[[], Any]:
    throw = getattr(iterator, "athrow", None) or iterator.throw
    return lambda: throw(error)


class InScope(Awaitable[T]):
    """An awaitable whose steps run in the scope, in the task that awaits it."""

    __slots__ = ("_awaitable", "_scope")

    def __init__(self, awaitable: Awaitable[T], scope: Scope) -> None:
        self._awaitable, self._scope = awaitable, scope

    def __await__(self) -> Generator[Any, Any, T]:
        """Delegate as ``yield from`` does, with the context put right around every step."""
        steps: Any = self._awaitable.__await__()
        advance: Callable[[], Any] = steps.__next__
        leaving: GeneratorExit | None = None
        while True:
            try:
                waited_for = self._scope.step(advance)
            except (GeneratorExit, StopAsyncIteration, StopIteration) as done:
                if leaving is not None:
                    raise leaving from None
                if isinstance(done, StopIteration):
                    return done.value
                raise
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001 - thrown on into what waits for it
                # Not `close`: until Python 3.13 that leaves an asynchronous generator "already running".
                # And what is left may still have something to wait for.
                leaving = error if isinstance(error, GeneratorExit) else leaving
                advance = _throwing(steps, error)
            else:
                advance = _sending(steps, sent)


def _sending(steps: Any, value: Any) -> Callable[[], Any]:
    return steps.__next__ if value is None else lambda: steps.send(value)
