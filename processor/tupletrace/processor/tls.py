"""TLS and mutual TLS of both transports from PEM files, which are read again when they change."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc


class TlsUnusable(RuntimeError):
    """A certificate or key that cannot be used."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the server's certificate with its chain, and its key; clients need one of ``client_ca``."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raise ``TlsUnusable`` unless a server could be started with these files."""
        try:
            self.context()
        except (OSError, ValueError) as error:
            # An SSLError does not say which file.
            files = ", ".join(str(file) for file in (self.certificate, self.key, self.client_ca) if file)
            raise TlsUnusable(f"TLS cannot be set up from {files}: {error}") from None

    def context(self) -> ssl.SSLContext:
        """Return what an HTTP server needs."""
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(made)
        changed = self._changed()

        def renewed(client: ssl.SSLObject, _name: str | None, context: ssl.SSLContext) -> None:
            if changed():
                try:
                    self._load(context)
                except (OSError, ValueError):
                    # Half written: the old one serves until the next client comes.
                    return
                client.context = context

        made.sni_callback = renewed  # pyright: ignore[reportAttributeAccessIssue]
        return made

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server needs."""
        changed = self._changed()

        def renewed() -> Any:
            return self._grpc() if changed() else None

        return grpc.dynamic_ssl_server_credentials(self._grpc(), renewed, self.client_ca is not None)

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)

    def _grpc(self) -> Any:
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration(
            [pair], self.client_ca.read_bytes() if self.client_ca else None
        )

    def _changed(self) -> Callable[[], bool]:
        files = [file for file in (self.certificate, self.key, self.client_ca) if file]
        seen = [file.stat().st_mtime_ns for file in files]

        def changed() -> bool:
            nonlocal seen
            try:
                now = [file.stat().st_mtime_ns for file in files]
            except OSError:
                return False
            before, seen = seen, now
            return now != before

        return changed
