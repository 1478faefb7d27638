"""The wrapped calls of LangChain and LangGraph: they put the current context where the callbacks cannot."""

import contextlib
import copy
import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from opentelemetry.context import set_value

from tupletrace.instrumentors.current import attach_context, current_context
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import caller_name
from tupletrace.instrumentors.langchain.recorder import Recorder
from tupletrace.instrumentors.langchain.runs import BEGUN, CALLER, RUN, Kind, Run
from tupletrace.instrumentors.langchain.scope import InScope, Scope, aiterate, iterate

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
_CONVERSATION: Final = ("thread_id", "session_id")
"""What LangGraph and ``RunnableWithMessageHistory`` call a conversation."""


class Calls:
    """Wrappers in wrapt's form; none of them changes what a call takes, returns or raises."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def config_context(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Place the user's code of a run below its span: LangChain runs it in the copy set here."""
        result = wrapped(*args, **kwargs)
        self._enter(args[0] if args else kwargs["config"])
        return result

    def generate(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Place a model call below its span."""
        run = self._model_run(args, kwargs)
        if run is None:
            return wrapped(*args, **kwargs)
        try:
            return Scope("model", run=run).step(wrapped, *args, **kwargs)
        except BaseException as error:
            with guard("langchain batch"):
                self._recorder.fail_batch(run, error)
            raise

    def agenerate(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Place an asynchronous model call below its span, and end that if it is cancelled."""
        run = self._model_run(args, kwargs)
        if run is None:
            return wrapped(*args, **kwargs)
        return self._await_ending(wrapped(*args, **kwargs), Scope("model", run=run))

    async def amodels(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """End the calls of whose end a cancellation keeps LangChain from telling, be they answered or not."""
        begun: list[Run] = []
        token = BEGUN.set(begun)
        try:
            return await wrapped(*args, **kwargs)
        except BaseException as error:
            for run in begun:
                self._abandon(run, error)
            raise
        finally:
            # What is left to the garbage collector ends in another context.
            with contextlib.suppress(ValueError):
                BEGUN.reset(token)

    @staticmethod
    def model(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Keep the conversation of a model called by itself, of which LangChain tells handlers nothing."""
        conversation = _conversation(args, kwargs)
        if conversation is None:
            return wrapped(*args, **kwargs)
        scope = Scope("model")
        scope.conversation = conversation
        return scope.step(wrapped, *args, **kwargs)

    @staticmethod
    def amodel(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Do for an asynchronous call what ``model`` does."""
        conversation, awaitable = _conversation(args, kwargs), wrapped(*args, **kwargs)
        if conversation is not None:
            scope = Scope("model")
            scope.conversation = conversation
            awaitable = _awaited(InScope(awaitable, scope))
        around = _remembering("chain")
        return awaitable if around is None else _awaited(InScope(awaitable, around))

    @staticmethod
    def executor(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Tell the start callback that it is an agent which begins."""
        return Scope("executor", owner=instance).step(wrapped, *args, **kwargs)

    @staticmethod
    def aexecutor(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Do for an asynchronous call what ``executor`` does."""
        return _awaited(InScope(wrapped(*args, **kwargs), Scope("executor", owner=instance)))

    def tool(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """End the span of a tool that raised what LangChain does not report."""
        scope = Scope("tool", owner=kwargs.get("tool_call_id"))
        try:
            return scope.step(wrapped, *args, **kwargs)
        except BaseException as error:
            self._close(scope.run, error)
            raise

    def atool(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Do for an asynchronous tool what ``tool`` does."""
        scope = Scope("tool", owner=kwargs.get("tool_call_id"))
        return self._await_ending(wrapped(*args, **kwargs), scope)

    @staticmethod
    def tell(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Note that a tool tells of its error what it returns for it."""
        with guard("langchain tool error"):
            run = current_context().get(RUN)
            if isinstance(run, Run) and run.kind == "tool":
                run.told = True
        return wrapped(*args, **kwargs)

    def stream(self, kind: Kind) -> Call:
        """Return a wrapper of generator functions whose first step begins a run of that kind."""
        return partial(self._stream, iterate, kind)

    def astream(self, kind: Kind) -> Call:
        """Return a wrapper of asynchronous generator functions."""
        return partial(self._stream, aiterate, kind)

    def llm_start(self, handler: Any) -> Call:
        """Return a wrapper of ``AsyncCallbackManager.on_llm_start``, which forgets some of the handlers.

        Beside an inline handler, which ours is, it does not call those that are not inline.
        """
        return partial(self._llm_start, handler)

    @staticmethod
    def _stream(drive: Call, kind: Kind, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        scope = Scope(kind, owner=instance)
        if kind == "model":
            scope.conversation = _conversation(args, kwargs)
        return drive(wrapped(*args, **kwargs), scope)

    def events(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Place the events of a model's stream below its span."""
        run = self._model_run(args, kwargs)
        produced = wrapped(*args, **kwargs)
        return produced if run is None else iterate(produced, Scope("model", run=run))

    @staticmethod
    def acalled(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Remember who calls what may run in a task of its own, as with ``asyncio.gather``."""
        scope, awaitable = _remembering("chain"), wrapped(*args, **kwargs)
        return awaitable if scope is None else _awaited(InScope(awaitable, scope))

    @staticmethod
    def called_for_each(wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Remember who calls what works in threads or tasks, and yields."""
        scope, produced = _remembering("chain"), wrapped(*args, **kwargs)
        if scope is None:
            return produced
        return aiterate(produced, scope) if hasattr(produced, "__aiter__") else iterate(produced, scope)

    def aevents(self, wrapped: Call, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        """Place the events of a model's asynchronous stream below its span."""
        run = self._model_run(args, kwargs)
        produced = wrapped(*args, **kwargs)
        return produced if run is None else aiterate(produced, Scope("model", run=run))

    @staticmethod
    async def _llm_start(handler: Any, wrapped: Any, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        others = [other for other in instance.handlers if other is not handler]
        if len(others) == len(instance.handlers) or all(other.run_inline for other in others):
            return await wrapped(*args, **kwargs)
        theirs = copy.copy(instance)
        theirs.handlers = others
        managers = await theirs.on_llm_start(*args, **kwargs)
        with guard("langchain on_llm_start"):
            serialized, prompts = args[:2]
            details = {key: value for key, value in kwargs.items() if key != "run_id"}
            for manager, prompt in zip(managers, prompts, strict=True):
                manager.handlers = instance.handlers
                handler.on_llm_start(
                    serialized,
                    [prompt],
                    run_id=manager.run_id,
                    parent_run_id=instance.parent_run_id,
                    metadata=instance.metadata,
                    **details,
                )
        return managers

    @guard("langchain context")
    def _enter(self, config: Mapping[str, Any]) -> None:
        run = self._recorder.runs.get(parent_id(config))
        if run is None:
            return
        if run.conversation is None and (configurable := config.get("configurable")):
            # LangChain tells handlers of a plain chain nothing of `configurable`.
            run.conversation = _thread(configurable)
        if current_context().get(RUN) is not run.owner:
            attach_context(run.context)

    @guard("langchain model call")
    def _model_run(self, args: Args, kwargs: Kwargs) -> Run | None:
        managers = (
            kwargs.get("run_manager") or kwargs.get("run_managers") or (args[2] if len(args) > 2 else None)
        )
        first = managers[0] if isinstance(managers, list) and managers else managers
        return self._recorder.runs.get(getattr(first, "run_id", None))

    async def _await_ending(self, awaitable: Any, scope: Scope) -> Any:
        try:
            result = await InScope(awaitable, scope)
        except BaseException as error:
            # LangChain itself reports an exception of a model, with what had been answered by then.
            if scope.kind != "model" or not isinstance(error, Exception):
                self._close(scope.run, error)
            raise
        if scope.kind == "model" and scope.run is not None:
            scope.run.made = result
        return result

    @guard("langchain cancelled call")
    def _abandon(self, run: Run, error: BaseException) -> None:
        if run.run_id is None:
            return
        made, answer = run.made, None
        if made is not None:
            from langchain_core.outputs import LLMResult

            answer = LLMResult(generations=[made.generations], llm_output=made.llm_output)
        self._recorder.fail(run.run_id, error, answer)

    def _close(self, run: Run | None, error: BaseException) -> None:
        if run is not None:
            self._recorder.close(run, error)


@guard("langchain caller")
def _remembering(kind: Kind) -> Scope | None:
    """Return a scope in which what loses its stack is still named after the user's function."""
    if current_context().get(RUN) is not None or current_context().get(CALLER) is not None:
        return None
    name = caller_name("")
    return Scope(kind, context=set_value(CALLER, name)) if name else None


@guard("langchain conversation")
def _conversation(args: Args, kwargs: Kwargs) -> str | None:
    config: Mapping[str, Any] | None = args[1] if len(args) > 1 else kwargs.get("config")
    configurable = config.get("configurable") if config else None
    return _thread(configurable) if configurable else None


def _thread(configurable: Mapping[str, Any]) -> str | None:
    thread = next((configurable[key] for key in _CONVERSATION if configurable.get(key)), None)
    return str(thread) if thread else None


async def _awaited(awaitable: InScope[Any]) -> Any:
    return await awaitable


def parent_id(config: Mapping[str, Any]) -> UUID | None:
    """Return the run that the callbacks of a config belong to."""
    return getattr(config.get("callbacks"), "parent_run_id", None)


def ambient_parent_id() -> UUID | None:
    """Return the run whose code is running, as LangChain has it."""
    return parent_id(_ambient_config().get() or {})


@functools.cache
def _ambient_config() -> Any:
    from langchain_core.runnables.config import var_child_runnable_config

    return var_child_runnable_config
