"""Where a test may end the process as the kernel does: ``arm("journal.committed", 3)``, at the third pass.

Nothing arms one but ``benchmarks/kills.py``; otherwise a pass is one comparison.
"""

import os
import signal

STAGES = (
    "journal.begun",
    "journal.written",
    "journal.committed",
    "journal.compressed",
    "index.read",
    "database.begun",
    "database.written",
    "database.committed",
    "database.closing",
)
"""In the order in which a request passes them."""
JOB_STAGES = (
    "snapshot.held",
    "snapshot.copied",
    "compact.copied",
    "database.replacing",
    "database.replaced",
    "drop.journal",
    "drop.database",
    "rebuild.made",
    "rebuild.kept",
    "forget.dropped",
)
"""What a database is done to by hand passes these as well."""
_armed: list[str] = []


def arm(stage: str, passes: int) -> None:
    """End this process with SIGKILL when it passes the stage for the ``passes``-th time."""
    _armed[:] = [stage] * passes


def passing(stage: str) -> None:
    """Say that a stage is passed."""
    if _armed and _armed[-1] == stage:
        _armed.pop()
        if not _armed:
            os.kill(os.getpid(), signal.SIGKILL)
