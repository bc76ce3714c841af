"""An address that cannot be listened on is refused with what to do about it."""

import socket

import pytest

from gateway.compose.listening import bind
from gateway.errors import AddressTaken


def test_a_port_that_is_taken_is_somebody_elses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressTaken) as refused:
            bind("127.0.0.1", port)
    assert str(refused.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert refused.value.hint == "stop what listens there, or choose another --port"


def test_an_address_of_another_machine_is_not_said_to_be_taken() -> None:
    with pytest.raises(AddressTaken) as refused:
        bind("192.0.2.1", 4000)
    assert str(refused.value) == "cannot listen on 192.0.2.1:4000: Cannot assign requested address"
    assert refused.value.hint == "--host is an address of this machine, or 0.0.0.0 for all of them"


def test_a_name_that_leads_nowhere_is_said_to_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolved(*_: object, **__: object) -> socket.socket:
        try:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} (while attempting to bind)") from None

    monkeypatch.setattr(socket, "create_server", unresolved)
    with pytest.raises(AddressTaken) as refused:
        bind("nobody", 4000)
    assert str(refused.value) == "cannot listen on nobody:4000: this name leads to no address"
    assert refused.value.hint == "--host is an address of this machine, or 0.0.0.0 for all of them"
