"""Which address a request is taken to come from."""

from ipaddress import ip_network

import pytest

from ticket_service.http.client_address import MAX_HOPS, ClientAddresses

TRUSTED = ("10.0.0.0/8", "192.0.2.7", "2400:cb00::/32", "104.16.0.0/13")
"""Proxies in a private network, one by its address, and some of a network in front of them."""

CLIENT = "11.22.33.44"
OTHER = "12.34.56.78"

addresses = ClientAddresses(tuple(ip_network(network) for network in TRUSTED))


def address(peer: str, chain: str | None = None, trusting: ClientAddresses = addresses):
    header = {} if chain is None else {"HTTP_X_FORWARDED_FOR": chain}
    return trusting.of({"REMOTE_ADDR": peer, **header})


@pytest.mark.parametrize("chain", [None, OTHER, f"{OTHER}, 10.0.0.1", "10.0.0.1", "x", ","])
def test_whoever_is_no_trusted_proxy_is_the_client(chain: str | None):
    assert address(CLIENT, chain) == CLIENT


@pytest.mark.parametrize("chain", [None, OTHER, "x"])
def test_without_trusted_proxies_nobody_is_believed(chain: str | None):
    assert address(CLIENT, chain, ClientAddresses(())) == CLIENT
    assert address("10.0.0.1", chain, ClientAddresses(())) is None


@pytest.mark.parametrize(
    "chain",
    [
        CLIENT,
        f"{OTHER}, {CLIENT}",
        f"{OTHER},{CLIENT}",
        f"10.0.0.5, {CLIENT}",
        f"garbage, {CLIENT}",
        f", ,{CLIENT}",
        f"{CLIENT}, 10.9.8.7",
        f"{OTHER}, {CLIENT}, 192.0.2.7, 10.9.8.7",
        f"{OTHER}, {CLIENT}, 2400:cb00::5",
        f"{OTHER}, {CLIENT}, 104.17.1.1:443, [2400:cb00::5]:80",
        f"{CLIENT}:4711",
        f" {CLIENT} ",
        f"::ffff:{CLIENT}",
        f"[::ffff:{CLIENT}]:4711",
        f"{OTHER}, " * 1_000 + CLIENT,
    ],
)
def test_the_last_one_that_is_no_trusted_proxy_is_the_client(chain: str):
    for peer in ("10.1.2.3", "192.0.2.7", "2400:cb00::1", "::ffff:10.1.2.3"):
        assert address(peer, chain) == CLIENT


@pytest.mark.parametrize(
    "hop",
    [
        *("unknown", "_hidden", "", "-", "999.1.1.1", "11.22.33", "11.22.33.44/8", "0x7f.1"),
        *("[", "[]", "[]:80", "[11.22.33.44", ":80", ":::", "1:2:3", "11.22.33.44:80:90"),
        *("for=11.22.33.44", '"11.22.33.44"', "\u0661\u0661.22.33.44", "1" * 61),
    ],
)
def test_what_is_no_address_ends_the_chain(hop: str):
    assert address("104.16.0.1", f"{CLIENT}, {hop}") == "104.16.0.1"
    assert address("10.0.0.1", f"{CLIENT}, {hop}") is None


def test_without_a_chain_the_proxy_is_the_client():
    assert address("104.16.0.1") == "104.16.0.1"
    assert address("104.16.0.1", "104.16.0.2, 104.16.0.3") == "104.16.0.2"


@pytest.mark.parametrize(
    "private",
    [
        *("127.0.0.1", "10.1.1.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1"),
        *("::1", "fe80::1", "fe80::1%eth0", "fd00::1", "0.0.0.0", "", "unix:"),
    ],
)
def test_a_private_address_is_no_clients(private: str):
    assert address(private) is None
    assert address("10.0.0.1", private) is None


@pytest.mark.parametrize(
    "written", ["2600:1:2:3::1", "2600:1:2:3:ffff::2", "[2600:1:2:3::3]", "[2600:1:2:3::4]:443"]
)
def test_of_an_ipv6_address_the_network_counts(written: str):
    assert address("10.0.0.1", written) == "2600:1:2:3::/64"
    assert address("10.0.0.1", "2600:1:2:4::1") == "2600:1:2:4::/64"


def test_a_long_chain_of_trusted_proxies_is_cut_off():
    chain = ", ".join([CLIENT, *["10.0.0.1"] * (MAX_HOPS - 1)])
    assert address("10.0.0.1", chain) == CLIENT
    assert address("10.0.0.1", f"{chain}, 10.0.0.1") is None
