"""Who called: the best identity a row offers, with where it was taken from (telemetry: 'Who called').

A caller is written ``source:value``: ``property:9f2c``, ``user:ann@example.org``, ``address:203.0.113.7``,
``geography:Finland/Uusimaa/Helsinki``, ``queue:orders``, ``timer:timer``, ``host-api:host-api``, ``unknown:unknown``.
``role:shop`` or ``role:cid-v1:…`` is the app upstream, where its call said so (docs/decisions/0014).
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform import triggers
from detectors.conform.options import ConformOptions
from detectors.schema import CALLER_CONFIDENCE

_OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"
#: what Azure writes instead of an address it hides (trap 7): missing, never one caller
MASKED: Final = "0.0.0.0"  # noqa: S104  an address to compare with, nothing listens on it
#: prefix lengths of the network of an address: what one customer line or site usually holds
_V4_PREFIX: Final = 24
_V6_PREFIX: Final = 48
_SOURCES: Final = tuple(CALLER_CONFIDENCE)
#: Source of an HTTP row whose caller is instrumented, too: the id of its Application Insights, maybe its role
_UPSTREAM_ROLE: Final = r"(?:^|[|,; ])roleName:(?P<role>[A-Za-z0-9][A-Za-z0-9._-]{0,127})"
_UPSTREAM_ID: Final = r"(?:^|[|,; ])(?P<id>cid-v1:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"


class Callers(NamedTuple):
    """Identity of n rows, each string[n] but the confidence, float32[n]."""

    caller: pa.Array
    source: pa.Array
    confidence: pa.Array
    address: pa.Array
    network: pa.Array


def parse_address(value: str) -> tuple[str, str] | None:
    """An address and its network, from ``ip``, ``ip:port``, ``[ip]:port`` or a list of hops; None if masked or none.

    >>> parse_address("203.0.113.7:51234")
    ('203.0.113.7', '203.0.113.0/24')
    """
    value = value.partition(",")[0].strip().strip('"')
    if value.startswith("["):
        value = value[1:].partition("]")[0]
    elif value.count(":") == 1:
        value = value.partition(":")[0]
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified:
        return None
    prefix = _V4_PREFIX if address.version == 4 else _V6_PREFIX
    network = ipaddress.ip_network((address, prefix), strict=False)
    return str(address), str(network)


def addresses(array: pa.Array, options: ConformOptions) -> tuple[pa.Array, pa.Array]:
    """Addresses and networks, string[n] each, of whatever stands in ClientIP; null where masked or unreadable."""
    encoded = array.dictionary_encode()
    unique = encoded.dictionary
    if len(unique) == 0:
        return pa.nulls(len(array), pa.string()), pa.nulls(len(array), pa.string())
    usual = pc.and_(pc.match_substring_regex(unique, _IPV4), pc.not_equal(unique, MASKED))
    none = pa.scalar(None, pa.string())
    address = pc.if_else(usual, unique, none)
    network = pc.replace_substring_regex(address, r"\.[0-9]+$", f".0/{_V4_PREFIX}")
    unusual = pc.invert(usual)
    if pc.any(unusual).as_py():
        parsed = [parse_address(value) or (None, None) for value in unique.filter(unusual).to_pylist()]
        address = pc.replace_with_mask(address, unusual, pa.array([pair[0] for pair in parsed], pa.string()))
        network = pc.replace_with_mask(network, unusual, pa.array([pair[1] for pair in parsed], pa.string()))
    if options.pseudonym_key is not None:
        address, network = hide(address, options), hide(network, options)
    return address.take(encoded.indices), network.take(encoded.indices)


def hide(array: pa.Array, options: ConformOptions) -> pa.Array:
    """Identities string[n] as pseudonyms where the options ask for it."""
    if options.pseudonym_key is None or array.null_count == len(array):
        return array
    encoded = array.dictionary_encode()
    hidden = [options.pseudonym(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(hidden, pa.string()).take(encoded.indices)


def upstream(source: pa.Array) -> pa.Array:
    """The app upstream that Source of HTTP rows tells, string[n]: its role, else the id of its Application Insights.

    >>> upstream(pa.array(["cid-v1:0236a5cc-b73b-454b-85c4-8728dd0d5963 | roleName:shop", "elsewhere"])).to_pylist()
    ['shop', None]
    """
    encoded = source.dictionary_encode()
    role = pc.struct_field(pc.extract_regex(encoded.dictionary, _UPSTREAM_ROLE), "role")
    told = pc.struct_field(pc.extract_regex(encoded.dictionary, _UPSTREAM_ID), "id")
    return pc.coalesce(role, pc.utf8_lower(told)).take(encoded.indices)


def callers(
    fired: triggers.Triggers,
    *,
    owner_property: pa.Array | None,
    user: pa.Array | None,
    client_ip: pa.Array | None,
    source: pa.Array | None = None,
    geography: tuple[pa.Array, pa.Array, pa.Array] | None,
    options: ConformOptions,
) -> Callers:
    """Callers of n rows; each identity is string[n], or None where no row has it.

    Geography (country, state, city) must be null already where it can't be trusted.
    """
    rows = len(fired.kind)
    http = fired.kind == triggers.HTTP
    open_ended = http | (fired.kind == triggers.OTHER)
    address = network = pa.nulls(rows, pa.string())
    if client_ip is not None:
        address, network = addresses(_where(open_ended | (fired.kind == triggers.HOST_API), client_ip), options)

    found: list[tuple[str, pa.Array]] = []
    fixed = np.isin(fired.kind, (triggers.TIMER, triggers.HOST_API))
    if owner_property is not None:
        found.append(("property", _where(~fixed, hide(owner_property, options))))
    if user is not None:
        found.append(("user", _where(open_ended, hide(user, options))))
    if address.null_count < rows:
        found.append(("address", _where(open_ended, address)))
    if source is not None:
        found.append(("role", upstream(_where(http, source))))
    if geography is not None:
        place = _place(geography)
        if place.null_count < rows:
            found.append(("geography", place))
    messaging = np.isin(fired.kind, (*triggers.MESSAGING, triggers.OTHER))
    found.append(("queue", _where(messaging, fired.source)))

    source = np.full(rows, _SOURCES.index("unknown"), np.int8)
    source[fired.kind == triggers.TIMER] = _SOURCES.index("timer")
    source[fired.kind == triggers.HOST_API] = _SOURCES.index("host-api")
    constants = pa.array([f"{name}:{name}" for name in _SOURCES], pa.string())
    open_rows = ~fixed
    choices = []
    for name, values in found:
        valid = values.is_valid().to_numpy(zero_copy_only=False)
        chosen = open_rows & valid
        if not chosen.any():
            continue
        source[chosen] = _SOURCES.index(name)
        open_rows &= ~valid
        choices.append(_where(chosen, _prefixed(name, values)))
    rest = constants.take(pa.array(source))
    confidence = np.array(list(CALLER_CONFIDENCE.values()), np.float32)[source]
    return Callers(
        caller=pc.coalesce(*choices, rest) if choices else rest,
        source=pa.array(_SOURCES, pa.string()).take(pa.array(source)),
        confidence=pa.array(confidence),
        address=address,
        network=network,
    )


def _place(geography: tuple[pa.Array, pa.Array, pa.Array]) -> pa.Array:
    """``country/state/city``, without what is missing; null where all is."""
    # not null_handling="skip": it loses the rows in which every part is null
    parts = [pc.fill_null(_prefixed("", part, "/"), "") for part in geography]
    place = pc.binary_join_element_wise(*parts, "")
    return pc.if_else(pc.equal(place, ""), pa.scalar(None, pa.string()), pc.utf8_slice_codeunits(place, 1))


def _prefixed(name: str, values: pa.Array, sign: str = ":") -> pa.Array:
    encoded = values.dictionary_encode()
    return pc.binary_join_element_wise(name + sign, encoded.dictionary, "").take(encoded.indices)


def _where(mask: NDArray[np.bool_], array: pa.Array) -> pa.Array:
    """The array where the mask holds, else null."""
    return array if mask.all() else pc.if_else(pa.array(mask), array, pa.scalar(None, array.type))
