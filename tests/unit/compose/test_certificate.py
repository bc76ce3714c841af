"""A certificate is tried before anybody listens, and the commands know the gateway by it."""

import ssl
from pathlib import Path

import pytest

from certificates import a_certificate
from gateway.compose.certificate import certificate_trust, check_certificate
from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.file_errors import ConfigInvalid


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (("", "KEY"), "--tls-key: gateway.tls_key: found a key, and no certificate; allowed: both, or neither"),
        (
            ("NONE", "KEY"),
            "--tls-cert: gateway.tls_cert: found NONE: No such file or directory; allowed: a certificate (PEM) that can be read",
        ),
        (
            ("KEY", "KEY"),
            "--tls-cert: gateway.tls_cert: found KEY: there is none in it; allowed: a certificate (PEM) that can be read",
        ),
        (
            ("CERT", "NONE"),
            "--tls-key: gateway.tls_key: found NONE: No such file or directory; allowed: its private key (PEM), not encrypted",
        ),
        (
            ("CERT", "OTHER"),
            (
                "--tls-key: gateway.tls_key: found OTHER: it is the key of another certificate; "
                "allowed: its private key (PEM), not encrypted"
            ),
        ),
        (
            ("CERT", ""),
            (
                "gateway: gateway.tls_key: found CERT: there is no key in it that can be read; "
                "allowed: its private key (PEM), not encrypted"
            ),
        ),
        (
            ("CERT", "LOCKED"),
            (
                "--tls-key: gateway.tls_key: found LOCKED: it is encrypted, and nobody is there to ask for its passphrase; "
                "allowed: its private key (PEM), not encrypted"
            ),
        ),
        (("CERT", "KEY"), ""),
        (("BOTH", ""), ""),
    ],
)
def test_a_certificate_that_does_not_serve_is_found_before_anybody_listens(
    files: tuple[str, str], problem: str, tmp_path: Path
) -> None:
    a_certificate(tmp_path / "CERT", tmp_path / "KEY")
    a_certificate(tmp_path / "ANOTHER", tmp_path / "OTHER")
    a_certificate(tmp_path / "THIRD", tmp_path / "LOCKED", passphrase=b"x")
    (tmp_path / "BOTH").write_bytes((tmp_path / "CERT").read_bytes() + (tmp_path / "KEY").read_bytes())
    cert, key = (str(tmp_path / name) if name else "" for name in files)
    configuration = load(
        folder=tmp_path,
        state_folder=tmp_path,
        environment=Environment(variables={"HOME": str(tmp_path)}),
        flags={"tls_cert": cert or None, "tls_key": key or None},
    )
    if not problem:
        check_certificate(configuration)
        return
    with pytest.raises(ConfigInvalid) as refused:
        check_certificate(configuration)
    said = str(refused.value.problems[0]).replace(f"{tmp_path}/", "")
    assert said.startswith(problem)


def test_commands_take_the_gateways_own_certificate_for_it_and_none_that_it_came_with(tmp_path: Path) -> None:
    for name in ("own", "another"):
        a_certificate(tmp_path / name, tmp_path / "key")
    chain = tmp_path / "chain"
    chain.write_bytes((tmp_path / "own").read_bytes() + (tmp_path / "another").read_bytes())
    trust = certificate_trust(str(chain))
    assert isinstance(trust, ssl.SSLContext)
    own = ssl.PEM_cert_to_DER_cert((tmp_path / "own").read_text(encoding="ascii"))
    assert (trust.get_ca_certs(binary_form=True), trust.verify_mode) == ([own], ssl.CERT_REQUIRED)
    assert certificate_trust("") is True
    assert certificate_trust(str(tmp_path / "none")) is True
