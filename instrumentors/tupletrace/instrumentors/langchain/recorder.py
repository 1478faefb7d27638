"""The runs of one instrumented program: spans carried, answers written, ends and errors, each once."""

from typing import Any
from uuid import UUID

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]
    Context,
)
from opentelemetry.trace import Tracer
from opentelemetry.util.genai.invocation import RetrievalInvocation
from opentelemetry.util.genai.types import Error
from opentelemetry.util.genai.utils import fq_exception_type

from tupletrace.instrumentors.context import declared_attributes
from tupletrace.instrumentors.current import current_context
from tupletrace.instrumentors.feeding import LooseSources, source
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.inference import Telemetry
from tupletrace.instrumentors.langchain import prompts, retrievers
from tupletrace.instrumentors.langchain.runs import Run, Runs, Span
from tupletrace.semconv import names


class Recorder:
    """One instrumented program: its open runs and the prompts that it rendered."""

    def __init__(self, telemetry: Telemetry, tracer: Tracer) -> None:
        self.telemetry = telemetry
        self.tracer = tracer
        self.runs = Runs()
        self.renderings = prompts.Renderings()
        self.loose = LooseSources()
        self.active = True

    @property
    def listening(self) -> bool:
        """Whether new runs are recorded: not once uninstrumented, nor where the user suppresses it."""
        if not self.active:
            return False
        current = current_context()
        # `is_instrumentation_enabled` asks for the context twice, through seven calls each.
        return not (current.get(_SUPPRESS_INSTRUMENTATION_KEY) or current.get("suppress_instrumentation"))

    def begin(self, run_id: UUID | None, run: Run, span: Span | None = None) -> None:
        """Remember a run, and carry its span, if it has one, with what all spans carry."""
        if span is not None:
            self._carry(run, span)
        dropped = None if run_id is None else self.runs.add(run_id, run)
        if dropped is not None:
            self.close(dropped)

    def end(self, run_id: UUID, output: Any = None) -> None:
        """End a run that succeeded."""
        run = self.runs.pop(run_id)
        if run is None:
            return
        if run.span is not None:
            self._end(run, self._answered(run, output))
        elif run.fed:
            self._leave_sources(run)

    def fail(self, run_id: UUID, error: BaseException, response: Any = None) -> None:
        """End a run that raised; a batch of which one model call raised gives no answer at all."""
        run = self.runs.pop(run_id)
        if run is None:
            return
        if getattr(response, "generations", None):
            self._answered(run, response)
        self.close(run, error)

    def close(self, run: Run, error: BaseException | None = None) -> None:
        """Forget a run and end its span, if it has one that is open."""
        self.runs.pop(run.run_id)
        if error is not None and run.kind in ("model", "embeddings") and run.span is not None:
            with guard("langchain error"):
                if isinstance(status := getattr(error, "status_code", None), int):
                    run.span.attributes[names.HTTP_STATUS_CODE] = status
        self._end(run, None if error is None or _is_control_flow(error) else self._error(error))

    def fail_batch(self, run: Run, error: BaseException) -> None:
        """End the runs that were begun together with ``run``."""
        if run.batch is not None:
            for other in self.runs.of_batch(run.batch):
                self.close(other, error)

    def _carry(self, run: Run, span: Span) -> None:
        attributes = span.attributes
        if run.agent is not None:
            attributes[names.AGENT_NAME] = run.agent
        if run.step is not None:
            attributes[names.AGENT_STEP] = run.step
        declared, current = declared_attributes(run.context), current_context()
        if run.context is not current:
            declared |= declared_attributes(current)
        conversation = declared.pop(names.CONVERSATION_ID, None)
        if conversation and span.conversation_id is None:
            span.conversation_id = conversation
        attributes.update(declared)
        run.carry(span)

    @guard("langchain answer")
    def _answered(self, run: Run, output: Any) -> Error | None:
        return None if run.answered is None else run.answered(output)

    def _end(self, run: Run, error: Error | None) -> None:
        if run.fed and error is None:
            self._leave_sources(run)
        span = run.span
        if span is not None:
            if conversation := run.conversation or span.conversation_id:
                span.attributes[names.CONVERSATION_ID] = conversation
            if error is None:
                span.stop()
            else:
                span.fail(error)
        run.let_go()

    def _leave_sources(self, run: Run) -> None:
        if run.parent is None:
            # A span that is the first of its trace shares it with nothing else that the program does.
            own = getattr(run.span, "span", None)
            around = run.context if getattr(own, "parent", None) is not None else Context()
            self.loose.add((found for _, found in run.fed.values()), around)
        else:
            run.pass_on(run.parent)

    def _error(self, error: BaseException) -> Error:
        message = None
        if self.telemetry.should_capture_content():
            with guard("langchain error"):
                message = str(error)
        return Error(message=message, type=fq_exception_type(error))


def finish_retrieval(run: Run, query: Any, documents: Any) -> None:
    """Set what a retrieval found, and by whom for what follows; what it asked others for is its own."""
    if not isinstance(run.span, RetrievalInvocation):
        return
    found = retrievers.finish(run.span, query, documents)
    version = run.span.attributes.get(names.RETRIEVER_VERSION)
    if isinstance(version, str):
        run.fed = {version: (-1, source(run.name, version, (one.page_content for one in found)))}


def _is_control_flow(error: BaseException) -> bool:
    # A stream that the user left, and LangGraph's interrupts and jumps to a parent graph.
    bubbles = any(parent.__name__ == "GraphBubbleUp" for parent in type(error).__mro__)
    return bubbles or isinstance(error, GeneratorExit)
