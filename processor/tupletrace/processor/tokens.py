"""Who may do what: bearer tokens with scopes, of which a file beside the database holds the hashes."""

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tupletrace.processor.refusal import Forbidden, Unauthenticated

INGEST: Final = "ingest"
READ: Final = "read"
ADMIN: Final = "admin"
SCOPES: Final = (INGEST, READ, ADMIN)
"""Send telemetry; ask SQL and see metrics; everything."""
_PREFIX: Final = "tt_"
_BYTES: Final = 32


class TokensUnreadable(RuntimeError):
    """The file of tokens is damaged, or open to others."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is stored: its name, what it allows, when it was made, its SHA-256."""

    name: str
    scopes: tuple[str, ...]
    created_unix_s: int
    sha256: str


def tokens_file(database: Path) -> Path:
    """Return the file of the tokens that belongs to a DuckDB file."""
    return database.with_name(database.name + ".tokens")


def read(file: Path) -> list[Token]:
    """Return the tokens in a file, none if it is not there.

    Raises:
        TokensUnreadable: it is damaged, or others may read it.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise TokensUnreadable(f"{file} can be read by others: chmod 600 it")
        return [Token(**one | {"scopes": tuple(one["scopes"])}) for one in json.loads(file.read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise TokensUnreadable(f"{file} cannot be read: {error}") from None


def add(file: Path, name: str, scopes: tuple[str, ...]) -> str:
    """Make a token, store its hash, and return it: it is shown this once."""
    # Random bits need no slow hash: there is nothing to guess.
    made = _PREFIX + secrets.token_urlsafe(_BYTES)
    _write(file, [*read(file), Token(name, scopes, int(time.time()), _hashed(made))])
    return made


def revoke(file: Path, name: str) -> int:
    """Remove the tokens of a name; return how many there were."""
    before = read(file)
    left = [one for one in before if one.name != name]
    if len(left) < len(before):
        _write(file, left)
    return len(before) - len(left)


def _write(file: Path, found: list[Token]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Another file in its place: who reads meanwhile sees the old one or the new one.
    new = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as writing:
        json.dump([asdict(one) for one in found], writing, indent=1)
    new.replace(file)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Access:
    """Says whether an ``Authorization`` header allows a scope; the file is read again when it changes."""

    def __init__(self, file: Path) -> None:
        """Read ``file``.

        Raises:
            TokensUnreadable: it is damaged, or others may read it.
        """
        self._file = file
        self._seen = self._stamp()
        self._tokens = read(file)
        self.own = _PREFIX + secrets.token_urlsafe(_BYTES)
        """For the user whose process this is, until it ends: allows everything."""
        self._own = Token("", (ADMIN,), 0, _hashed(self.own))
        self.needed = self._seen is not None
        """Whether a token is asked for: from the first one that was made, also when all are revoked."""

    def check(self, header: str | None, scope: str) -> None:
        """Let pass, or refuse.

        Raises:
            Unauthenticated: there is no token, or it is not known.
            Forbidden: it does not have the scope.
        """
        self._refresh()
        if not self.needed:
            return
        kind, _, said = (header or "").partition(" ")
        if kind.lower() != "bearer" or not said:
            raise Unauthenticated("send a token: Authorization: Bearer ...")
        hashed = _hashed(said.strip())
        # All are compared, each in constant time.
        found = [one for one in (*self._tokens, self._own) if hmac.compare_digest(one.sha256, hashed)]
        if not found:
            raise Unauthenticated("this token is not known")
        if not {scope, ADMIN} & {held for one in found for held in one.scopes}:
            raise Forbidden(f"this token does not have the scope {scope}")

    def _stamp(self) -> tuple[int, int] | None:
        try:
            now = self._file.stat()
        except OSError:
            return None
        return now.st_mtime_ns, now.st_ino

    def _refresh(self) -> None:
        now = self._stamp()
        if now != self._seen:
            self._seen, self.needed = now, True
            try:
                self._tokens = read(self._file)
            except TokensUnreadable:
                # Closed rather than open.
                self._tokens = []
