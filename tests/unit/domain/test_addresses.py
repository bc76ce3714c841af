"""An address is judged by what it means, in whatever form it comes."""

import pytest

from gateway.domain.address import PUBLIC_ONLY, Reach, is_odd_number, kind_of, names_loopback, names_ollamas_cloud


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.216.34", ""),
        ("2606:2800:220:1:248:1893:25c8:1946", ""),
        ("::ffff:93.184.216.34", ""),
        ("64:ff9b::5db8:d822", ""),
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("2002:7f00:1::", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("0.0.0.0", "an unspecified address"),
        ("::", "an unspecified address"),
        ("224.0.0.1", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("168.63.129.16", "a reserved address"),
        ("192.168.0.1", "a private address"),
        ("100.64.0.1", "a private address"),
        ("fec0::1", "a private address"),
        ("fd12::1", "a private address"),
        ("somewhere", "no address"),
        ("", "no address"),
    ],
)
def test_an_address_has_a_kind(address: str, kind: str) -> None:
    assert kind_of(address) == kind


@pytest.mark.parametrize("host", ["localhost", "LocalHost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_some_hosts_can_only_be_this_machine(host: str) -> None:
    assert names_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.nip.io", "127.1", "10.0.0.1", ""])
def test_others_may_be_any(host: str) -> None:
    assert not names_loopback(host)


@pytest.mark.parametrize("host", ["ollama.com", "OLLAMA.com.", "api.ollama.com", "\uff4fllama.com", "ollama\u3002com"])
def test_some_hosts_can_only_be_ollamas_cloud(host: str) -> None:
    assert names_ollamas_cloud(host)


@pytest.mark.parametrize("host", ["notollama.com", "ollama.com.example", "ollama", "ollama.local", "127.0.0.1", ""])
def test_others_are_not_ollamas_cloud(host: str) -> None:
    assert not names_ollamas_cloud(host)


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3.4.", "10.0.0.256"])
def test_a_number_in_another_form_than_the_usual_is_odd(host: str) -> None:
    assert is_odd_number(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "example.com", "a1", "4chan.example", "3com", "::1", ""])
def test_names_and_usual_numbers_are_not_odd(host: str) -> None:
    assert not is_odd_number(host)


def test_a_server_that_the_operator_declared_may_have_any_address_at_its_port() -> None:
    lab = Reach(host="lab.lan", port=8000, local=True)
    assert lab.refuses("192.168.1.5", port=8000) == ""
    assert lab.refuses("192.168.1.5", port=22) == "192.168.1.5 is a private address"
    assert lab.refuses("93.184.216.34", port=443) == ""


def test_a_stand_in_is_on_this_machine_at_its_port_and_nowhere_else() -> None:
    stand_in = Reach(host="localhost", port=8000)
    assert stand_in.refuses("127.0.0.1", port=8000) == ""
    assert stand_in.refuses("127.0.0.1", port=8001) == "127.0.0.1 is a loopback address"
    assert stand_in.refuses("93.184.216.34", port=8000) == "93.184.216.34 is not on this machine"


def test_a_cloud_is_at_public_addresses() -> None:
    cloud = Reach(host="api.example.com", port=443)
    for reach in (cloud, PUBLIC_ONLY):
        assert reach.refuses("93.184.216.34", port=443) == ""
        assert reach.refuses("10.1.2.3", port=443) == "10.1.2.3 is a private address"
