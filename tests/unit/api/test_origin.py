"""Which names of hosts and sites are this machine's."""

import pytest

from gateway.api.origin import host_of, host_of_origin, is_loopback_host


@pytest.mark.parametrize(
    "value",
    ["localhost", "localhost:4000", "127.0.0.1:80", "127.1.2.3", "[::1]:4000", "LocalHost.", "chat.localhost:1"],
)
def test_this_machine_is_known_by_its_names(value: str) -> None:
    assert is_loopback_host(host_of(value))


@pytest.mark.parametrize(
    "value", ["example.org", "127.0.0.1.example.org", "localhost.localdomain", "10.0.0.1", "[::2]:1"]
)
def test_another_name_is_not_this_machines(value: str) -> None:
    assert not is_loopback_host(host_of(value))


@pytest.mark.parametrize(
    "value",
    [
        "", "me@localhost", "[::1].example.org", "localhost/path", "localhost?query", "localhost#part", "localhost:port",
        "localhost:", "127.0.0.1:4000, example.org", "localhost localhost", "[::1", "localhost\\@example.org",
    ],
)  # fmt: skip
def test_what_is_more_than_a_host_and_a_port_is_none(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (its text is the value)
        host_of(value)


@pytest.mark.parametrize("value", ["http://localhost:3000", "https://127.0.0.1", "tauri://localhost"])
def test_a_site_of_this_machine_is_one(value: str) -> None:
    assert is_loopback_host(host_of_origin(value))


@pytest.mark.parametrize(
    "value", ["null", "http://", "localhost", "http://example.org\\@localhost", "http://me@localhost"]
)
def test_a_site_without_a_plain_host_is_none(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (its text is the value)
        host_of_origin(value)
