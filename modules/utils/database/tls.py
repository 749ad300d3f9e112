"""The TLS context that libpq would use for an ``sslmode``, for a driver that is not libpq.

Source of the rules: PostgreSQL's manual, chapter "SSL Support" of libpq.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from modules.queue_manager.errors import BadSettings
from modules.utils.database.address import TlsChoice, at_home

LIBPQ_FOLDER = Path("~/.postgresql")
"""Where libpq looks for ``root.crt``, ``root.crl``, ``postgresql.crt`` and ``postgresql.key``."""


def tls_context(choice: TlsChoice) -> ssl.SSLContext | None:
    """The context for ``choice``, or None where nothing is to be encrypted.

    ``require`` encrypts without looking at the certificate, unless a root certificate is there (then it
    is ``verify-ca``); ``verify-ca`` checks who signed it, ``verify-full`` the host's name as well.
    Raises `BadSettings` for files that are missing or no certificates.
    """
    if choice.mode == "disable":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = choice.mode == "verify-full"
    context.minimum_version = _version(choice.least_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _version(choice.greatest_version, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    context.set_alpn_protocols(["postgresql"])
    folder = at_home(LIBPQ_FOLDER)
    _trust(context, choice, folder)
    _identify(context, choice, folder)
    return context


def _trust(context: ssl.SSLContext, choice: TlsChoice, folder: Path) -> None:
    if choice.mode in ("allow", "prefer"):
        context.verify_mode = ssl.CERT_NONE
        return
    if choice.root_certificate == "system":
        context.load_default_certs()
        return
    root = at_home(choice.root_certificate or folder / "root.crt")
    if not root.is_file():
        if choice.mode == "require" and choice.root_certificate is None:
            context.verify_mode = ssl.CERT_NONE
            return
        raise BadSettings(
            f"DATABASE_URL: sslmode={choice.mode} needs the file {root}; put the server's CA certificate "
            "there, name it with sslrootcert=, or use sslrootcert=system"
        )
    _load(context, root)
    revoked = at_home(choice.revoked or folder / "root.crl")
    if choice.revoked or revoked.is_file():
        _load(context, revoked)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"DATABASE_URL: {path} cannot be read as a certificate: {_why(error)}") from error


def _identify(context: ssl.SSLContext, choice: TlsChoice, folder: Path) -> None:
    certificate = at_home(choice.certificate or folder / "postgresql.crt")
    if not choice.certificate and not certificate.is_file():
        return
    key = at_home(choice.key or folder / "postgresql.key")
    password = choice.key_password or ""
    try:
        context.load_cert_chain(
            certificate, key if choice.key or key.is_file() else None, password=lambda: password
        )
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"DATABASE_URL: {certificate} and its key cannot be read: {_why(error)}") from error


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _version(written: str | None, default: ssl.TLSVersion) -> ssl.TLSVersion:
    if written is None:
        return default
    try:
        return ssl.TLSVersion[written.replace(".", "_")]
    except KeyError:
        raise BadSettings(
            "DATABASE_URL: ssl_min_protocol_version and ssl_max_protocol_version are TLSv1.2 or TLSv1.3"
        ) from None
