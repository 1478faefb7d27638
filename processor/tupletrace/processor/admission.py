"""Whether a request may come in now: bytes under way and the free disk are bounded."""

import math
import os
import threading
from pathlib import Path
from typing import Final, Self

from tupletrace.processor import metrics
from tupletrace.processor.refusal import DiskReserve, Overloaded

_LEAST_RESERVE: Final = 2**30
_RESERVED_SHARE: Final = 20
"""A twentieth of the disk, or 1 GiB where that is more."""


class Admission:
    """Bytes of all requests that are being received or wait for the journal, and what is left of the disk."""

    def __init__(self, folder: Path, most_bytes: int, reserve: int | None = None) -> None:
        """Watch the disk of ``folder``; ``reserve`` bytes of it stay free (default: 5 %, at least 1 GiB)."""
        self._folder, self._most = folder, most_bytes
        self._bytes = 0
        self._changing = threading.Lock()
        disk = os.statvfs(folder)
        default = max(_LEAST_RESERVE, disk.f_blocks * disk.f_frsize // _RESERVED_SHARE)
        self._reserve = default if reserve is None else reserve
        metrics.observe("in_flight_bytes", lambda: self._bytes)
        metrics.observe("in_flight_limit_bytes", lambda: self._most)
        metrics.observe("disk_free_bytes", self._said_free)
        metrics.observe("disk_reserve_bytes", lambda: self._reserve)

    def enter(self, expected: int = 0) -> "Held":
        """Let one request in, which says that it has ``expected`` bytes.

        Raises:
            DiskReserve, Overloaded: not now.
        """
        self.check_disk()
        # What a client announces is not yet held: it may send it slowly, or never.
        if self._bytes + expected > self._most and self._bytes:
            raise Overloaded("too many bytes are under way; send it again later")
        return Held(self)

    def hold(self) -> "Held":
        """Let in what writes nothing: it needs no disk."""
        return Held(self)

    def check_disk(self, needed: int = 0) -> None:
        """Raise ``DiskReserve`` if the disk has less free than the reserve, beside what is ``needed``."""
        try:
            free = self._free()
        except OSError as error:
            raise DiskReserve(f"the disk of {self._folder} cannot be asked: {error.strerror}") from None
        if free < self._reserve + needed:
            raise DiskReserve(
                f"the disk of {self._folder} has {free >> 20} MiB free, {self._reserve >> 20} stay free"
            )

    def add(self, size: int) -> None:
        """Count bytes that have come in, or (negative) are done with."""
        with self._changing:
            # One request is always let in: the limit of a single one is another.
            if size > 0 and self._bytes and self._bytes + size > self._most:
                raise Overloaded("too many bytes are under way; send it again later")
            self._bytes += size

    def _said_free(self) -> float:
        try:
            return self._free()
        except OSError:
            return math.nan

    def _free(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize


class Held:
    """The bytes of one request; given back once, by whoever is done with them."""

    def __init__(self, admission: Admission) -> None:
        """Begin with none."""
        self._admission, self._bytes = admission, 0

    def add(self, size: int) -> None:
        """Count more bytes.

        Raises:
            Overloaded: there is no room for them.
        """
        self._admission.add(size)
        self._bytes += size

    def release(self) -> None:
        """Give all of them back."""
        size, self._bytes = self._bytes, 0
        if size:
            self._admission.add(-size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
