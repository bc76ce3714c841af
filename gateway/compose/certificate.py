"""The certificate that the gateway speaks TLS with, and that its own commands know it by."""

import ssl
from pathlib import Path
from typing import Final

from gateway.config.settings import Configuration
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def check_certificate(configuration: Configuration) -> None:
    """Raises ``ConfigInvalid`` for a certificate and key that no TLS can be spoken with."""
    settings = configuration.gateway
    if not settings.tls_cert:
        if settings.tls_key:
            raise _no_certificate(
                configuration, "tls_key", found="a key, and no certificate", allowed="both, or neither"
            )
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert, settings.tls_key or None, password=_no_passphrase
        )
    except (OSError, ValueError) as exc:  # what ssl raises is an OSError
        name = "tls_key" if _is_certificate(settings.tls_cert) else "tls_cert"
        file = getattr(settings, name) or settings.tls_cert
        reason = _reason(exc, name=name)
        allowed = (
            "a certificate (PEM) that can be read" if name == "tls_cert" else "its private key (PEM), not encrypted"
        )
        raise _no_certificate(configuration, name, found=f"{file}: {reason}", allowed=allowed) from exc


def certificate_trust(tls_cert: str) -> ssl.SSLContext | bool:
    """What commands on the gateway's own machine take for its certificate: the configured one, for whatever name; else what the
    system trusts."""
    if not tls_cert or not _is_certificate(tls_cert):
        return True
    text = Path(tls_cert).read_text(encoding="ascii", errors="replace")
    # The first is the gateway's own; those behind it vouch for others, too.
    own = text[text.index(_BEGIN) : text.index(_END) + len(_END)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=own)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _reason(error: OSError | ValueError, *, name: str) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "it is the key of another certificate"
    return "there is none in it" if name == "tls_cert" else "there is no key in it that can be read"


def _is_certificate(file: str) -> bool:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError):
        return False
    return Path(file).is_file()


def _no_passphrase() -> str:
    raise ValueError("it is encrypted, and nobody is there to ask for its passphrase")


def _no_certificate(configuration: Configuration, name: str, *, found: str, allowed: str) -> ConfigInvalid:
    source = configuration.provenance.at(("gateway", name))
    place = source.file if source is not None else "gateway"
    return ConfigInvalid([Problem(file=place, key_path=f"gateway.{name}", found=found, allowed=allowed)])
