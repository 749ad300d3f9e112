"""A relay in front of PostgreSQL's socket: it speaks TLS or refuses to, cuts, swallows, and takes notes."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST = 80877103

Answer = Literal["tls", "refuse", "break"]
"""To a request for TLS: grant it, answer ``N``, or grant it and hang up."""


@dataclass
class Seen:
    """What the relay saw of one connection: whether it became TLS, and what came after, in clear."""

    asked_for_tls: bool = False
    encrypted: bool = False
    received: bytearray = field(default_factory=bytearray)

    @property
    def began(self) -> bool:
        """Whether the client went on to say who it is."""
        return b"user\0" in self.received


class Relay:
    """Listens on a loopback port for ``upstream``, a Unix socket. In threads: TLS on streams needs 3.11."""

    def __init__(
        self, upstream: str, *, answer: Answer = "refuse", context: ssl.SSLContext | None = None
    ) -> None:
        self._upstream = upstream
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[Seen] = []
        self.frozen = False
        self.refusing = False
        self.cut_when: Callable[[bytes], bool] | None = None
        """Cuts, once, after what the client sent was passed on and answered; the answer is withheld."""
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def heard(self, word: str) -> bool:
        """Whether a client said this."""
        return any(word.encode() in seen.received for seen in self.seen)

    def cut(self) -> None:
        """Sever every connection."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        seen = Seen()
        self.seen.append(seen)
        self._open.add(client)
        try:
            with contextlib.suppress(OSError):
                self._greet(client, seen)
        finally:
            self._open.discard(client)
            client.close()

    def _greet(self, client: socket.socket, seen: Seen) -> None:
        if client.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS handshake without a question
            self._encrypt(client, seen)
            return
        first = client.recv(8, socket.MSG_WAITALL)
        if len(first) == 8 and struct.unpack("!ii", first) == (8, SSL_REQUEST):
            seen.asked_for_tls = True
            client.sendall(b"N" if self._answer == "refuse" else b"S")
            if self._answer == "break":
                return
            if self._answer == "tls":
                self._encrypt(client, seen)
                return
            first = b""
        self._pump(client, seen, first)

    def _encrypt(self, client: socket.socket, seen: Seen) -> None:
        assert self._context is not None
        with self._context.wrap_socket(client, server_side=True) as wrapped:
            seen.encrypted = True
            self._open.add(wrapped)
            try:
                self._pump(wrapped, seen, b"")
            finally:
                self._open.discard(wrapped)

    def _pump(self, client: socket.socket, seen: Seen, first: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self._upstream)
            self._open.add(server)
            try:
                server.sendall(first)
                seen.received += first
                self._pass_on(client, server, seen)
            finally:
                self._open.discard(server)

    def _pass_on(self, client: socket.socket, server: socket.socket, seen: Seen) -> None:
        withhold = False
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending() > 0
            ready = [client] if pending else select.select([client, server], [], [], 1.0)[0]
            while self.frozen:
                threading.Event().wait(0.02)
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                if end is client:
                    seen.received += data
                    server.sendall(data)
                    if self.cut_when is not None and self.cut_when(data):
                        self.cut_when, withhold = None, True
                elif withhold:
                    return
                else:
                    client.sendall(data)


@contextlib.contextmanager
def relaying(
    upstream: str, *, answer: Answer = "refuse", context: ssl.SSLContext | None = None
) -> Iterator[Relay]:
    """A relay until left."""
    relay = Relay(upstream, answer=answer, context=context)
    try:
        yield relay
    finally:
        relay.close()


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of our own, in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / f"{name}.crt"
        signed = self._sign(self._name, self._key.public_key(), authority=True)
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str) -> ssl.SSLContext:
        """A server's TLS context with a certificate for ``host`` (a name or an address)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(host))
        context.set_alpn_protocols(["postgresql"])
        return context

    def server_file(self, host: str) -> Path:
        """A server's key and its certificate for ``host``, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        signed = self._sign(subject, key.public_key(), host=host)
        file = self._folder / f"server-{host}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        return file

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool = False, host: str = ""
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            # What RFC 5280 (4.2.1) demands, and Python checks since 3.13.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if authority:
            builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        if host:
            try:
                name: x509.GeneralName = x509.IPAddress(ip_address(host))
            except ValueError:
                name = x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(self._key, hashes.SHA256())
