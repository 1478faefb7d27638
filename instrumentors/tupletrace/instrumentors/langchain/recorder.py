"""Begins and ends the spans of LangChain's runs; callbacks and wrapped calls both report here."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Tracer
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import (
    GenAIInvocation,
    InferenceInvocation,
    LocalAgentInvocation,
    RetrievalInvocation,
    ToolInvocation,
    WorkflowInvocation,
)
from opentelemetry.util.genai.types import Error
from opentelemetry.util.genai.utils import fq_exception_type

from tupletrace.instrumentors.context import declared_route
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import caller_name
from tupletrace.instrumentors.langchain import graphs, models, prompts, retrievers
from tupletrace.instrumentors.langchain.messages import any_input, any_output, as_text
from tupletrace.instrumentors.langchain.runs import Kind, Run, Runs, Span, label_below, new_run
from tupletrace.instrumentors.langchain.scope import Scope, waiting
from tupletrace.semconv import names

_RUNNABLES: Final = ("langchain_core.runnables.", "langgraph.")
_SEQUENCES: Final = ("RunnableSequence.", "RunnableParallel.")


class Recorder:
    """One instrumented program: its open runs and the prompts that it rendered."""

    def __init__(self, telemetry: TelemetryHandler, tracer: Tracer) -> None:
        self.telemetry = telemetry
        self.tracer = tracer
        self.runs = Runs()
        self.renderings = prompts.Renderings()
        self.active = True

    @property
    def listening(self) -> bool:
        """Whether new runs are recorded: not once uninstrumented, nor where the user suppresses it."""
        return self.active and is_instrumentation_enabled()

    def chain(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        name: str,
        run_type: str | None,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any],
        inputs: Any,
    ) -> None:
        """Begin a chain, graph, node, prompt or parser: only what means something to the user has a span."""
        parent = self.runs.parent(parent_id)
        scope = waiting("graph")
        step = graphs.node_step(tags)
        if run_type in ("prompt", "parser"):
            kind: Kind = "prompt" if run_type == "prompt" else "chain"
            self._add(run_id, new_run(kind, name, parent, label_below(parent), metadata))
        elif scope is not None:
            self._graph(run_id, new_run("graph", name, parent, name, metadata), scope, inputs)
        elif step is not None:
            self._node(run_id, new_run("node", name, parent, name, metadata), step)
        else:
            self._sequence(run_id, name, parent, metadata, inputs)

    def model(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        operation: str,
        serialized: Mapping[str, Any] | None,
        given: Sequence[Any],
        metadata: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> None:
        """Begin the inference of a chat model (messages) or LLM (strings)."""
        parent = self.runs.parent(parent_id)
        run = new_run("model", "", parent, "", metadata)
        params: Mapping[str, Any] = details.get("invocation_params") or {}
        run.batch = details.get("options") if details.get("batch_size", 1) > 1 else None
        context = run.context
        invocation = models.begin(self.telemetry, run, operation, serialized, params)
        self._carry(run, invocation)
        self._add(run_id, run)
        self._enter("model", run)
        with guard("langchain model request"):
            models.describe(invocation, metadata, params)
            models.capture_input(invocation, given)
        with guard("langchain prompt identity"):
            rendering = self.renderings.find(given)
            prompt = prompts.resolve(run, given, params, rendering, context)
            if prompt is not None:
                prompt.write(invocation.attributes)
            if rendering is not None and rendering.prompt == prompt and invocation.should_capture_content:
                invocation.prompt_variables = rendering.variables

    def tool(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        serialized: Mapping[str, Any] | None,
        given: Any,
        metadata: Mapping[str, Any],
        call_id: str | None,
    ) -> None:
        """Begin the execution of a tool."""
        tool = serialized or {}
        name = str(tool.get("name") or "tool")
        run = new_run("tool", name, self.runs.parent(parent_id), name, metadata)
        invocation = self.telemetry.tool(
            name, tool_type="function", agent_name=run.agent, context=run.context, _attach_to_context=False
        )
        invocation.tool_call_id = call_id
        self._carry(run, invocation)
        self._add(run_id, run)
        self._enter("tool", run)
        if invocation.should_capture_content:
            with guard("langchain tool input"):
                invocation.tool_description = tool.get("description")
                invocation.arguments = as_text(given)

    def retriever(self, retriever: Any, parent_id: UUID | None, name: str, given: Mapping[str, Any]) -> Run:
        """Begin a retrieval, whose run id its callback will tell."""
        parent = self.runs.parent(parent_id)
        run = new_run("retriever", name, parent, name, {})
        self._carry(run, retrievers.begin(self.telemetry, run, retriever, given))
        return run

    def end(self, run_id: UUID, output: Any = None) -> None:
        """End a run that succeeded."""
        run = self.runs.pop(run_id)
        if run is None or run.span is None:
            return
        with guard("langchain answer"):
            self._answer(run, run.span, output)
        self.close(run)

    def fail(self, run_id: UUID, error: BaseException, response: Any = None) -> None:
        """End a run that raised; a batch of which one model call raised gives no answer at all."""
        run = self.runs.pop(run_id)
        if run is None:
            return
        if isinstance(run.span, InferenceInvocation) and getattr(response, "generations", None):
            with guard("langchain answer"):
                models.finish(run.span, response)
        self.close(run, error)

    def close(self, run: Run, error: BaseException | None = None) -> None:
        """Forget a run and end its span, if it has one that is open."""
        self.runs.pop(run.run_id)
        span = run.span
        if span is None:
            return
        if isinstance(span, GenAIInvocation) and span.conversation_id is None:
            span.conversation_id = run.conversation
        if error is None or _is_control_flow(error):
            span.stop()
        else:
            span.fail(self._error(error))

    def fail_batch(self, run: Run, error: BaseException) -> None:
        """End the runs that were begun together with ``run``."""
        if run.batch is not None:
            for other in self.runs.of_batch(run.batch):
                self.close(other, error)

    def _sequence(
        self, run_id: UUID, name: str, parent: Run | None, metadata: Mapping[str, Any], inputs: Any
    ) -> None:
        unnamed = name.startswith("Runnable")
        named_step = parent is not None and not unnamed and _is_sequence()
        run = new_run("chain", name, parent, parent.label if parent is not None else name, metadata)
        if parent is None or unnamed or named_step:
            run.label = label_below(parent) if parent is not None else caller_name(name)
        if parent is None or named_step:
            workflow = self.telemetry.workflow(
                run.label if unnamed else name,
                context=run.context,
                _attach_to_context=False,
                conversation_id=run.conversation,
            )
            self._carry_outermost(run, workflow, inputs)
        self._add(run_id, run)

    def _graph(self, run_id: UUID, run: Run, scope: Scope, inputs: Any) -> None:
        parent = run.parent
        name = graphs.given_name(scope.owner, run.name)
        if name is None:
            # A subgraph is called after the node that it is, any other graph after the user's function.
            name = parent.name if parent is not None and parent.kind == "node" else caller_name(run.name)
        run.label = name
        if graphs.is_agent(scope.owner):
            run.agent = name
            span: LocalAgentInvocation | WorkflowInvocation = self.telemetry.invoke_local_agent(
                agent_name=name,
                context=run.context,
                _attach_to_context=False,
                conversation_id=run.conversation,
            )
        else:
            span = self.telemetry.workflow(
                name, context=run.context, _attach_to_context=False, conversation_id=run.conversation
            )
        run.step = None
        self._carry_outermost(run, span, inputs)
        self._add(run_id, run)
        scope.enter(run)

    def _node(self, run_id: UUID, run: Run, step: int) -> None:
        graph = run.parent
        if graph is not None:
            if graph.first_step is None:
                graph.first_step = step
            run.step = step - graph.first_step
        self._carry(run, graphs.NodeSpan(self.tracer, run.name, run.context))
        self._add(run_id, run)

    def _carry_outermost(
        self, run: Run, span: LocalAgentInvocation | WorkflowInvocation, inputs: Any
    ) -> None:
        self._carry(run, span)
        if span.should_capture_content:
            with guard("langchain input"):
                span.input_messages = any_input(inputs)

    def _carry(self, run: Run, span: Span) -> None:
        attributes = span.attributes
        if run.agent is not None:
            attributes[names.AGENT_NAME] = run.agent
        if run.step is not None:
            attributes[names.AGENT_STEP] = run.step
        route = declared_route() or declared_route(run.context)
        if route is not None:
            attributes[names.ROUTE] = route
        run.carry(span)

    def _add(self, run_id: UUID, run: Run) -> None:
        dropped = self.runs.add(run_id, run)
        if dropped is not None:
            self.close(dropped)

    def _enter(self, kind: Kind, run: Run) -> None:
        scope = waiting(kind)
        if scope is not None:
            scope.enter(run)

    def _answer(self, run: Run, span: Span, output: Any) -> None:
        match span:
            case InferenceInvocation():
                models.finish(span, output)
                prompts.forget_answered(run)
            case ToolInvocation():
                if span.should_capture_content:
                    span.tool_result = as_text(getattr(output, "content", output))
                if getattr(output, "status", None) == "error":
                    # `handle_tool_error` turned the exception into an answer for the model.
                    span.fail(Error(message=None, type="tool_error"))
            case LocalAgentInvocation() | WorkflowInvocation():
                if span.should_capture_content:
                    span.output_messages = any_output(output)
            case _:
                pass

    def _error(self, error: BaseException) -> Error:
        message = None
        if self.telemetry.should_capture_content():
            with guard("langchain error"):
                message = str(error)
        return Error(message=message, type=fq_exception_type(error))


def finish_retrieval(run: Run, query: Any, documents: Any) -> None:
    """Set what a retrieval found."""
    if isinstance(run.span, RetrievalInvocation):
        retrievers.finish(run.span, query, documents)


def _is_control_flow(error: BaseException) -> bool:
    # A stream that the user left, and LangGraph's interrupts and jumps to a parent graph.
    bubbles = any(parent.__name__ == "GraphBubbleUp" for parent in type(error).__mro__)
    return bubbles or isinstance(error, GeneratorExit)


def _is_sequence() -> bool:
    """Say whether a sequence called back, not a function: LangChain names both, and tells neither apart."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_RUNNABLES):
            owner = frame.f_code.co_qualname
            if not owner.startswith("Runnable."):
                return owner.startswith(_SEQUENCES)
        frame = frame.f_back
    return False
