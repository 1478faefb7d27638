"""Workflow and agent runs and their steps, heard through LlamaIndex's root dispatcher.

A handler's enter and exit run in the very task of the run or step, so that its span is current there.
"""

from collections.abc import Callable
from typing import Any, Final

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation.span import BaseSpan
from llama_index_instrumentation.span_handlers import BaseSpanHandler
from opentelemetry.util.genai.handler import TelemetryHandler
from pydantic import PrivateAttr

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.agents import Agents, Open

_CANCELLED_RUN: Final = "workflows.errors.WorkflowCancelledByUser"
_CANCELLED_STEP: Final = "asyncio.exceptions.CancelledError"


class RunsAndSteps(BaseSpanHandler[BaseSpan]):
    """Opens and ends a span, or only a context, for each run and step; ignores every other span."""

    _agents: Agents = PrivateAttr()
    _open: dict[str, Open] = PrivateAttr(default_factory=dict)
    _retired: Callable[[], None] | None = PrivateAttr(default=None)

    def __init__(self, agents: Agents) -> None:
        super().__init__(open_spans={}, completed_spans=[], dropped_spans=[], current_span_ids={})
        self._agents = agents

    def span_enter(self, id_: str, bound_args: Any, instance: Any = None, *_: Any, **kwargs: Any) -> None:
        """Start the run or step that this span is, if it is one."""
        if self._retired is not None:
            return
        with guard("llama_index workflow start"):
            opened = self._agents.entered(id_, bound_args.arguments, instance)
            if opened is not None:
                self._open[id_] = opened

    def span_exit(
        self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **kwargs: Any
    ) -> None:
        """End what ``span_enter`` started."""
        opened = self._open.pop(id_, None)
        if opened is not None:
            opened.returned(result)
            self._leave_when_idle()

    def span_drop(
        self,
        id_: str,
        bound_args: Any,
        instance: Any = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """End what ``span_enter`` started, as failed."""
        opened = self._open.pop(id_, None)
        if opened is not None:
            opened.fail(err or "_OTHER")
            self._leave_when_idle()

    def cancelled(self, id_: str | None, reason: str) -> None:
        """Fail a run or step that LlamaIndex is about to report as finished without result."""
        opened = self._open.get(id_ or "")
        if opened is not None:
            opened.fail(_CANCELLED_RUN if "by user" in reason else _CANCELLED_STEP)

    def retire(self, leave: Callable[[], None]) -> None:
        """Start nothing more, and leave the dispatcher once everything started has ended."""
        self._retired = leave
        self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._retired is not None and not self._open:
            self._retired()

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: LlamaIndex's own bookkeeping of spans is not used."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Nothing, likewise."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Nothing, likewise."""


class Cancellations(BaseEventHandler):
    """Hears that a step or run was cancelled: LlamaIndex ends its span as if it had returned None."""

    _runs: RunsAndSteps = PrivateAttr()

    def __init__(self, runs: RunsAndSteps) -> None:
        super().__init__()
        self._runs = runs

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Pass the cancelled span on."""
        if type(event).__name__ == "SpanCancelledEvent":
            with guard("llama_index cancellation"):
                self._runs.cancelled(event.span_id, event.reason)


def attach_handlers(telemetry: TelemetryHandler) -> Callable[[], None]:
    """Add the handlers to the root dispatcher; return what takes them off again."""
    root = get_dispatcher()
    runs = RunsAndSteps(Agents(telemetry))
    cancellations = Cancellations(runs)
    root.add_span_handler(runs)
    root.add_event_handler(cancellations)

    def leave() -> None:
        # By identity: pydantic models of equal content are equal.
        root.span_handlers[:] = [handler for handler in root.span_handlers if handler is not runs]
        root.event_handlers[:] = [handler for handler in root.event_handlers if handler is not cancellations]

    return lambda: runs.retire(leave)
