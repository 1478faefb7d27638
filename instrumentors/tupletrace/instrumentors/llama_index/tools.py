"""Tools: one span an execution, however many methods of LlamaIndex it passes through."""

import contextlib
from contextvars import ContextVar, Token
from typing import Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import ToolInvocation

from tupletrace.instrumentors.base import Wrapper
from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.calls import Call, around
from tupletrace.instrumentors.llama_index.hooks import Family
from tupletrace.instrumentors.llama_index.sources import gathering
from tupletrace.instrumentors.llama_index.trajectory import current_step, write_step

_running: Final[ContextVar[str | None]] = ContextVar("tupletrace.llama_index.tool", default=None)
"""The tool that is executed; not in OpenTelemetry's context, which another vendor may replace meanwhile."""


def family(telemetry: TelemetryHandler) -> Family:
    """Wrap the tools, for the calls that no agent's step makes."""

    def begin(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall | None:
        name = str(tool.metadata.name)
        # `__call__` calls `call`, an async adapter its sync tool, an agent's step all of them.
        if _running.get() == name:
            return None
        return start_tool(telemetry, name, None, {"args": args, **kwargs} if args else kwargs, get_current())

    call = around("llama_index tool", begin)
    return Family("llama_index.core.tools.types.BaseTool", dict.fromkeys(("__call__", "call", "acall"), call))


def selected(telemetry: TelemetryHandler) -> Wrapper:
    """Wrap what calls a tool that a model chose; it tries more than one way."""

    def begin(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall:
        chosen = args[0] if args else kwargs["tool_call"]
        return start_tool(
            telemetry, chosen.tool_name, chosen.tool_id, dict(chosen.tool_kwargs), get_current()
        )

    return around("llama_index selected tool", begin)


def start_tool(
    telemetry: TelemetryHandler, name: str, call_id: str | None, arguments: Any, context: Context
) -> "ToolCall":
    """Start a tool's span below ``context``."""
    step = current_step(context)
    invocation = telemetry.tool(
        name,
        tool_type="function",
        agent_name=step.agent_name if step is not None else None,
        context=gathering(context),
        _attach_to_context=False,
    )
    call = ToolCall(invocation, name)
    with guard("llama_index tool input"):
        invocation.tool_call_id = call_id
        write_step(invocation.attributes, context)
        if invocation.should_capture_content:
            invocation.arguments = arguments
    return call


class ToolCall(Call[ToolInvocation]):
    """One execution; LlamaIndex hands a tool's error to the model as the output."""

    what = "llama_index tool"
    gathers = True

    def __init__(self, invocation: ToolInvocation, name: str) -> None:
        super().__init__(invocation)
        self._marker: Token[str | None] | None = _running.set(name)

    def leave(self) -> None:
        """Give the caller back the context it had."""
        super().leave()
        marker, self._marker = self._marker, None
        if marker is not None:
            # What ends in another task leaves that task's own marker alone.
            with contextlib.suppress(ValueError):
                _running.reset(marker)

    def returned(self, result: Any) -> Any:
        """End the span by what the tool's output says."""
        output = getattr(result, "tool_output", result)
        if getattr(output, "is_error", False) is True:
            with guard("llama_index tool result"):
                self.read(result)
            self.fail(getattr(output, "exception", None) or "tool_error")
            return result
        return super().returned(result)

    def read(self, result: Any) -> None:
        """Take the output, where content may be captured."""
        output = getattr(result, "tool_output", result)
        if self.invocation.should_capture_content and output is not None:
            self.invocation.tool_result = str(getattr(output, "content", output))
