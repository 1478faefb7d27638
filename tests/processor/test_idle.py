"""What a processor takes while nobody sends and nobody asks."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export import SpanExportResult

MOST = 150 * 2**20


def _memory(processor: Any) -> int:
    (said,) = [
        line
        for line in Path(f"/proc/{processor.process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(said.split()[1]) * 1024


def test_an_idle_processor_holds_less_than_150_mb_before_and_after_its_work(
    start_processor: Callable[..., Any], until: Any
) -> None:
    """And what it gave back was not needed: it takes spans, answers, and ends cleanly."""
    processor = start_processor()
    until(lambda: _memory(processor) < MOST)
    assert processor.export(9) is SpanExportResult.SUCCESS
    until(lambda: processor.sql("SELECT count(*) AS traces FROM traces") == [{"traces": 9}])
    until(lambda: _memory(processor) < MOST)
    assert processor.stop() == ""


def test_an_answer_says_when_it_was_given(start_processor: Callable[..., Any]) -> None:
    """However long nobody has asked: nothing wakes up for the time alone."""
    processor = start_processor()
    for _ in range(2):
        before = datetime.now(UTC).replace(microsecond=0)
        said = processor.request("/healthz").headers["date"]
        assert before <= parsedate_to_datetime(said) <= datetime.now(UTC)
