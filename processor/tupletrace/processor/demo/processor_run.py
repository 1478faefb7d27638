"""The processor of the demo, as a subprocess of its own."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_START_TIMEOUT_S: Final = 30
_STOP_TIMEOUT_S: Final = 30
_SAYS: Final = "tupletrace: "
_READY: Final = re.compile(r"ready grpc=(\S+) http=(\S+)")


class NotStarted(RuntimeError):
    """The processor did not come up; the message is what it said."""


@dataclass(frozen=True)
class Processor:
    """Where a running processor listens."""

    otlp: str
    http: str


@contextmanager
def processor(database: Path) -> Generator[Processor]:
    """Run ``tupletrace serve`` on free ports until the block ends, then let it store what it has.

    Raises:
        NotStarted: it said why in one line, or nothing in time.
    """
    command = [sys.executable, "-m", "tupletrace.processor.cli", "serve", "--db", str(database)]
    command += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            # What the caller set is for a processor of their own, whose ports and tokens it would take.
            env={key: value for key, value in os.environ.items() if not key.startswith("TUPLETRACE_")},
        ) as process,
    ):
        try:
            yield _ready(process, errors)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(process: subprocess.Popen[str], errors: IO[str]) -> Processor:
    assert process.stdout  # noqa: S101
    timer = threading.Timer(_START_TIMEOUT_S, process.kill)
    timer.start()
    found = _READY.search(process.stdout.readline())
    timer.cancel()
    if found is None:
        process.terminate()
        process.wait(_STOP_TIMEOUT_S)
        errors.seek(0)
        said = errors.read().strip().splitlines() or ["the processor did not start"]
        # Libraries may have their last words after its own.
        raise NotStarted(next((line for line in said if line.startswith(_SAYS)), said[-1]))
    return Processor(otlp=f"http://{found[1]}", http=f"http://{found[2]}")
