"""Who owns a DuckDB file: one process, by ``flock`` on a side file that says who and where it answers.

DuckDB's own lock is lost by any open and close of the file in the process that holds it.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self
from weakref import WeakSet

from tupletrace.processor import journal


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that has the database open, and the address (``host:port``) of its SQL endpoint if any.

    ``token`` lets the user of the file ask there; with ``certificate`` (a PEM file) it speaks TLS.
    """

    pid: int
    http: str | None
    token: str | None = None
    certificate: str | None = None


class DatabaseInUse(RuntimeError):
    """Another process owns the database; ``owner`` says which."""

    def __init__(self, database: Path, owner: Owner) -> None:
        super().__init__(f"{database} is in use by process {owner.pid}")
        self.owner = owner


class DatabaseLock:
    """Holds the ownership of a database file until it is released or the process ends, however it ends.

    A fork has no part in it: it would hold it on when its parent has ended.
    """

    def __init__(self, database: Path) -> None:
        """Take the ownership, and mend the journal if the one before was killed.

        Raises:
            DatabaseInUse: another process has it.
            OSError: the folder cannot be written.
        """
        path = database.with_name(database.name + ".lock")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(os.pread(file, 4096, 0))
            os.close(file)
            raise DatabaseInUse(database, owner) from None
        self._file: int | None = file
        _locks.add(self)
        self.announce(None)
        journal.mend(journal.journal_folder(database))

    def announce(self, http: str | None, token: str | None = None, certificate: Path | None = None) -> None:
        """Say where this process answers SQL, and how this user asks there."""
        said = Owner(os.getpid(), http, token, certificate and str(certificate))
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(asdict(said)).encode(), 0)

    def release(self) -> None:
        """Give the ownership up."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _owner(raw: bytes) -> Owner:
    try:
        return Owner(**json.loads(raw))
    except (ValueError, TypeError):
        # The owner is between truncating and writing.
        return Owner(0, None)


_locks: Final[WeakSet[DatabaseLock]] = WeakSet()


def _in_a_fork() -> None:
    for one in list(_locks):
        one.release()


os.register_at_fork(after_in_child=_in_a_fork)
