"""A call that fails says how, and nothing of its content."""

from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode

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


def test_the_client_s_own_retries_are_one_call_and_one_span(
    provider: Any, instrumented: None, completion: dict[str, Any], span: Any
) -> None:
    provider.answers_json({"error": {"message": "busy"}}, status=503, **{"retry-after-ms": "1"})
    provider.answers_json(completion)

    provider.client(max_retries=1).chat.completions.create(model="m", messages=QUESTION)

    assert len(provider.requests) == 2
    assert span().status.status_code is StatusCode.UNSET
    assert "error.type" not in span().attributes
