"""A batch's results are spans once its file is fetched: what a model answered there is paid for, too."""

import json
import threading
from typing import Any

import pytest

from tupletrace.instrumentors.openai import batches

CANARY = "kanarienvogel"
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4.1-2025-04-14",
    "service_tier": "default",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": CANARY}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-5-2025-08-07",
    "output": [],
    "usage": {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}},
}
EMBEDDINGS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
ERROR = {"error": {"message": CANARY, "type": "invalid_request_error", "code": "context_length_exceeded"}}


def line(number: int, body: Any, status: int = 200) -> dict[str, Any]:
    response = None if body is None else {"status_code": status, "request_id": f"req_{number}", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": f"mine-{number}", "response": response, "error": None}


def written(*lines: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in lines)


RESULTS = written(line(1, CHAT), line(2, RESPONSE), line(3, EMBEDDINGS), line(4, ERROR, 400), line(5, None))


@pytest.fixture
def results(provider: Any) -> Any:
    """Let the provider answer with a file."""

    def answer(body: str) -> None:
        headers = {"content-type": "application/octet-stream"}
        provider.answers.append(lambda _: provider.http.Response(200, content=body.encode(), headers=headers))

    return answer


def ended(spans: Any) -> list[dict[str, Any]]:
    for thread in threading.enumerate():
        if thread.name == batches.THREAD:
            thread.join()
    return [dict(span.attributes) for span in spans.get_finished_spans()]


def test_each_result_is_a_span_with_the_facts_of_its_answer(results: Any, program: Any, spans: Any) -> None:
    results(RESULTS)

    file = program.call("files.content", file_id="file_1")

    assert file.text == RESULTS
    chat, response, embeddings, error = ended(spans)
    assert chat == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "openai.response.service_tier": "batch",
        "server.address": "api.openai.com",
        "server.port": 443,
        "tupletrace.batch.request.id": "batch_req_1",
    }
    assert response["gen_ai.response.id"] == "resp_1"
    assert response["gen_ai.usage.reasoning.output_tokens"] == 1
    assert embeddings["gen_ai.operation.name"] == "embeddings"
    assert embeddings["gen_ai.usage.input_tokens"] == 5
    assert error["error.type"] == "context_length_exceeded"
    assert CANARY not in str(ended(spans))


def test_a_result_is_of_the_time_at_which_the_model_answered(results: Any, program: Any, spans: Any) -> None:
    seconds = {"created_at": 1_790_000_000, "completed_at": 1_790_000_060}
    results(written(line(1, CHAT | {"created": 1_780_000_000}), line(2, RESPONSE | seconds)))

    program.call("files.content", file_id="file_1")

    ended(spans)
    times = [(span.start_time // 10**9, span.end_time // 10**9) for span in spans.get_finished_spans()]
    assert times == [(1_780_000_000, 1_780_000_000), (1_790_000_000, 1_790_000_060)]


@pytest.mark.parametrize("way", ["with_raw_response", "with_streaming_response"])
def test_however_the_file_is_read(
    provider: Any, instrumented: None, results: Any, spans: Any, way: str
) -> None:
    results(RESULTS)
    files = provider.client().files

    if way == "with_raw_response":
        assert files.with_raw_response.content("file_1").text == RESULTS
    else:
        with files.with_streaming_response.content("file_1") as streamed:
            assert b"".join(streamed.iter_bytes()).decode() == RESULTS

    assert len(ended(spans)) == 4


def test_a_file_fetched_again_is_not_told_of_again(results: Any, program: Any, spans: Any) -> None:
    results(RESULTS)

    program.call("files.content", file_id="file_1")
    program.call("files.content", file_id="file_1")

    assert len(ended(spans)) == 4


def test_another_process_tells_of_it_in_the_same_trace_so_that_it_counts_once(
    results: Any, program: Any, spans: Any
) -> None:
    results(RESULTS)

    program.call("files.content", file_id="file_1")
    ended(spans)
    batches._told.clear()
    program.call("files.content", file_id="file_1")
    ended(spans)
    program.call("files.content", file_id="file_2")
    ended(spans)

    traces = [span.context.trace_id for span in spans.get_finished_spans()]
    assert len(set(traces[:8])) == 1
    assert len(set(traces)) == 2


@pytest.mark.parametrize("body", ["", "{}", "[1]", "a,b\n1,2\n", '{"messages": []}\n' * 3, "{" * 100, "\n\n"])
def test_any_other_file_is_no_batch(results: Any, program: Any, spans: Any, body: str) -> None:
    results(body)

    assert program.call("files.content", file_id="file_1").text == body

    assert ended(spans) == []


def test_azure_s_results_have_no_id_of_their_own(
    provider: Any, instrumented: None, results: Any, spans: Any
) -> None:
    one = line(1, CHAT)
    del one["id"]
    results(written(one))

    provider.client(base_url="https://mine.openai.azure.com/openai/v1").files.content("file_1")

    (facts,) = ended(spans)
    assert facts["gen_ai.provider.name"] == "azure.ai.openai"
    assert facts["tupletrace.batch.request.id"] == "mine-1"
