"""A program's exit: everything is delivered to a receiver that answers; one that does not is not waited for.

SIGKILL, a SIGTERM from outside without a handler, and `os._exit` run no Python: nothing is delivered then.
"""

import signal
import subprocess
from collections import Counter
from typing import Any

import pytest

MUCH_LESS_THAN_THE_EXPORTER_S = 20
"""The bound is one second; the exporter alone, whose time is set to 100 s here, takes that."""

ENDINGS = {
    "the last line": ("span('work')", 0),
    "sys.exit": ("span('work'); sys.exit(3)", 3),
    "an unhandled exception": ("span('work'); raise LookupError", 1),
    "sys.exit in a thread": (
        "import threading; thread = threading.Thread(target=lambda: (span('work'), sys.exit(3))); "
        "thread.start(); thread.join()",
        0,
    ),
    "a thread that outlives the main one": (
        "import threading; main = threading.main_thread(); "
        "threading.Thread(target=lambda: (main.join(), span('work'))).start()",
        0,
    ),
    "SIGTERM, raised after the program's own shutdown": (
        "import signal; span('work'); signal.raise_signal(signal.SIGTERM)",
        -signal.SIGTERM,
    ),
    "an exit handler of the program's": ("import atexit; atexit.register(span, 'work')", 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a15_spans_are_delivered_however_the_program_ends(program: Any, receiver: Any, ending: str) -> None:
    """A15. The exit code is the program's own."""
    source, code = ENDINGS[ending]

    result = program(source).run(receiver.endpoint)

    assert Counter({"work": 1}) == receiver.names
    assert code == result.code


def test_a15_traces_metrics_and_logs_are_all_delivered_at_exit(program: Any, receiver: Any) -> None:
    """A15. What is delivered does not depend on the order in which the SDK shuts its three signals down."""
    source = """
import logging
from opentelemetry import metrics
span("work")
metrics.get_meter("app").create_counter("app.calls").add(1)
logging.getLogger("app").warning("hello")
end()
"""

    program(source).run(
        receiver.endpoint, OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true", PYTHONWARNINGS="ignore"
    )

    assert Counter({"work": 1}) == receiver.names
    assert "app.calls" in receiver.metrics
    assert receiver.log_records == ["hello"]


def test_a15_a_large_queue_is_delivered_at_exit(program: Any, receiver: Any) -> None:
    """A15. 20 MB are sent in requests below the 4 MiB that gRPC receivers accept; the receiver here does."""
    source = "for number in range(2000): span(f'work {number}', text='x' * 10_000)\nend()"

    result = program(source).run(receiver.endpoint)

    assert len(receiver.names) == 2000
    assert result.errors == ""


@pytest.mark.parametrize(
    "receiving", ["refused", "silent", "slow", "unknown host", "no TLS", "HTTP 400", "HTTP 413", "HTTP 503"]
)
def test_a16_a_program_without_a_receiver_ends_as_it_does_without_us(
    program: Any, nobody: dict[str, str], receiver: Any, receiving: str
) -> None:
    """A15, A16. Same output and exit code, a second later at most, a line that says what to do."""
    source = """
import logging
from opentelemetry import metrics
for number in range(2000): span("work")
metrics.get_meter("app").create_counter("app.calls").add(1)
print("answer", 42)
end()
sys.exit(7)
"""
    receiver.answer.clear()
    endpoint = receiver.endpoint if receiving == "slow" else nobody[receiving]
    protocol = "http/protobuf" if receiving.startswith("HTTP") else "grpc"
    app = program(source)

    alone = app.run(instrumented=False)
    result = app.run(
        endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_TIMEOUT="100",
        TUPLETRACE_EXIT_SECONDS="",
    )

    assert (alone.out, alone.code) == (result.out, result.code) == ("answer 42\n", 7)
    assert result.exit_s < MUCH_LESS_THAN_THE_EXPORTER_S
    # gRPC's own core writes of TLS what it likes.
    said = [line for line in result.errors.splitlines() if "ssl_transport_security" not in line]
    # Who refuses at once is named at once; the end says what was lost in all.
    assert len(said) <= (2 if receiving in {"HTTP 400", "HTTP 413"} else 1)
    line = said[-1]
    assert "`tupletrace serve`" in line
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line
    assert "`tupletrace doctor`" in line
    assert "lost so far: 2000 spans" in line


def test_a15_a_program_that_made_no_telemetry_says_nothing(program: Any, nobody: dict[str, str]) -> None:
    """A15. No span, no line."""
    result = program("end()").run(nobody["refused"], TUPLETRACE_EXIT_SECONDS="")

    assert (result.out, result.errors, result.code) == ("", "", 0)


def test_a15_the_exit_waits_longer_where_it_is_told_to(program: Any, receiver: Any) -> None:
    """A15. `TUPLETRACE_EXIT_SECONDS` is for receivers that answer late."""
    app = program("span('work')\nend()")
    receiver.answer.clear()

    process = app.start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "TUPLETRACE_EXIT_SECONDS": "90"})
    assert receiver.requested.wait(60)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    receiver.answer.set()
    result = app.finish(process)

    assert Counter({"work": 1}) == receiver.names
    assert result.errors == ""


def test_a15_ctrl_c_ends_the_wait_without_a_traceback(program: Any, receiver: Any) -> None:
    """A15. Who presses Ctrl-C while we wait does not wait, nor read of us."""
    app = program("span('work')\nend()")
    receiver.answer.clear()

    process = app.start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "TUPLETRACE_EXIT_SECONDS": "90"})
    assert receiver.requested.wait(60)
    process.send_signal(signal.SIGINT)
    result = app.finish(process)

    assert result.code == 0
    assert "Traceback" not in result.errors
    assert result.exit_s < 60


def test_a15_sigterm_is_not_delayed_and_a_handler_of_the_programs_delivers(
    program: Any, receiver: Any
) -> None:
    """A15. Without a handler SIGTERM ends the program at once; with one that exits, all is sent."""
    source = """
import signal
if os.environ["HANDLER"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
span("work")
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""
    for handler, code in {"": -signal.SIGTERM, "yes": 3}.items():
        app = program(source)
        process = app.start({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "HANDLER": handler})
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert app.finish(process).code == code
    assert Counter({"work": 1}) == receiver.names
