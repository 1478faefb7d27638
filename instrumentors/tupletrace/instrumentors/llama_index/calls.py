"""One call of the user's as one span: current while the call runs, ended once, never in its way."""

import contextlib
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

from opentelemetry.context import Context, attach, detach
from opentelemetry.util.genai._conversation_context import get_ambient_conversation_id
from opentelemetry.util.genai.invocation import EmbeddingInvocation, InferenceInvocation
from opentelemetry.util.genai.types import Error
from opentelemetry.util.genai.utils import fq_exception_type

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.sources import pass_on
from tupletrace.semconv import names

_entered: Final[ContextVar[None]] = ContextVar("tupletrace.llama_index.entered")


class Invocation(Protocol):
    """What a util-genai invocation and a step span have in common."""

    attributes: dict[str, Any]
    conversation_id: str | None

    @property
    def context(self) -> Context: ...
    @property
    def should_capture_content(self) -> bool: ...
    def stop(self) -> None: ...
    def fail(self, error: Error, /) -> None: ...


InvocationT = TypeVar("InvocationT", bound=Invocation)


class Scope:
    """A context made current, until ``leave`` (once) or the end of the block."""

    __slots__ = ("_marker", "_token")

    def __init__(self, context: Context) -> None:
        self._marker = _entered.set(None)
        self._token = attach(context)

    def leave(self) -> None:
        """Restore what was current, unless this runs in another task, whose context is not ours."""
        try:
            _entered.reset(self._marker)
        except ValueError:
            return
        detach(self._token)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *raised: object) -> None:
        self.leave()


_ASKED: Final = (InferenceInvocation, EmbeddingInvocation)
"""Of a server, which may refuse."""


class Call(Generic[InvocationT]):
    """A running invocation; subclasses read the result, and may hand out a stream in its place."""

    what: str = "llama_index call"
    gathers: bool = False
    """Whether what is found in it is for those who called it."""

    def __init__(self, invocation: InvocationT, context: Context | None = None) -> None:
        self.invocation = invocation
        declared = declared_attributes()
        around = get_ambient_conversation_id(invocation.context)
        conversation = invocation.conversation_id or declared.get(names.CONVERSATION_ID) or around
        if conversation:
            invocation.conversation_id = declared[names.CONVERSATION_ID] = conversation
        invocation.attributes.update(declared)
        self._scope: Scope | None = Scope(context if context is not None else invocation.context)

    @property
    def text_on_span(self) -> bool:
        """Whether content may go where util-genai does not put it: not if it is for events alone."""
        return getattr(self.invocation, "_should_capture_content_on_span", False)

    def read(self, result: Any) -> None:
        """Take from the result what the span says about it."""

    def returned(self, result: Any) -> Any:
        """End the span and give the result back, the very object."""
        self.leave()
        self.stop(result)
        return result

    def stop(self, result: Any) -> None:
        """End the span after reading the result."""
        with guard(f"{self.what} result"):
            self.read(result)
        with guard(f"{self.what} end"):
            if self.gathers:
                pass_on(self.invocation.context)
            self.invocation.stop()

    def fail(self, error: BaseException | str) -> None:
        """End the span as failed, with the error's type, and its text where content may be captured."""
        self.leave()
        self.failed(error)

    def failed(self, error: BaseException | str) -> None:
        """End the span as failed, from wherever that is noticed."""
        with guard(f"{self.what} refusal"):
            status = getattr(error, "status_code", None)
            if isinstance(status, int) and isinstance(self.invocation, _ASKED):
                self.invocation.attributes[names.HTTP_STATUS_CODE] = status
        with guard(f"{self.what} failure"):
            self.invocation.fail(self._described(error))

    def _described(self, error: BaseException | str) -> Error:
        if isinstance(error, str):
            return Error(message=None, type=error)
        message = None
        if self.text_on_span:
            with contextlib.suppress(Exception):
                message = str(error)
        kind = getattr(error, "_gen_ai_error_type", None) or fq_exception_type(error)
        return Error(message=message, type=kind)

    def leave(self) -> None:
        """Give the caller back the context it had."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.leave()


Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], Call[Any] | None]


def around(what: str, begin: Begin) -> Wrapper:
    """Return a wrapper that opens a call before the wrapped function, sync or async, and ends it after.

    ``begin`` returns None where a call needs no span of its own.
    """

    @guard(what)
    def opened(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[Any] | None:
        return begin(instance, args, kwargs)

    async def asynchronous(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = opened(instance, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        return call.returned(result)

    def either(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if inspect.iscoroutinefunction(wrapped):
            return asynchronous(wrapped, instance, args, kwargs)
        call = opened(instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        return call.returned(result)

    return either
