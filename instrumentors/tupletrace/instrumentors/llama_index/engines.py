"""Query engines and chat engines: what an application calls, each call one workflow."""

from collections.abc import Callable
from typing import Any, Final
from weakref import ref

from opentelemetry.context import create_key, get_value, set_value
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import WorkflowInvocation
from opentelemetry.util.genai.types import InputMessage, OutputMessage, TextPart

from tupletrace.instrumentors.firewall import guard
from tupletrace.instrumentors.identity import caller_name
from tupletrace.instrumentors.llama_index.calls import Begin, Call, around
from tupletrace.instrumentors.llama_index.conversations import conversation_of
from tupletrace.instrumentors.llama_index.hooks import Family
from tupletrace.instrumentors.llama_index.sources import gathering
from tupletrace.instrumentors.llama_index.streams import streamed

_ANSWER: Final = create_key("tupletrace.llama_index.answer")
_ENGINE: Final = create_key("tupletrace.llama_index.engine")
_CALLER: Final = create_key("tupletrace.llama_index.caller")


def current_engine() -> Any:
    """Return the innermost engine at work."""
    return get_value(_ENGINE)


def engine_caller() -> str | None:
    """Return the user's function that called the engine; in a thread of the engine's it is not to be seen."""
    value = get_value(_CALLER)
    return value if isinstance(value, str) else None


def in_conversation() -> bool:
    """Tell whether a chat engine is at work."""
    return hasattr(current_engine(), "chat_history")


def reads_documents() -> bool:
    """Tell whether the engine at work has the model read what it retrieved: ``generation`` does not."""
    synthesizer = getattr(current_engine(), "_response_synthesizer", None)
    return all(kind.__name__ != "Generation" for kind in type(synthesizer).__mro__)


def query_family(telemetry: TelemetryHandler) -> Family:
    """Wrap the query engines."""
    query = around("llama_index query engine", _begin(telemetry))
    return Family(
        "llama_index.core.base.base_query_engine.BaseQueryEngine", {"query": query, "aquery": query}
    )


def chat_family(telemetry: TelemetryHandler) -> Family:
    """Wrap the chat engines."""
    chat = around("llama_index chat engine", _begin(telemetry))
    methods = ("chat", "achat", "stream_chat", "astream_chat")
    return Family("llama_index.core.chat_engine.types.BaseChatEngine", dict.fromkeys(methods, chat))


def _begin(telemetry: TelemetryHandler) -> Begin:
    def begin(engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[Any] | None:
        # An engine that calls itself (`super().query`) is one call of the user's.
        if current_engine() is engine:
            return None
        context = set_value(_ENGINE, engine)
        # In a thread or loop that an engine around this one has begun, the user's function is not to be seen.
        caller = caller_name(engine_caller() or type(engine).__name__)
        context = set_value(_CALLER, caller, context)
        answer = _Answer()
        context = gathering(set_value(_ANSWER, answer, context))
        invocation = telemetry.workflow(
            type(engine).__name__,
            context=context,
            conversation_id=conversation_of(getattr(engine, "_memory", None)),
            _attach_to_context=False,
        )
        call = EngineCall(invocation)
        answer.call = ref(call)
        with guard("llama_index engine input"):
            call.asked(args[0] if args else next(iter(kwargs.values()), None))
        return call

    return begin


class _Answer:
    """Where the answer of an engine's call may come to be known as a stream."""

    call: "ref[EngineCall] | None" = None


def chat_stream(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Wrap the making of a streamed chat answer: LlamaIndex reads it in a thread, from then on."""
    made = wrapped(*args, **kwargs)
    with guard("llama_index chat stream"):
        answer = get_value(_ANSWER)
        call = answer.call() if isinstance(answer, _Answer) and answer.call is not None else None
        for field in ("chat_stream", "achat_stream"):
            if call is None:
                break
            stream = streamed(getattr(instance, field), _ChatStream(call))
            if stream is not None:
                call.streams = True
                setattr(instance, field, stream)
    return made


class _ChatStream:
    """Ends an engine's call where the stream ends: in another thread or task, whose context is its own."""

    what = "llama_index chat stream"

    def __init__(self, call: "EngineCall") -> None:
        self.invocation = call.invocation
        self.chunk, self.stop, self.fail = call.chunk, call.stop, call.failed


class EngineCall(Call[WorkflowInvocation]):
    """A query or a chat turn."""

    what = "llama_index engine"
    gathers = True
    streams = False
    """Whether the answer is a chat stream, with whose end the call ends."""
    _last: Any = None

    def __init__(self, invocation: WorkflowInvocation) -> None:
        super().__init__(invocation)
        self._captures = invocation.should_capture_content

    def asked(self, question: Any) -> None:
        """Take the question, where content may be captured."""
        if self._captures:
            text = getattr(question, "query_str", question)
            self.invocation.input_messages = [InputMessage("user", [TextPart(str(text))])]

    def returned(self, result: Any) -> Any:
        """End the span with the answer; of a lazy one, which asks the model as it is read, with its end."""
        self.leave()
        if self.streams:
            return result
        with guard("llama_index engine stream"):
            tokens = streamed(getattr(result, "response_gen", None), self) if _is_lazy(result) else None
            if tokens is not None:
                result.response_gen = tokens
                return result
        self.stop(result)
        return result

    def chunk(self, chunk: Any) -> None:
        """Keep the latest chunk of a chat, which holds the text so far, where content may be captured."""
        if self._captures:
            self._last = getattr(chunk, "message", None)

    def read(self, result: Any) -> None:
        """Take the answer, where content may be captured."""
        last, self._last = self._last, None
        answer = getattr(result, "response", None) if result is not None else getattr(last, "content", None)
        if self._captures and isinstance(answer, str) and answer:
            self.invocation.output_messages = [OutputMessage("assistant", [TextPart(answer)])]


def _is_lazy(result: Any) -> bool:
    return type(result).__name__ in ("StreamingResponse", "AsyncStreamingResponse")
