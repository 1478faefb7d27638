"""One way to ask a database, whether a processor is running on it or not."""

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

import duckdb
import pyarrow as pa

from tupletrace.processor import index, query
from tupletrace.processor.database import StoreError, needs_reconnect
from tupletrace.processor.journal import first_seq, journal_folder
from tupletrace.processor.lock import DatabaseInUse, DatabaseLock
from tupletrace.processor.store import Store

_TIMEOUT_S: Final = query.MAX_SECONDS + 10
_T = TypeVar("_T")


class Ask(Protocol):
    """Answers one query; parameters are bound to ``$1``, ``$2`` … or, by name, to ``$name``."""

    def __call__(self, sql: str, parameters: query.Parameters = None) -> pa.Table:
        """Return the whole answer.

        Raises:
            query.SqlRefused, query.SqlFailed, StoreError: with a message for who wrote the SQL.
        """
        ...


@contextmanager
def database(path: Path) -> Generator[Ask]:
    """Yield a function that answers SQL: from the file, or from the processor that has it open.

    Raises:
        StoreError: there is no such database, or it cannot be opened.
    """
    if not path.exists() and first_seq(journal_folder(path)) is None:
        raise StoreError(f"there is no database at {path}: start `tupletrace serve`, or name another --db")
    try:
        lock = DatabaseLock(path)
    except DatabaseInUse as error:
        if error.owner.http is None:
            raise StoreError(f"{error}, which answers no SQL") from None
        owner = error.owner
        scheme = "https" if owner.certificate else "http"
        yield processor(f"{scheme}://{owner.http}", owner.token, owner.certificate)
        return
    with lock:
        store = Store(path)

        def caught_up() -> None:
            # A processor that was killed may have left requests that only the journal has.
            index.catch_up(journal_folder(path), store)
            store.settle(index.QUIET_MS)

        def answer(sql: str, parameters: query.Parameters = None) -> pa.Table:
            with store.cursor() as cursor:
                return query.run(cursor, sql, parameters)

        def healed(step: Callable[[], _T]) -> _T:
            try:
                return step()
            except (duckdb.Error, query.SqlFailed) as error:
                if not needs_reconnect(error):
                    raise
                store.recover(error)
                caught_up()
                return step()

        try:
            healed(caught_up)
            yield lambda sql, parameters=None: healed(lambda: answer(sql, parameters))
        finally:
            store.close()


def processor(url: str, token: str | None = None, certificate: str | None = None) -> Ask:
    """Return a function that answers SQL by asking a running processor.

    Without a ``token``, with that of ``TUPLETRACE_TOKEN``; with a ``certificate``, only of who has this one.
    """
    headers = {"Content-Type": "application/json", "Accept": query.ARROW}
    if token := token or os.environ.get("TUPLETRACE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    opener = _opener(certificate)

    def ask(sql: str, parameters: query.Parameters = None) -> pa.Table:
        body = {"sql": sql} | ({"params": parameters} if parameters else {})
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked where the URL comes in
            f"{url.rstrip('/')}/sql", json.dumps(body, default=str).encode(), headers
        )
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                return pa.ipc.open_stream(response.read()).read_all()
        except urllib.error.HTTPError as error:
            raise query.SqlFailed(_message(error)) from None
        except (OSError, http.client.HTTPException, pa.ArrowInvalid) as error:
            raise StoreError(f"no processor answers at {url}: {getattr(error, 'reason', error)}") from None

    return ask


def _opener(certificate: str | None) -> urllib.request.OpenerDirector:
    # Never through a proxy of the environment, which knows nothing of this machine's ports.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if certificate is not None:
        context = ssl.create_default_context(cafile=certificate)
        # It is known by itself, whatever names and whichever authority stand in it.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code} {error.reason}"
