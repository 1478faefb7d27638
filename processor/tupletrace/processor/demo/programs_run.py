"""The runs of the demo: which program, with what, and one of them as a subprocess."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path(__file__).parent / "programs"
_TIMEOUT_S: Final = 300
_OURS: Final = ("OTEL_", "TUPLETRACE_", "LANGSMITH_", "LANGCHAIN_")
"""What the caller set for programs of their own would send the demo's spans elsewhere."""
_LAUNCH: Final = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"


@dataclass(frozen=True)
class Run:
    """One program with its arguments; ``varies`` says what sets it apart from its other runs."""

    program: str
    varies: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def service(self) -> str:
        """Its OTEL_SERVICE_NAME."""
        return self.program.replace("_", "-")


RUNS: Final = (
    Run("langchain_rag", "2 documents, gpt-4o-mini", ("2", "gpt-4o-mini")),
    Run("langchain_rag", "4 documents, gpt-4.1-mini", ("4", "gpt-4.1-mini")),
    Run("llamaindex_query", "1 document", ("1", "gpt-4o-mini")),
    Run("llamaindex_query", "3 documents", ("3", "gpt-4o-mini")),
    Run("langgraph_agent", "gpt-4.1-mini", ("gpt-4.1-mini",)),
    Run("llamaindex_agent", "gpt-4o-mini", ("gpt-4o-mini",)),
    Run("support_agent", "prompt v1", environment={"PROMPT_VERSION": "v1"}),
    Run("support_agent", "prompt v2", environment={"PROMPT_VERSION": "v2"}),
)


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    run: Run
    exit_code: int
    errors: str = ""

    @property
    def last_errors(self) -> str:
        """The last lines of stderr."""
        return "\n".join(self.errors.strip().splitlines()[-8:])


class Runner:
    """Starts programs under ``opentelemetry-instrument`` and can stop those that still run."""

    def __init__(self, otlp: str, credentials: Mapping[str, str]) -> None:
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(_OURS)},
            **credentials,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
            # The processor is there, however slow the machine: every span is to be in the report.
            "TUPLETRACE_EXIT_SECONDS": "60",
            # A proxy would not find this machine.
            "NO_PROXY": _no_proxy("NO_PROXY"),
            "no_proxy": _no_proxy("no_proxy"),
        }
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __call__(self, run: Run) -> Result:
        """Run one program to its end."""
        environment = {**self._environment, **run.environment, "OTEL_SERVICE_NAME": run.service}
        command = [*_instrument(), sys.executable, f"{run.program}.py", *run.arguments]
        with self._lock:
            if self._stopped:
                return Result(run, 1, "not started")
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                cwd=PROGRAMS,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C in the terminal is for the demo alone, which stops them in order.
                start_new_session=True,
            )
            self._running.add(process)
        try:
            _, errors = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            errors += f"\nstopped after {_TIMEOUT_S} seconds"
        finally:
            with self._lock:
                self._running.discard(process)
        return Result(run, process.returncode, errors)

    def stop(self) -> None:
        """End what still runs and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def _no_proxy(name: str) -> str:
    return ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def _instrument() -> list[str]:
    found = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-c", _LAUNCH]
