"""Chat models and LLMs: one inference span a call, with what was asked, answered and used."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM, FakeStreamingListLLM
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode, get_current_span
from opentelemetry.util.genai.handler import TelemetryHandler

Make = Callable[..., Any]
DETAILED = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class Client(BaseChatModel):
    """A chat model that calls a client which is instrumented, too, and asks which span is current."""

    telemetry: Any = None
    seen: Any = None
    raises: Any = None

    @property
    def _llm_type(self) -> str:
        return "client"

    def _call(self) -> None:
        with self.telemetry.inference("openai", request_model="inner") as inner:
            inner.input_tokens = 11
            inner.seed = 3
            self.seen.append(get_current_span().get_span_context().span_id)
            if self.raises is not None:
                raise self.raises

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._call()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        from langchain_core.messages import AIMessageChunk

        self._call()
        yield ChatGenerationChunk(message=AIMessageChunk("do"))
        self.seen.append(get_current_span().get_span_context().span_id)
        yield ChatGenerationChunk(message=AIMessageChunk("ne"))


@pytest.fixture
def client(tracer_provider: TracerProvider) -> Client:
    return Client(telemetry=TelemetryHandler(tracer_provider=tracer_provider), seen=[])


def call(model: Any, how: str) -> None:
    async def later() -> None:
        if how == "ainvoke":
            await model.ainvoke("Hi")
        else:
            async for _ in model.astream("Hi"):
                pass

    match how:
        case "invoke":
            model.invoke("Hi")
        case "stream":
            list(model.stream("Hi"))
        case _:
            asyncio.run(later())


WAYS = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("how", WAYS)
def test_a_call_tells_request_answer_and_tokens(trace: Any, chat_openai: Make, how: str) -> None:
    call(chat_openai(DETAILED, temperature=0.3, max_tokens=50, seed=4, service_tier="flex"), how)

    facts = trace.facts("chat gpt-4.1-mini")
    streamed = "stream" in how
    assert {
        key: facts[key] for key in facts if not key.endswith((".response.id", "time_to_first_chunk"))
    } == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.request.temperature": 0.3,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 4,
        "openai.request.service_tier": "flex",
        "gen_ai.response.model": "gpt-4.1-mini-2026-08-07",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44",
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.audio.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 3,
        **({"gen_ai.request.stream": True} if streamed else {}),
    }
    # LangChain does not hand on the id of a streamed completion.
    assert streamed or facts["gen_ai.response.id"] == "chatcmpl-7"
    assert streamed == ("gen_ai.response.time_to_first_chunk" in facts)


@pytest.mark.parametrize("how", WAYS)
def test_the_client_inside_adds_what_the_framework_leaves_out_but_no_span(
    trace: Any, client: Client, how: str
) -> None:
    call(client, how)

    facts = trace.facts("chat")
    assert trace.tree() == ["chat"]
    assert facts["gen_ai.provider.name"] == "client"
    assert facts["gen_ai.usage.input_tokens"] == 11
    assert facts["gen_ai.request.seed"] == 3
    assert set(client.seen) == {trace.one("chat").context.span_id}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream_events", "astream_events"])
@pytest.mark.filterwarnings("ignore")
def test_events_of_the_newest_protocol_come_from_one_inference_too(
    trace: Any, client: Client, asynchronous: bool
) -> None:
    async def later() -> str:
        return (await (await client.astream_events("Hi", version="v3"))).text

    answer = asyncio.run(later()) if asynchronous else client.stream_events("Hi", version="v3").output.text

    assert answer == "done"
    assert trace.tree() == ["chat"]
    assert trace.facts("chat")["gen_ai.response.time_to_first_chunk"] > 0
    assert set(client.seen) == {trace.one("chat").context.span_id}


def test_counts_that_a_service_tier_prefixes_are_understood(trace: Any, model: Make) -> None:
    usage = {
        "input_tokens": 90,
        "output_tokens": 9,
        "total_tokens": 99,
        "input_token_details": {"priority_cache_read": 60, "priority": 30, "audio": 2},
        "output_token_details": {"flex_reasoning": 4, "flex": 5},
    }
    model(AIMessage("x", usage_metadata=usage)).invoke("Hi")

    facts = trace.facts("chat")
    assert facts["gen_ai.usage.cache_read.input_tokens"] == 60
    assert facts["gen_ai.usage.reasoning.output_tokens"] == 4
    assert facts["gen_ai.usage.audio.input_tokens"] == 2


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}, 42),
        ({"cache_creation": 42, "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}, 42),
        ({"cache_creation": 42}, 42),
        ({"cache_creation": 0}, 0),
    ],
)
def test_cache_writes_count_once_whether_split_by_time_to_live_or_not(
    trace: Any, model: Make, details: dict[str, int], written: int
) -> None:
    usage = {"input_tokens": 90, "output_tokens": 9, "total_tokens": 99, "input_token_details": details}
    model(AIMessage("x", usage_metadata=usage)).invoke("Hi")

    facts = trace.facts("chat")
    assert facts["gen_ai.usage.cache_write.input_tokens"] == written
    assert facts.get("tupletrace.usage.cache_write_5m.input_tokens") == details.get(
        "ephemeral_5m_input_tokens"
    )
    assert facts.get("tupletrace.usage.cache_write_1h.input_tokens") == details.get(
        "ephemeral_1h_input_tokens"
    )


class Completing(LLM):
    """An LLM that completes text, and answers as told."""

    answer: Any = None
    telemetry: Any = None

    @property
    def _llm_type(self) -> str:
        return "completing"

    def _call(self, *_: Any, **__: Any) -> str:
        raise NotImplementedError

    def _generate(self, *_: Any, **__: Any) -> LLMResult:
        if self.telemetry is not None:
            with self.telemetry.inference("openai", request_model="asked") as inner:
                inner.response_model_name = "answering-2026"
        return self.answer


@pytest.mark.parametrize(
    ("info", "output"),
    [
        (
            {
                "usage_metadata": {
                    "input_tokens": 20,
                    "output_tokens": 5,
                    "input_token_details": {"cache_read": 8},
                }
            },
            {},
        ),
        ({"prompt_eval_count": 20, "eval_count": 5}, {}),
        ({"token_count": {"input_tokens": 20.0, "output_tokens": 5.0, "total_tokens": 25.0}}, {}),
        ({}, {"usage": {"input_tokens": 8, "output_tokens": 5, "cache_read_input_tokens": 12}}),
        ({}, {"token_usage": {"prompt_tokens": 20, "completion_tokens": 5}}),
    ],
    ids=["langchain", "ollama", "cohere", "anthropic", "openai"],
)
@pytest.mark.parametrize("kind", ["text", "message"])
def test_counts_are_found_beside_the_text_or_message_that_does_not_hold_them(
    trace: Any, model: Make, kind: str, info: dict[str, Any], output: dict[str, Any]
) -> None:
    if kind == "text":
        answer = LLMResult(generations=[[Generation(text="x", generation_info=info)]], llm_output=output)
        Completing(answer=answer).invoke("Hi")
    else:
        model(AIMessage("x", response_metadata=info | output)).invoke("Hi")

    (facts,) = [dict(span.attributes) for span in trace.spans]
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (20, 5)
    assert isinstance(facts["gen_ai.usage.input_tokens"], int)


def test_the_model_that_answered_with_a_text_is_the_clients_to_say(
    trace: Any, tracer_provider: TracerProvider
) -> None:
    answer = LLMResult(generations=[[Generation(text="x")]], llm_output={"model_name": "asked"})
    Completing(answer=answer, telemetry=TelemetryHandler(tracer_provider=tracer_provider)).invoke("Hi")

    (facts,) = [dict(span.attributes) for span in trace.spans]
    assert facts["gen_ai.response.model"] == "answering-2026"


@pytest.mark.parametrize(
    ("said", "name"), [("/srv/models/llama.gguf", "chat llama.gguf"), ("http://10.0.0.7:8080", "chat")]
)
def test_where_a_model_lies_is_not_its_name(
    trace: Any, client: Client, monkeypatch: pytest.MonkeyPatch, said: str, name: str
) -> None:
    monkeypatch.setattr(Client, "_get_ls_params", lambda self, **_: {"ls_model_name": said})
    client.invoke("Hi")

    assert trace.tree() == [name]


@pytest.mark.parametrize(
    ("module", "name", "provider"),
    [
        ("langchain_huggingface.llms.huggingface_endpoint", "HuggingFaceEndpoint", "hugging_face"),
        ("langchain_community.chat_models.tongyi", "ChatTongyi", "tongyi"),
        ("app.models", "ChatOurs", "ours"),
    ],
)
def test_an_integration_that_names_no_provider_is_known_by_its_package(
    trace: Any, client: Client, module: str, name: str, provider: str
) -> None:
    kind = type(name, (Client,), {"__module__": module})
    kind(telemetry=client.telemetry, seen=[]).invoke("Hi")

    assert trace.facts("chat")["gen_ai.provider.name"] == provider


def test_counts_that_were_not_reported_are_absent(trace: Any, model: Make) -> None:
    model("x").invoke("Hi")

    assert not [key for key in trace.facts("chat") if key.startswith("gen_ai.usage")]


def test_an_answer_from_langchains_cache_used_no_tokens(trace: Any, chat_openai: Make) -> None:
    model = chat_openai(DETAILED, cache=InMemoryCache())
    model.invoke("Hi")
    trace.clear()
    model.invoke("Hi")

    facts = trace.facts("chat gpt-4.1-mini")
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (0, 0)
    assert "gen_ai.usage.cache_read.input_tokens" not in facts


@pytest.mark.parametrize(
    ("tells", "provider"),
    [("azure", "azure.ai.openai"), ("amazon_bedrock", "aws.bedrock"), ("xai", "x_ai"), ("ollama", "ollama")],
)
def test_providers_are_called_as_the_conventions_call_them(
    trace: Any, client: Client, monkeypatch: pytest.MonkeyPatch, tells: str, provider: str
) -> None:
    monkeypatch.setattr(
        Client, "_get_ls_params", lambda self, **_: {"ls_provider": tells, "ls_model_name": "m"}
    )
    client.invoke("Hi")

    assert trace.facts("chat m")["gen_ai.provider.name"] == provider


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "tool_calls"}, "tool_calls"),
        ({"stop_reason": "tool_use"}, "tool_calls"),
        ({"finish_reason": "function_call"}, "function_call"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stopReason": "end_turn"}, "stop"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        ({"done_reason": "load"}, "load"),
    ],
)
def test_why_a_model_stopped_is_said_in_the_words_of_openais_client(
    trace: Any, model: Make, metadata: dict[str, str], reason: str
) -> None:
    model(AIMessage("x", response_metadata=metadata)).invoke("Hi")

    assert trace.facts("chat")["gen_ai.response.finish_reasons"] == (reason,)


def test_tools_offered_have_a_version_that_their_order_does_not_change(trace: Any, model: Make) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    def halve(a: int) -> float:
        """Halve."""
        return a / 2

    model().bind_tools([add, halve]).invoke("Hi")
    model().bind_tools([halve, add]).invoke("Hi")
    model().bind_tools([add]).invoke("Hi")

    first, second, third = [dict(span.attributes) for span in trace.all("chat")]
    assert first["tupletrace.tools.names"] == ("add", "halve")
    assert first["tupletrace.tools.version"] == second["tupletrace.tools.version"]
    assert first["tupletrace.tools.version"] != third["tupletrace.tools.version"]


@pytest.mark.parametrize("how", WAYS)
def test_an_error_keeps_its_text_to_itself_and_is_raised_as_it_was(
    trace: Any, chat_openai: Make, how: str
) -> None:
    with pytest.raises(Exception, match="canary-in-the-error") as raised:
        call(chat_openai(status=429), how)

    span = trace.one("chat gpt-4.1-mini")
    kind = type(raised.value)
    assert trace.facts("chat gpt-4.1-mini")["error.type"] == f"{kind.__module__}.{kind.__qualname__}"
    assert span.attributes["http.response.status_code"] == 429
    assert span.status.status_code is StatusCode.ERROR
    assert "canary" not in span.to_json()


@pytest.mark.parametrize("how", WAYS)
def test_the_very_exception_of_the_model_reaches_the_user(trace: Any, client: Client, how: str) -> None:
    client.raises = error = KeyError("gone")

    with pytest.raises(KeyError) as raised:
        call(client, how)

    assert raised.value is error
    assert trace.facts("chat")["error.type"] == "KeyError"


def test_calls_of_one_generate_all_end_when_one_raises(trace: Any, client: Client) -> None:
    client.raises = KeyError("gone")

    with pytest.raises(KeyError):
        client.generate([[HumanMessage("a")], [HumanMessage("b")], [HumanMessage("c")]])

    assert [dict(span.attributes)["error.type"] for span in trace.all("chat")] == ["KeyError"] * 3


def test_content_stays_out_unless_asked_for(trace: Any, chat_openai: Make) -> None:
    chat_openai().bind(tools=[{"type": "function", "function": {"name": "canary_tool"}}]).invoke("canary")

    text = trace.one("chat gpt-4.1-mini").to_json()
    assert "Hello there" not in text
    assert text.count("canary") == text.count("canary_tool") == 1


def test_content_is_captured_when_asked_for(
    trace: Any,
    chat_openai: Make,
    instrumentor: Any,
    tracer_provider: TracerProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instrumentor.uninstrument()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor.instrument(tracer_provider=tracer_provider)
    chat_openai().invoke([("system", "Be kind"), ("human", "How are you?")])

    facts = trace.facts("chat gpt-4.1-mini")
    assert "Be kind" in facts["gen_ai.input.messages"]
    assert '"role":"user"' in facts["gen_ai.input.messages"].replace(" ", "")
    assert "Hello there" in facts["gen_ai.output.messages"]


def test_an_llm_that_completes_text_is_an_inference_too(trace: Any) -> None:
    FakeListLLM(responses=["one", "two"]).generate(["a", "b"])
    list(FakeStreamingListLLM(responses=["three"]).stream("c"))

    assert trace.tree() == ["text_completion"] * 3


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "bound"])
def test_a_model_called_by_itself_belongs_to_the_thread_that_it_is_given(
    trace: Any, model: Any, how: str
) -> None:
    asked: Any = model()
    config: Any = {"configurable": {"thread_id": "t-1"}}

    async def stream() -> None:
        async for _ in asked.astream("Hi", config):
            pass

    match how:
        case "invoke":
            asked.invoke("Hi", config)
        case "ainvoke":
            asyncio.run(asked.ainvoke("Hi", config=config))
        case "stream":
            list(asked.stream("Hi", config))
        case "astream":
            asyncio.run(stream())
        case _:
            asked.with_config(config).invoke("Hi")
    asked.invoke("Another")

    first, second = (dict(span.attributes) for span in trace.all("chat"))
    assert (first["gen_ai.conversation.id"], "gen_ai.conversation.id" in second) == ("t-1", False)


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://gateway.example.com/v1", "openai"),
    ],
)
def test_behind_openais_api_the_provider_is_who_answers_at_the_address(
    trace: Any, chat_openai: Any, address: str, provider: str
) -> None:
    chat_openai(base_url=address).invoke("Hi")

    assert trace.facts("chat gpt-4.1-mini")["gen_ai.provider.name"] == provider


@pytest.mark.parametrize("variable", ["OPENAI_API_BASE", "OPENAI_BASE_URL"])
def test_the_address_may_be_the_environments(
    trace: Any, chat_openai: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "https://api.groq.com/openai/v1")
    chat_openai().invoke("Hi")
    chat_openai(base_url="https://api.openai.com/v1").invoke("Hi")

    providers = [span.attributes["gen_ai.provider.name"] for span in trace.all("chat gpt-4.1-mini")]
    assert providers == ["groq", "openai"]
