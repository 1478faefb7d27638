"""Agent runs, workflow runs and their steps: which there are, and where each stands in its run."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from opentelemetry.context import get_current
from opentelemetry.util.genai.handler import TelemetryHandler

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.conversations import conversation_of_run
from tupletrace.instrumentors.llama_index.models import request_model
from tupletrace.instrumentors.llama_index.runs import AgentRunCall, RunCall, Silent, StepCall, StepSpan
from tupletrace.instrumentors.llama_index.sources import gathering
from tupletrace.instrumentors.llama_index.tools import start_tool
from tupletrace.instrumentors.llama_index.trajectory import Kind, Run, Step, current_step, with_step
from tupletrace.semconv import names

_UUID: Final = 37
"""Length of the ``-<uuid>`` that ends a span id of LlamaIndex."""
_AGENTS: Final = frozenset({"BaseWorkflowAgent", "AgentWorkflow"})
_MODEL_STEP: Final = "run_agent_step"
_TOOL_STEP: Final = "call_tool"
_HOUSEKEEPING: Final = frozenset({"init_run", "setup_agent", "parse_agent_output", "aggregate_tool_results"})
"""Steps of LlamaIndex's agents that only prepare and pass on: a model call in one is a turn of its own."""


class Open(Protocol):
    """A run or step that has begun."""

    def returned(self, result: Any) -> Any: ...
    def fail(self, error: BaseException | str) -> None: ...


class Agents:
    """Starts what the span of a run or step needs."""

    def __init__(self, telemetry: TelemetryHandler) -> None:
        self._telemetry = telemetry

    def entered(self, span_id: str, arguments: Mapping[str, Any], instance: Any) -> Open | None:
        """Return what began with this dispatcher span; None if it is neither a run nor a step."""
        if "init_state" in arguments:
            return self._run(instance, arguments.get("start_event"))
        step, name = current_step(), span_id[:-_UUID].rpartition(".")[2]
        if instance is not None or step is None or not _is_step(step.run.workflow, name):
            return None
        return self._step(step.run, name, tuple(arguments.values()))

    def _run(self, workflow: Any, start_event: Any) -> Open:
        is_agent = any(cls.__name__ in _AGENTS for cls in type(workflow).__mro__)
        run = Run(workflow, is_agent)
        memory = start_event.get("memory", None) if is_agent and start_event is not None else None
        conversation = conversation_of_run(memory)
        if not is_agent:
            context = gathering(with_step(Step(run, "step"), get_current()))
            name = workflow._workflow_name or type(workflow).__name__
            return RunCall(
                self._telemetry.workflow(
                    name, context=context, conversation_id=conversation, _attach_to_context=False
                )
            )
        run.acting = _agent_of(workflow, None)
        run.agent_name = _agent_name(workflow)
        llm = getattr(run.acting, "llm", None)
        invocation = self._telemetry.invoke_local_agent(
            agent_name=run.agent_name,
            request_model=request_model(llm) if llm is not None else None,
            conversation_id=conversation,
            context=gathering(with_step(Step(run, "model", run.acting), get_current())),
            _attach_to_context=False,
        )
        call = AgentRunCall(invocation)
        with guard("llama_index agent input"):
            call.asked(workflow, start_event)
        return call

    def _step(self, run: Run, name: str, arguments: tuple[Any, ...]) -> Open:
        if not run.is_agent:
            return self._spanned(name, Step(run, "step"))
        named = next((a.current_agent_name for a in arguments if hasattr(a, "current_agent_name")), None)
        if named is not None:
            run.acting = _agent_of(run.workflow, named)
        call = next((argument for argument in arguments if hasattr(argument, "tool_kwargs")), None)
        if name == _TOOL_STEP and call is not None:
            return self._tool(Step(run, "tools", run.acting), call)
        kind: Kind = "model" if name == _MODEL_STEP or name in _HOUSEKEEPING else "step"
        step = Step(run, kind, run.acting)
        if name in _HOUSEKEEPING:
            return Silent(with_step(step, get_current()))
        return self._spanned(name, step)

    def _spanned(self, name: str, step: Step) -> Open:
        return StepCall(StepSpan(self._telemetry, name, with_step(step, get_current())))

    def _tool(self, step: Step, call: Any) -> Open:
        context = with_step(step, get_current())
        started = start_tool(self._telemetry, call.tool_name, call.tool_id, dict(call.tool_kwargs), context)
        started.invocation.attributes[names.GRAPH_NODE] = _TOOL_STEP
        return started


def _is_step(workflow: Any, name: str) -> bool:
    function = getattr(workflow, name, None) or workflow._step_functions.get(name)
    return hasattr(function, "_step_config")


def _agent_of(workflow: Any, name: str | None) -> Any:
    """Return the agent whose turn it is: of several the one named, else the root."""
    several = getattr(workflow, "agents", None)
    if isinstance(several, Mapping):
        return several.get(name or workflow.root_agent)
    return workflow


def _agent_name(workflow: Any) -> str | None:
    return workflow._workflow_name or getattr(workflow, "name", None) or getattr(workflow, "root_agent", None)
