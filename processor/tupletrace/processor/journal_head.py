"""The first page of a journal file, made anew where it is damaged: it says how to read all others.

It holds no request, and it is the same in every file but for numbers that SQLite can do without.
Format: https://sqlite.org/fileformat2.html#the_database_header
"""

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from tupletrace.processor import journal_file, journal_log

_logger: Final = logging.getLogger(__name__)
_PAGE: Final = slice(16, 18)
_MODES: Final = slice(18, 20)
"""Whether it is written with a log."""
_SHARES: Final = slice(20, 24)
"""What of a page is left free, and how much of it one row may take."""
_CHANGES, _SIZE, _SIZE_OF = slice(24, 28), slice(28, 32), slice(92, 96)
"""How often it was changed; how many pages it has, and at which change it had so many."""
_VERSION: Final = slice(60, 64)
"""Its ``user_version``."""
_FORMAT: Final = "unsupported file format"
_TREE: Final = {b"\x05", b"\x0d"}
"""How the page begins that holds the requests, or says where they are."""


def mend(file: Path) -> None:
    """Make the first page of a file that nobody has open anew, if SQLite cannot use it, and say so."""
    first = _first_page()
    try:
        with file.open("rb") as opened:
            before = opened.read(len(first))
            second = opened.read(1)
    except OSError:
        # Who reads it says why.
        return
    other_size = int.from_bytes(before[_PAGE], "big") in journal_log.SIZES
    if other_size or second not in _TREE or (_says_its_size(file, before, first) and _opens(file)):
        return
    if before[_VERSION] in map(_number, journal_file.VERSIONS):
        first[_VERSION] = before[_VERSION]
    if before[_MODES] in (b"\1\1", b"\2\2"):
        first[_MODES] = before[_MODES]
    first[_CHANGES] = first[_SIZE_OF] = _number(1)
    first[_SIZE] = _number(file.stat().st_size // len(first))
    _logger.warning("the first page of %s is damaged and made anew; what the file holds is checked", file)
    with file.open("r+b") as opened:
        opened.write(first)
        os.fsync(opened.fileno())


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _first_page() -> bytearray:
    """Return that of a file without requests."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        journal_file.create(connection)
        whole = connection.serialize()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return bytearray(whole[:size])


def _says_its_size(file: Path, before: bytes, first: bytearray) -> bool:
    log = file.with_name(file.name + "-wal")
    # What is in a log may be another size.
    pages = int.from_bytes(before[_SIZE], "big")
    right = pages * len(first) == file.stat().st_size or (log.exists() and log.stat().st_size > 0)
    return right and before[_SHARES] == bytes(first[_SHARES])


def _opens(file: Path) -> bool:
    try:
        with journal_file.existing(file) as connection:
            connection.execute("SELECT * FROM requests LIMIT 1").fetchone()
            return connection.execute("PRAGMA encoding").fetchone() == ("UTF-8",)
    except journal_file.JournalError as error:
        # What is no damage is said by who reads it.
        return isinstance(error.__cause__, sqlite3.OperationalError) and _FORMAT not in str(error)
