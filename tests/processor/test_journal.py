"""The journal: what is damaged in it is lost alone, counted and said; what is over is compressed."""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor import journal, journal_file
from tupletrace.processor.ask import database
from tupletrace.processor.journal import Journal, journal_folder
from tupletrace.processor.lock import DatabaseLock

OLD = """CREATE TABLE requests (
    seq INTEGER PRIMARY KEY, received_unix_nano INTEGER NOT NULL, signal TEXT NOT NULL, body BLOB NOT NULL
)"""
REQUESTS = 30
SPANS = "SELECT trace_id[-8:] AS trace FROM spans ORDER BY trace"
LOST = "SELECT journal_seq, requests, reason FROM lost_requests ORDER BY journal_seq"


@pytest.fixture
def db(tmp_path: Path, otlp: Any) -> Path:
    """A database that is not made yet, with a journal of a trace a request."""
    written = Journal(journal_folder(tmp_path / "x.duckdb"))
    for trace in range(1, REQUESTS + 1):
        body = otlp.request(otlp.span(trace, attributes={"note": f"{trace:08x}" * 10_000}))
        written.append("traces", body).result(120)
    written.close()
    return tmp_path / "x.duckdb"


def only_file(db: Path) -> Path:
    (file,) = journal.files(journal_folder(db))
    return file


@pytest.fixture
def asked(caplog: pytest.LogCaptureFixture) -> Callable[[Path], tuple[set[int], list[Any], str]]:
    """Index, and return the traces that are there, the requests that are lost, and what was said."""

    def ask(db: Path) -> tuple[set[int], list[Any], str]:
        caplog.clear()
        with database(db) as answer:
            traces = {int(row["trace"], 16) for row in answer(SPANS).to_pylist()}
            return traces, answer(LOST).to_pylist(), caplog.text

    return ask


EVERY = set(range(1, REQUESTS + 1))


def test_a_flipped_bit_costs_the_request_that_it_is_in_and_no_other(db: Path, asked: Any) -> None:
    content = bytearray(only_file(db).read_bytes())
    content[content.index(b"0000000d" * 100) + 3] ^= 1
    only_file(db).write_bytes(content)
    traces, lost, said = asked(db)
    assert traces == EVERY - {13}
    assert lost == [{"journal_seq": 13, "requests": 1, "reason": "its checksum is another"}]
    assert "request 13 " in said
    assert asked(db) == (traces, lost, "")
    db.unlink()
    assert asked(db)[:2] == (traces, lost)


def test_a_page_of_the_file_that_is_destroyed_is_counted_request_by_request(db: Path, asked: Any) -> None:
    content = bytearray(only_file(db).read_bytes())
    at = content.index(b"0000000d" * 100) // 65536 * 65536
    content[at : at + 65536] = bytes(65536)
    only_file(db).write_bytes(content)
    traces, lost, said = asked(db)
    gone = EVERY - traces
    assert 13 in gone
    assert len(gone) < 5
    assert {row["journal_seq"] for row in lost} == gone
    assert all(f"request {seq} " in said for seq in gone)


def test_requests_that_are_missing_between_others_are_counted(db: Path, asked: Any) -> None:
    with closing(sqlite3.connect(only_file(db))) as connection, connection:
        connection.execute("DELETE FROM requests WHERE seq BETWEEN 5 AND 9")
    traces, lost, _ = asked(db)
    assert traces == EVERY - set(range(5, 10))
    assert lost == [{"journal_seq": 5, "requests": 5, "reason": "it is not in the journal"}]


def test_a_request_that_can_no_longer_be_decoded_holds_up_no_other(db: Path, asked: Any) -> None:
    more = Journal(journal_folder(db))
    more.append("traces", b"\xff\xff\xff").result(120)
    more.close()
    traces, lost, _ = asked(db)
    assert traces == EVERY
    assert [(row["journal_seq"], row["requests"]) for row in lost] == [(REQUESTS + 1, 1)]


def test_requests_whose_resources_are_too_much_at_once_are_indexed_one_after_the_other(
    tmp_path: Path, otlp: Any, asked: Any
) -> None:
    """F20: each of 100 spans says 700 kB; one of 200 spans is of a version that still took it."""
    db = tmp_path / "x.duckdb"
    with closing(Journal(journal_folder(db))) as written:
        for trace, spans in ((1, 100), (2, 100), (3, 200), (4, 1)):
            of = [otlp.span(trace, number) for number in range(1, spans + 1)]
            written.append("traces", otlp.request(*of, resource={"long": "x" * 700_000})).result(120)
    traces, lost, said = asked(db)
    assert traces == {1, 2, 4}
    assert [(row["journal_seq"], row["requests"]) for row in lost] == [(3, 1)]
    assert "with each of their spans" in said


def test_a_file_of_the_first_release_is_read_and_continued(tmp_path: Path, otlp: Any, asked: Any) -> None:
    """It has no checksums."""
    db = tmp_path / "x.duckdb"
    Journal(journal_folder(db)).close()
    file = only_file(db)
    file.unlink()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(OLD)
        connection.execute("INSERT INTO requests VALUES (7, 1, 'traces', ?)", [otlp.request(otlp.span(7))])
    assert asked(db)[:2] == ({7}, [])
    more = Journal(journal_folder(db))
    assert more.append("traces", otlp.request(otlp.span(8))).result(120) == 8
    more.close()
    assert asked(db)[:2] == ({7, 8}, [])


@pytest.fixture
def closed(db: Path, until: Any) -> Iterator[Path]:
    """The day is over: the journal has compressed its file."""
    file = only_file(db)
    over = file.with_name("2020-01-01.sqlite")
    file.rename(over)
    before = over.stat().st_size
    again = Journal(journal_folder(db))
    until(lambda: over.stat().st_size < before / 10)
    yield db
    again.close()


def test_the_file_of_a_day_that_is_over_is_compressed_and_read_as_before(closed: Path, asked: Any) -> None:
    assert asked(closed)[:2] == (EVERY, [])
    assert oct(next(iter(journal.files(journal_folder(closed)))).stat().st_mode & 0o777) == "0o600"
    assert not list(journal_folder(closed).glob("*.new"))


def test_damage_to_a_compressed_record_loses_that_record_only(closed: Path, asked: Any) -> None:
    file = journal.files(journal_folder(closed))[0]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE requests SET body = CAST(substr(body, 4) AS BLOB) WHERE seq = 4")
        connection.execute("UPDATE requests SET body = x'00' WHERE seq = 6")
    traces, lost, _ = asked(closed)
    assert traces == EVERY - {4, 6}
    assert [row["journal_seq"] for row in lost] == [4, 6]


def test_a_file_that_cannot_be_opened_for_a_while_is_not_counted_as_lost(
    closed: Path, otlp: Any, asked: Any
) -> None:
    later = Journal(journal_folder(closed))
    later.append("traces", otlp.request(otlp.span(REQUESTS + 1))).result(120)
    later.close()
    first, *_ = journal.files(journal_folder(closed))
    away = first.rename(first.with_suffix(".away"))
    first.mkdir()
    with pytest.raises(journal.JournalError, match="cannot be read"):
        asked(closed)
    first.rmdir()
    away.rename(first)
    traces, lost, _ = asked(closed)
    assert (traces, lost) == (EVERY | {REQUESTS + 1}, [])


def test_a_file_that_is_none_is_said_and_what_it_held_is_counted(db: Path, otlp: Any, asked: Any) -> None:
    first = only_file(db).rename(only_file(db).with_name("2098-01-01.sqlite"))
    lost = first.with_name("2098-01-02.sqlite")
    for day in (lost, first.with_name("2098-01-03.sqlite")):
        with closing(Journal(journal_folder(db))) as more:
            more.append("traces", otlp.request(otlp.span(40))).result(120)
        more.file.rename(day)
    lost.write_text("no SQLite file " * 99)
    traces, missing, said = asked(db)
    assert traces == EVERY | {40}
    assert [(row["journal_seq"], row["requests"]) for row in missing] == [(REQUESTS + 1, 1)]
    assert str(lost) in said


@pytest.mark.parametrize("day", ["1970-01-01", "2100-01-01"])
def test_a_clock_that_jumps_changes_no_order_and_keeps_no_file_from_being_closed(
    tmp_path: Path, otlp: Any, asked: Any, day: str
) -> None:
    """F13: the file in which something came is of another day, before or after this one."""
    db = tmp_path / "x.duckdb"
    folder = journal_folder(db)

    def write(trace: int) -> None:
        with closing(Journal(folder)) as written:
            written.append("traces", otlp.request(otlp.span(trace))).result(120)
            before = written.file
            written.roll()
            assert written.file == journal.files(folder)[-1] > before

    write(1)
    for number, file in enumerate(journal.files(folder)):
        file.rename(folder / f"{day}{'T000000.000000' * number}.sqlite")
    write(2)
    write(3)
    assert [[one.seq for one in found] for found in journal.read(folder, 0, 1)] == [[1], [2], [3]]
    assert asked(db) == ({1, 2, 3}, [], "")


BODIES = {seq: random.Random(seq).randbytes((20, 300, 3_000, 90_000)[seq % 4]) for seq in range(1, 81)}


@pytest.fixture(params=["open", "compressed"])
def two_days(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A journal of two files; the first has records of all sizes, of several a page to several pages."""
    with closing(Journal(tmp_path)) as written:
        done = [written.append("traces", body) for body in BODIES.values()]
        assert [one.result(10) for one in done] == list(BODIES)
        day = written.file
        written.roll()
        written.append("traces", b"of another day").result(10)
    if request.param == "compressed":
        journal_file.compress(day)
    return day


@pytest.mark.parametrize("where", ["anywhere", "at the beginning of a page"])
def test_a_flipped_bit_never_hides_a_request_nor_gives_another_than_was_written(
    two_days: Path, where: str
) -> None:
    """What SQLite itself keeps there, too: numbers, sizes, places on a page, which page follows."""
    flips, whole, page = random.Random(where), two_days.read_bytes(), 65_536
    lost_in_all = 0
    for _ in range(60):
        at = flips.randrange(100, len(whole))
        if where != "anywhere":
            at = flips.randrange(1, len(whole) // page) * page + flips.randrange(300)
        flipped = bytearray(whole)
        flipped[at] ^= 1 << flips.randrange(8)
        two_days.write_bytes(flipped)
        found = [one for some in journal.read(two_days.parent, 0, 2**20) for one in some]
        read = {one.seq: one.body for one in found if one.damage is None}
        lost = [seq for one in found if one.damage for seq in range(one.seq, one.seq + one.count)]
        assert sorted([*read, *lost]) == [*BODIES, len(BODIES) + 1], at
        assert read.items() <= {**BODIES, len(BODIES) + 1: b"of another day"}.items(), at
        lost_in_all += len(lost)
    assert 0 < lost_in_all < 300


def read_back(folder: Path) -> tuple[dict[int, bytes], list[int]]:
    """What the owner of a journal reads after mending it: bodies by number, and the numbers that are lost."""
    journal.mend(folder)
    found = [one for some in journal.read(folder, 0, 2**20) for one in some]
    lost = [seq for one in found if one.damage for seq in range(one.seq, one.seq + one.count)]
    return {one.seq: one.body for one in found if one.damage is None}, lost


WHOLE = {**BODIES, len(BODIES) + 1: b"of another day"}


def test_a_bit_of_the_header_of_a_file_costs_no_request(two_days: Path) -> None:
    """F7: SQLite would take nothing of the whole day."""
    flips, whole = random.Random(0), two_days.read_bytes()
    for at in [*range(16, 32), *flips.sample(range(100), 15), *flips.sample(range(40, 64), 10)]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << flips.randrange(8)
        two_days.write_bytes(flipped)
        assert read_back(two_days.parent) == (WHOLE, []), at


@pytest.mark.parametrize("size", [100, 4096, 65_536])
@pytest.mark.parametrize("what", [bytes, random.Random(1).randbytes], ids=["zeros", "noise"])
def test_the_first_page_of_a_file_that_is_overwritten_is_made_anew(
    two_days: Path, size: int, what: Callable[[int], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    two_days.write_bytes(what(size) + two_days.read_bytes()[size:])
    assert read_back(two_days.parent) == (WHOLE, [])
    assert str(two_days) in caplog.text
    caplog.clear()
    assert read_back(two_days.parent) == (WHOLE, [])
    assert not caplog.text


def foreign(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE requests (somebody TEXT)")
        connection.execute("INSERT INTO requests VALUES ('else')")


@pytest.mark.parametrize(
    "harm",
    [lambda file: file.write_bytes(b""), lambda file: file.write_bytes(bytes(200_000)), foreign],
    ids=["emptied", "zeroed", "foreign"],
)
def test_what_the_first_file_has_held_is_counted_when_nothing_of_it_can_be_read(
    two_days: Path, harm: Callable[[Path], None]
) -> None:
    """It is not taken for what retention has dropped."""
    harm(two_days)
    assert read_back(two_days.parent) == ({len(WHOLE): b"of another day"}, [*BODIES])


@pytest.mark.parametrize("what", ["", "-wal"])
def test_a_file_that_is_taken_away_while_it_is_written_gets_no_more(tmp_path: Path, what: str) -> None:
    """What is acknowledged after that is in a file that can be found."""
    with closing(Journal(tmp_path)) as written:
        assert written.append("traces", b"before").result(10) == 1
        first = written.file
        first.with_name(first.name + what).rename(tmp_path / "elsewhere")
        assert written.append("traces", b"after").result(10) == 2
        assert written.file != first
        found = [one for some in journal.read(tmp_path, 1, 2**20) for one in some]
        assert [(one.seq, one.body) for one in found] == [(2, b"after")]


def test_a_file_of_today_that_cannot_be_read_keeps_no_journal_from_going_on(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    (file,) = journal.files(tmp_path)
    file.write_bytes(b"no SQLite file " * 99)
    with closing(Journal(tmp_path, 7)) as written:
        assert written.append("traces", b"after").result(10) == 8
    assert file.read_bytes() == b"no SQLite file " * 99
    assert [one.body for some in journal.read(tmp_path, 7, 1) for one in some] == [b"after"]


KILLED = """
import os, sys
from pathlib import Path
from tupletrace.processor.journal import Journal

journal = Journal(Path(sys.argv[1]))
for seq in range(1, 31):
    journal.append("traces", b"%08d" % seq * (12_000 if seq % 3 else 30)).result(10)
os._exit(9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a process that was killed: all of it is in SQLite's log."""
    folder = tmp_path_factory.mktemp("killed") / "x.duckdb.journal"
    assert subprocess.run([sys.executable, "-c", KILLED, folder], check=False).returncode == 9
    (log,) = folder.glob("*-wal")
    assert log.stat().st_size > 30 * 65_536
    return folder


def test_a_flipped_bit_in_the_log_of_a_journal_that_was_killed_hides_nothing_either(
    killed: Path, tmp_path: Path
) -> None:
    """SQLite takes nothing that comes after it: one of the first would cost all the others, unseen."""
    flips = random.Random(0)
    (log,) = killed.glob("*-wal")
    page = 65_536 + 24
    begun = log.stat().st_size // page - 1
    places = [32 + flips.randrange(begun - 8) * page + flips.randrange(24) for _ in range(15)]
    places += [flips.randrange(32, (begun - 8) * page) for _ in range(15)]
    # The header says how to read all the rest.
    places += flips.sample(range(32), 15)
    for number, place in enumerate(places):
        folder = tmp_path / f"{number}.duckdb.journal"
        shutil.copytree(killed, folder)
        content = bytearray((folder / log.name).read_bytes())
        content[place] ^= 1 << flips.randrange(8)
        (folder / log.name).write_bytes(content)
        with DatabaseLock(tmp_path / f"{number}.duckdb"):
            found = [one for some in journal.read(folder, 0, 2**20) for one in some]
        assert [one.seq for one in found] == list(range(1, 31)), place
        assert sum(one.damage is not None for one in found) <= 1, place
        assert all(one.body[:8] == b"%08d" % one.seq for one in found if one.damage is None), place


@pytest.mark.parametrize("size", [32, 32 + 24, 32 + 24 + 65_536])
def test_a_log_whose_beginning_is_overwritten_is_read_all_the_same(
    killed: Path, tmp_path: Path, size: int
) -> None:
    folder = tmp_path / killed.name
    shutil.copytree(killed, folder)
    (log,) = folder.glob("*-wal")
    log.write_bytes(bytes(size) + log.read_bytes()[size:])
    read, lost = read_back(folder)
    assert (sorted(read), lost) == (list(range(1, 31)), [])


def test_a_log_that_is_none_harms_nothing(killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / killed.name
    shutil.copytree(killed, folder)
    (log,) = folder.glob("*-wal")
    for content in (b"", b"short", random.Random(0).randbytes(200_000), bytes(200_000)):
        log.write_bytes(content)
        assert read_back(folder) == ({}, [])


def test_a_journal_whose_file_is_damaged_goes_on_in_another(tmp_path: Path, asked: Any, otlp: Any) -> None:
    """SQLite writes nothing more into a file whose tree it can no longer follow."""
    db = tmp_path / "x.duckdb"
    with closing(Journal(journal_folder(db))) as written:
        for trace in range(1, 6):
            body = otlp.request(otlp.span(trace, attributes={"note": f"{trace:08x}" * 7_000}))
            written.append("traces", body).result(10)
    content = bytearray(only_file(db).read_bytes())
    content[65_536 + 8] ^= 0xFF
    only_file(db).write_bytes(content)
    with closing(Journal(journal_folder(db), 5)) as written:
        assert written.append("traces", otlp.request(otlp.span(6))).result(10) == 6
    traces, lost, said = asked(db)
    assert traces == {1, 2, 3, 4, 6}
    assert [(row["journal_seq"], row["requests"]) for row in lost] == [(5, 1)]
    assert "request 5 of the journal (1 in all) is lost" in said
