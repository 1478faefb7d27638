"""A call that fails says how, and nothing of its content."""

from operator import attrgetter
from typing import Any

import openai
import pydantic
import pytest
from opentelemetry.trace import StatusCode

PARSE = "chat.completions.parse"
if not hasattr(openai.OpenAI(api_key="k").chat.completions, "parse"):  # before 1.92
    PARSE = "beta.chat.completions.parse"
QUESTION = [{"role": "user", "content": "Capital of France?"}]


def test_a_response_that_failed_on_the_server_is_an_error_though_http_succeeded(
    provider: Any, program: Any, response: dict[str, Any], span: Any
) -> None:
    error = {"code": "server_error", "message": "a secret of the prompt"}
    response |= {"status": "failed", "error": error, "output": [], "usage": None}
    provider.answers_json(response)

    program.call("responses.create", model="m", input="Capital of France?")

    assert span().status.status_code is StatusCode.ERROR
    assert span().status.description is None
    assert span().attributes["error.type"] == "server_error"
    assert span().attributes["gen_ai.response.id"] == "resp_1"


def test_an_http_error_is_the_span_s_error_and_says_nothing_of_the_content(
    provider: Any, program: Any, span: Any
) -> None:
    provider.answers_json({"error": {"message": "your prompt 'a secret' ...", "code": "x"}}, status=429)

    with pytest.raises(openai.RateLimitError, match="a secret"):
        program.call("chat.completions.create", model="m", messages=QUESTION)

    assert span().status.status_code is StatusCode.ERROR
    assert span().attributes["error.type"] == "openai.RateLimitError"
    assert span().attributes["http.response.status_code"] == 429
    assert "secret" not in span().to_json()


def test_a_connection_that_fails_is_the_span_s_error(provider: Any, program: Any, span: Any) -> None:
    provider.refuses()

    with pytest.raises(openai.APIConnectionError):
        program.call("embeddings.create", model="m", input="text")

    assert span().attributes["error.type"] == "openai.APIConnectionError"
    assert "http.response.status_code" not in span().attributes


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_s_own_retries_are_one_call_and_counted(
    provider: Any,
    patient_program: Any,
    completion: dict[str, Any],
    chat_chunks: list[Any],
    span: Any,
    stream: bool,
) -> None:
    provider.answers_json({"error": {"message": "busy"}}, status=503, **{"retry-after-ms": "1"})
    provider.answers_json({"error": {"message": "busy"}}, status=429, **{"retry-after-ms": "1"})
    if stream:
        provider.answers_stream(chat_chunks)
        patient_program.read("chat.completions.create", model="m", messages=QUESTION, stream=True)
    else:
        provider.answers_json(completion)
        patient_program.call("chat.completions.create", model="m", messages=QUESTION)

    assert len(provider.requests) == 3
    assert span().status.status_code is StatusCode.UNSET
    assert span().attributes["http.request.resend_count"] == 2
    assert span().attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert "error.type" not in span().attributes


def test_retries_that_all_fail_are_counted_beside_the_last_error(
    provider: Any, patient_program: Any, span: Any
) -> None:
    provider.answers_json({"error": {"message": "busy"}}, status=500, **{"retry-after-ms": "1"})

    with pytest.raises(openai.InternalServerError):
        patient_program.call("responses.create", model="m", input="?")

    assert len(provider.requests) == 3
    assert span().attributes["http.request.resend_count"] == 2
    assert span().attributes["http.response.status_code"] == 500


def test_a_retry_outside_of_a_traced_call_is_no_fact_of_the_program_s_span(
    provider: Any, patient_program: Any, tracer_provider: Any, span: Any
) -> None:
    provider.answers_json({"error": {"message": "busy"}}, status=500, **{"retry-after-ms": "1"})
    provider.answers_json({"object": "list", "data": []})

    with tracer_provider.get_tracer("app").start_as_current_span("handle request"):
        patient_program.call("models.retrieve", model="m")

    assert dict(span().attributes) == {}


class Answer(pydantic.BaseModel):
    city: str


@pytest.mark.parametrize("why", ["length", "content_filter", "stop"])
def test_what_parse_refuses_has_been_answered_and_paid_for(
    provider: Any, program: Any, completion: dict[str, Any], facts: Any, why: str
) -> None:
    completion["choices"][0]["finish_reason"] = why
    provider.answers_json(completion)

    with pytest.raises((openai.OpenAIError, pydantic.ValidationError)):
        program.call(PARSE, model="m", messages=QUESTION, response_format=Answer)

    assert facts()["gen_ai.response.finish_reasons"] == (why,)
    assert (facts()["gen_ai.response.id"], facts()["gen_ai.usage.output_tokens"]) == ("chatcmpl-1", 7)
    assert facts()["error.type"].endswith("Error")


def test_a_stream_that_is_left_by_another_calls_error_keeps_its_own_facts(
    provider: Any, instrumented: None, completion: dict[str, Any], chat_chunks: list[Any], spans: Any
) -> None:
    completion["choices"][0]["finish_reason"] = "length"
    provider.answers_stream(chat_chunks)
    provider.answers_json(completion)
    client = provider.client()

    def answered_within_a_stream() -> None:
        with client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
            next(stream)
            attrgetter(PARSE)(client)(model="m", messages=QUESTION, response_format=Answer)

    with pytest.raises(openai.LengthFinishReasonError):
        answered_within_a_stream()

    left = spans.get_finished_spans()[-1]
    assert left.attributes["error.type"] == "openai.LengthFinishReasonError"
    assert "gen_ai.usage.input_tokens" not in left.attributes


def test_a_request_that_never_left_says_nothing_of_an_answer(provider: Any, program: Any, facts: Any) -> None:
    with pytest.raises(TypeError):
        program.call("chat.completions.create", model="m", messages=[{"role": "user", "content": object()}])

    assert not [name for name in facts() if "response" in name or "usage" in name]
