"""Which addresses are public: the corpus, the clouds, and the IANA registries as an oracle."""

from __future__ import annotations

import contextlib
import csv
import ipaddress
import re

import pytest
from conftest import CORPORA, corpus, needs_corpora
from hypothesis import given
from hypothesis import strategies as st

from runner.net.guard import is_public

V4 = ipaddress.IPv4Address
V6 = ipaddress.IPv6Address


@needs_corpora
@pytest.mark.parametrize("case", corpus("ssrf/ips.jsonl"), ids=lambda case: str(case["id"]))
def test_an_address_of_the_corpus_is_judged_as_the_corpus_says(case: dict[str, str]) -> None:
    verdict = is_public(case["input"])

    if case["expected"] != "either":
        assert verdict is (case["expected"] == "allow")


METADATA = {
    "AWS, GCP, Azure, Oracle, DigitalOcean": "169.254.169.254",
    "AWS containers": "169.254.170.2",
    "AWS IPv6": "fd00:ec2::254",
    "AWS containers IPv6": "fd00:ec2::23",
    "GCP IPv6": "fd20:ce::254",
    "Oracle IPv6": "fd00:c1::a9fe:a9fe",
    "Oracle classic": "192.0.0.192",
    "Azure wire server": "168.63.129.16",
    "Alibaba": "100.100.100.200",
    "Tencent": "169.254.0.23",
    "Scaleway IPv6": "fd00:42::42",
}


@pytest.mark.parametrize("address", METADATA.values(), ids=METADATA.keys())
def test_the_metadata_service_of_a_cloud_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["168.63.129.15", "168.63.129.17", "100.128.0.0", "11.0.0.0", "172.32.0.0"]
)
def test_the_neighbours_of_a_refused_block_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "2001:4860:4860::8888",
    ],
)
def test_servers_that_everybody_knows_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "text",
    ["", " ", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "127.0.0.01", "1.1.1.1 ",
     " 1.1.1.1", "[::1]", "1.1.1.1/32",
     "1.1.1.1\n", "١.1.1.1", "①.1.1.1",
     "::1::", "12345::", "1.1.1", "1.1.1.1.1", "256.1.1.1", "::1%", "%eth0"],
)  # fmt: skip
def test_what_is_no_address_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        is_public(text)


@pytest.mark.parametrize("value", [None, 2130706433, b"1.1.1.1", 1.5])
def test_what_is_not_even_text_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        is_public(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700:4700::1111%eth0", "fe80::1%25lo", "::1%1"])
def test_an_address_with_a_zone_is_never_public(address: str) -> None:
    assert not is_public(address)


def embedded(inside: V4) -> dict[str, V6]:
    """Every way of carrying an IPv4 address in an IPv6 one."""
    value = int(inside)
    return {
        "mapped": V6((0xFFFF << 32) | value),
        "compatible": V6(value),
        "translated": V6((0xFFFF << 48) | value),
        "nat64": V6((0x0064FF9B << 96) | value),
        "local nat64": V6((0x0064FF9B0001 << 80) | value),
        "6to4": V6((0x2002 << 112) | (value << 80) | 1),
        "teredo server": V6((0x20010000 << 96) | (value << 64)),
        "teredo client": V6((0x20010000 << 96) | (value ^ 0xFFFF_FFFF)),
        "isatap": V6((0x2606470000000000 << 64) | (0x00005EFE << 32) | value),
        "isatap, global bit": V6((0x2606470000000000 << 64) | (0x02005EFE << 32) | value),
    }


LOOPBACK_IN_DISGUISE = embedded(V4("127.0.0.1"))


@pytest.mark.parametrize("address", LOOPBACK_IN_DISGUISE.values(), ids=LOOPBACK_IN_DISGUISE.keys())
def test_loopback_hidden_in_ipv6_is_not_public(address: V6) -> None:
    assert not is_public(str(address))


def test_a_public_address_behind_the_well_known_nat64_prefix_is_public() -> None:
    """IPv6-only machines (RFC 6052, RFC 6147) see the whole IPv4 internet like this."""
    assert is_public("64:ff9b::8.8.8.8")


def registry() -> list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, bool]]:
    """The registries as the corpus has them: (block, globally reachable)."""
    rows = []
    for version in (4, 6):
        path = CORPORA / f"ssrf/iana-ipv{version}-special-registry-1.csv"
        if not path.exists():
            continue
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for block in re.sub(r"\s*\[\d+\]", "", row["Address Block"]).split(","):
                    reachable = row["Globally Reachable"].startswith("True")
                    rows.append((ipaddress.ip_network(block.strip()), reachable))
    return rows


REGISTRY = registry()
# The guard is stricter than the registry in these, all anycast or no locators; see runner/net/table.py.
STRICTER = [net for net, reachable in REGISTRY if reachable and str(net) != "64:ff9b::/96"]
CLOUDS = [V4("168.63.129.16")]


def oracle(address: V4 | V6) -> bool | None:
    """What the registries say, None where the guard may differ; written without the guard's own table."""
    if address.is_multicast or address in CLOUDS:
        return False
    rows = [(net.prefixlen, reachable) for net, reachable in REGISTRY if address in net]
    if isinstance(address, V6):
        if address in ipaddress.IPv6Network("64:ff9b::/96"):
            return oracle(V4(int(address) & 0xFFFF_FFFF))
        if (int(address) >> 32) & 0xFDFF_FFFF == 0x5EFE and oracle(
            V4(int(address) & 0xFFFF_FFFF)
        ) is not True:
            return None
        if address not in ipaddress.IPv6Network("2000::/3"):
            return False
    if any(address in net for net in STRICTER):
        return None
    return not rows or max(rows)[1]


ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.sampled_from(REGISTRY or [(ipaddress.ip_network("10.0.0.0/8"), False)]).flatmap(
        lambda row: st.ip_addresses(network=row[0])
    ),
    st.sampled_from(REGISTRY or [(ipaddress.ip_network("10.0.0.0/8"), False)])
    .map(lambda row: (row[0][0], row[0][-1]))
    .flatmap(st.sampled_from),
)


@needs_corpora
@given(ADDRESSES)
def test_an_address_is_public_exactly_when_the_registries_say_so(address: V4 | V6) -> None:
    expected = oracle(address)

    if expected is not None:
        assert is_public(str(address)) is expected


@needs_corpora
@given(ADDRESSES, st.sampled_from([-1, 1]))
def test_the_address_beside_a_block_is_judged_as_the_registries_say(address: V4 | V6, step: int) -> None:
    try:
        beside = address + step
    except ipaddress.AddressValueError:
        return
    expected = oracle(beside)

    if expected is not None:
        assert is_public(str(beside)) is expected


@needs_corpora
@given(st.one_of(st.ip_addresses(v=4), ADDRESSES.filter(lambda address: address.version == 4)))
def test_an_ipv4_address_that_is_not_public_is_not_public_in_any_disguise(address: V4) -> None:
    if oracle(address) is False:
        assert [name for name, hidden in embedded(address).items() if is_public(str(hidden))] == []


@given(st.ip_addresses(v=4))
def test_no_tunnel_is_public_whatever_it_carries(address: V4) -> None:
    tunnels = embedded(address)
    for name in ("nat64", "isatap", "isatap, global bit"):
        del tunnels[name]

    assert [name for name, hidden in tunnels.items() if is_public(str(hidden))] == []


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert is_public(text) in (True, False)


def test_most_of_what_must_be_refused_is_let_through_by_the_standard_library() -> None:
    """Why the table exists; when this fails, look whether it still has to."""
    # 2002:7f00:1:: is left out: what is_global says of 6to4 changed between Python's patch releases.
    hidden = [V6("64:ff9b::7f00:1"), V4("168.63.129.16"), V6("2606:4700::5efe:7f00:1")]

    assert [address for address in hidden if address.is_global and not is_public(str(address))] == hidden
