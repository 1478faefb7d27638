"""What a burst, or the start, took and nobody needs now, given back to the system."""

import ctypes
import mmap
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``."""
_LARGE: Final = 4 * 2**20
_KEPT: Final = 64 * 2**20
_MAPPINGS: Final = Path("/proc/self/smaps")


def share() -> None:
    """Let Arrow take memory where everybody else does, and give back what is large when it is freed.

    By itself glibc soon takes all but the largest pieces from one heap, which shrinks only from its end: with
    requests of 5 MB it had 2 GB, of which a third was in use.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    # Only glibc has it.
    with suppress(AttributeError):
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_MMAP_THRESHOLD, _LARGE)
        glibc.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Give back what allocators keep of a burst, hundreds of megabytes, and code that was run only then."""
    pa.default_memory_pool().release_unused()
    # Only glibc has it.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    # Only Linux has them.
    with suppress(OSError, AttributeError):
        _unmap_code()


def _unmap_code() -> None:
    """Forget the pages of files that nobody has written to: they are in the cache when they are run again."""
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    first = last = inode = "0"
    rights = ""
    for line in _MAPPINGS.read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            (first, last), rights, inode = name.split("-"), rest[0], rest[3]
        elif name == "Anonymous:" and rest[0] == "0" and inode != "0" and "w" not in rights:
            start = int(first, 16)
            advise(start, int(last, 16) - start, mmap.MADV_DONTNEED)
