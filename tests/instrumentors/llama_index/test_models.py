"""Models of every provider: who is asked, and the tokens in whatever words the provider reports them."""

from types import SimpleNamespace as Object
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM

pytestmark = pytest.mark.usefixtures("instrumented")

ASK = [ChatMessage(role="user", content="Hello")]
TEN_AND_FIVE = {"input": 10, "output": 5}


def model(module: str, name: str, *raws: Any, counts: Any = None) -> Any:
    """A model of an integration's module (or of the user's), each chunk or answer of which is a raw one."""

    def answer(raw: Any) -> ChatResponse:
        message = ChatMessage(role="assistant", content="Hi")
        return ChatResponse(message=message, delta="Hi", raw=raw, additional_kwargs=counts or {})

    class Model(CustomLLM):
        model: str = "m-1"

        @classmethod
        def class_name(cls) -> str:
            return name

        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name="m-1", is_chat_model=True)

        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return answer(raws[-1])

        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return (answer(raw) for raw in raws)

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text="Hi", raw=raws[-1])

        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return (CompletionResponse(text="Hi", delta="Hi", raw=raw) for raw in raws)

    Model.__module__ = module
    return Model()


def counted(span: Any) -> dict[str, int]:
    """Every count on a span, by a short name."""
    short = {
        "gen_ai.usage.input_tokens": "input",
        "gen_ai.usage.output_tokens": "output",
        "gen_ai.usage.cache_read.input_tokens": "read",
        "gen_ai.usage.cache_write.input_tokens": "written",
        "gen_ai.usage.reasoning.output_tokens": "reasoning",
        "tupletrace.usage.cache_write_5m.input_tokens": "written for 5 minutes",
        "tupletrace.usage.cache_write_1h.input_tokens": "written for 1 hour",
    }
    return {short[key]: value for key, value in span.attributes.items() if ".usage." in key}


ANTHROPIC = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 2,
}
CACHED = {"input": 15, "output": 5, "read": 3, "written": 2}
ANSWERS: dict[str, tuple[str, Any, dict[str, int], str | None]] = {
    "openai": (
        "openai",
        {
            "choices": [{"index": 0, "finish_reason": "length"}],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        },
        TEN_AND_FIVE | {"read": 4, "written": 2, "reasoning": 0},
        "length",
    ),
    "anthropic": ("anthropic", {"stop_reason": "tool_use", "usage": ANTHROPIC}, CACHED, "tool_calls"),
    "anthropic, cache writes by lifetime": (
        "anthropic",
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 3,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
            }
        },
        CACHED | {"written for 5 minutes": 1, "written for 1 hour": 1},
        None,
    ),
    "bedrock converse": (
        "bedrock_converse",
        {
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 10,
                "outputTokens": 5,
                "cacheReadInputTokens": 3,
                "cacheWriteInputTokens": 2,
            },
        },
        CACHED,
        "stop",
    ),
    "bedrock, titan": (
        "bedrock",
        {"inputTextTokenCount": 10, "results": [{"tokenCount": 5, "completionReason": "FINISH"}]},
        TEN_AND_FIVE,
        "stop",
    ),
    "bedrock, llama": (
        "bedrock",
        {"prompt_token_count": 10, "generation_token_count": 5, "stop_reason": "stop"},
        TEN_AND_FIVE,
        "stop",
    ),
    "gemini": (
        "google_genai",
        {
            "finish_reason": Object(value="MAX_TOKENS"),
            "usage_metadata": {
                "prompt_token_count": 8,
                "tool_use_prompt_token_count": 2,
                "candidates_token_count": 4,
                "thoughts_token_count": 1,
                "cached_content_token_count": 3,
            },
        },
        TEN_AND_FIVE | {"read": 3, "reasoning": 1},
        "length",
    ),
    "ollama": (
        "ollama",
        {"done": True, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5},
        TEN_AND_FIVE,
        "stop",
    ),
    "mistral": (
        "mistralai",
        Object(
            choices=[Object(index=0, finish_reason="stop")],
            usage=Object(prompt_tokens=10, completion_tokens=5),
        ),
        TEN_AND_FIVE,
        "stop",
    ),
    "cohere": (
        "cohere",
        {
            "finish_reason": "COMPLETE",
            "meta": {
                "billed_units": {"input_tokens": 10.0, "output_tokens": 5.0},
                "tokens": {"input_tokens": 70.0, "output_tokens": 5.0},
            },
        },
        TEN_AND_FIVE,
        "stop",
    ),
    "deepseek": (
        "deepseek",
        {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 3}},
        TEN_AND_FIVE | {"read": 3},
        None,
    ),
    "groq": (
        "groq",
        Object(usage=None, x_groq=Object(usage=Object(prompt_tokens=10, completion_tokens=5))),
        TEN_AND_FIVE,
        None,
    ),
    "watsonx": (
        "ibm",
        {"results": [{"input_token_count": 10, "generated_token_count": 5, "stop_reason": "eos_token"}]},
        TEN_AND_FIVE,
        "stop",
    ),
    "a gateway that writes both providers' words": (
        "litellm",
        {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 3}},
        TEN_AND_FIVE | {"read": 3},
        None,
    ),
    "a local model that counts nothing": ("huggingface", {"model_output": [[1]]}, {}, None),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["chat", "stream_chat"])
@pytest.mark.parametrize(("package", "raw", "expected", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_tokens_and_why_it_stopped_are_read_in_every_providers_words(
    named: Any, package: str, raw: Any, expected: dict[str, int], reason: str | None, streamed: bool
) -> None:
    asked = model(f"llama_index.llms.{package}.base", "Any_LLM", {"text": "H"}, raw, {"text": "i"}, raw)
    _ = list(asked.stream_chat(ASK)) if streamed else asked.chat(ASK)
    (span,) = named("chat m-1")
    assert counted(span) == expected
    assert span.attributes.get("gen_ai.response.finish_reasons") == (None if reason is None else (reason,))


def test_the_events_of_an_anthropic_stream_add_up_to_one_answer(named: Any) -> None:
    first = {"type": "message_start", "message": {"id": "msg_1", "model": "c-1", "usage": ANTHROPIC}}
    text = {"type": "content_block_delta", "delta": {"text": "Hi"}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
    list(model("llama_index.llms.anthropic.base", "Anthropic_LLM", text, first, text, last).stream_chat(ASK))
    (span,) = named("chat m-1")
    assert counted(span) == CACHED | {"output": 9}
    assert span.attributes["gen_ai.response.id"] == "msg_1"
    assert span.attributes["gen_ai.response.model"] == "c-1"
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_counts_that_an_integration_takes_out_of_the_answer_are_found_beside_it(named: Any) -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    model("llama_index.llms.nvidia.base", "NVIDIA", None, counts=counts).chat(ASK)
    (span,) = named("chat m-1")
    assert counted(span) == TEN_AND_FIVE


@pytest.mark.parametrize(
    ("module", "class_name", "provider"),
    [
        ("llama_index.llms.azure_openai.base", "anything", "azure.ai.openai"),
        ("llama_index.llms.vertex.base", "anything", "gcp.vertex_ai"),
        ("llama_index.llms.some_new_one.base", "anything", "some_new_one"),
        ("app", "openai_llm", "openai"),
        ("app", "azure_openai_llm", "azure.ai.openai"),
        ("app", "Anthropic_LLM", "anthropic"),
        ("app", "Bedrock_Converse_LLM", "aws.bedrock"),
        ("app", "MistralAI_LLM", "mistral_ai"),
        ("app", "ollama_llm", "ollama"),
        ("app", "HuggingFace_LLM", "huggingface"),
        ("app", "GoogleGenAI", "gcp.gemini"),
        ("app", "custom_llm", "Model"),
    ],
)
def test_the_provider_is_the_integrations_or_the_one_that_the_class_calls_itself(
    named: Any, module: str, class_name: str, provider: str
) -> None:
    model(module, class_name, None).chat(ASK)
    (span,) = named("chat m-1")
    assert span.attributes["gen_ai.provider.name"] == provider
