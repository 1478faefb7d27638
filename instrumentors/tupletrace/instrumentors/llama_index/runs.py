"""The spans of a run and of a step, and a step that has none."""

from typing import Any, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import set_span_in_context
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import LocalAgentInvocation
from opentelemetry.util.genai.types import Error, InputMessage, OutputMessage, TextPart

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.llama_index.calls import Call, Invocation, Scope
from tupletrace.instrumentors.llama_index.templates import message_role, message_text
from tupletrace.instrumentors.llama_index.trajectory import write_step
from tupletrace.semconv import names

RunT = TypeVar("RunT", bound=Invocation)


class RunCall(Call[RunT]):
    """A workflow's run, from its start event to its stop event."""

    what = "llama_index workflow"
    gathers = True


class AgentRunCall(RunCall[LocalAgentInvocation]):
    """An agent's run: all its turns, and those of the agents it hands over to."""

    what = "llama_index agent"

    def asked(self, agent: Any, start_event: Any) -> None:
        """Take what the agent is for, and the question where content may be captured."""
        description = getattr(agent, "description", None)
        if isinstance(description, str):
            self.invocation.agent_description = description
        question = start_event.get("user_msg", None) if start_event is not None else None
        if self.invocation.should_capture_content and question is not None:
            text = question if isinstance(question, str) else message_text(question)
            self.invocation.input_messages = [InputMessage("user", [TextPart(text)])]

    def read(self, result: Any) -> None:
        """Take the answer, where content may be captured."""
        message = getattr(getattr(result, "result", None), "response", None)
        if self.invocation.should_capture_content and message is not None:
            text = TextPart(message_text(message))
            self.invocation.output_messages = [OutputMessage(message_role(message), [text])]


class StepSpan:
    """A step's span: the conventions have no operation for one, so that it is a plain internal span."""

    should_capture_content = False
    conversation_id: str | None = None

    def __init__(self, telemetry: TelemetryHandler, name: str, context: Context) -> None:
        tracer = telemetry._tracer  # pyright: ignore[reportPrivateUsage]
        self._span = tracer.start_span(name, context)
        self.context = set_span_in_context(self._span, context)
        self.attributes: dict[str, Any] = {names.GRAPH_NODE: name}
        with guard("llama_index step"):
            write_step(self.attributes, context)

    def stop(self) -> None:
        """End the span."""
        self._span.set_attributes(self.attributes)
        self._span.end()

    def fail(self, error: Error, /) -> None:
        """End the span as failed."""
        self.attributes[names.ERROR_TYPE] = error.type
        self._span.set_status(Status(StatusCode.ERROR, error.message))
        self.stop()


class StepCall(Call[StepSpan]):
    """A step that is told as a span."""

    what = "llama_index step"

    def __init__(self, invocation: StepSpan) -> None:
        super().__init__(invocation)
        self._ended = False

    def stop(self, result: Any) -> None:
        """End the span, unless a cancellation has."""
        if not self._ended:
            self._ended = True
            super().stop(result)

    def fail(self, error: BaseException | str) -> None:
        """End the span as failed, once."""
        if not self._ended:
            self._ended = True
            super().fail(error)


class Silent:
    """A step without a span: what happens in it belongs to the run, and still knows its place."""

    def __init__(self, context: Context) -> None:
        self._scope: Scope | None = Scope(context)

    def returned(self, result: Any) -> None:
        """Give the task back the context it had."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.leave()

    def fail(self, error: BaseException | str) -> None:
        """Likewise: the run says what failed."""
        self.returned(None)
