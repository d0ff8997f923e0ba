"""Who called: the best identity a row offers, with where it was taken from (telemetry: 'Who called').

A caller is written ``source:value``: ``property:9f2c``, ``user:ann@example.org``, ``address:203.0.113.7``,
``geography:Finland/Uusimaa/Helsinki``, ``queue:orders``, ``timer:timer``, ``host-api:host-api``, ``unknown:unknown``.
``role:shop`` or ``role:cid-v1:…`` is the app upstream, where its call said so (docs/decisions/0014).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform import triggers
from detectors.conform.distinct import Distinct, combined, first_of
from detectors.conform.options import ConformOptions
from detectors.schema import CALLER_CONFIDENCE

_OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"
#: what Azure writes instead of an address it hides (trap 7): missing, never one caller
MASKED: Final = "0.0.0.0"  # noqa: S104  an address to compare with, nothing listens on it
#: prefix lengths of the network of an address: what one customer line or site usually holds
_V4_PREFIX: Final = 24
_V6_PREFIX: Final = 48
#: addresses whose reading is kept: callers come again in the next batch
_REMEMBERED: Final = 16_384
_SOURCES: Final = tuple(CALLER_CONFIDENCE)
#: Source of an HTTP row whose caller is instrumented, too: the id of its Application Insights, maybe its role
_UPSTREAM_ROLE: Final = r"(?:^|[|,; ])roleName:(?P<role>[A-Za-z0-9][A-Za-z0-9._-]{0,127})"
_UPSTREAM_ID: Final = r"(?:^|[|,; ])(?P<id>cid-v1:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"


class Callers(NamedTuple):
    """Identity of n rows."""

    caller: Distinct
    source: Distinct
    #: float32[n]
    confidence: NDArray[np.float32]
    address: Distinct
    network: Distinct


@lru_cache(maxsize=_REMEMBERED)
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
    host_bits = address.max_prefixlen - prefix
    network = type(address)(int(address) >> host_bits << host_bits)
    return str(address), f"{network}/{prefix}"


def addresses(found: Distinct, options: ConformOptions) -> tuple[Distinct, Distinct]:
    """Addresses and networks of whatever stands in ClientIP; none where masked or unreadable."""
    values = found.values
    if len(values) == 0:
        return found, found
    usual = pc.and_(pc.match_substring_regex(values, _IPV4), pc.not_equal(values, MASKED))
    none = pa.scalar(None, pa.string())
    address = pc.if_else(usual, values, none)
    network = pc.replace_substring_regex(address, r"\.[0-9]+$", f".0/{_V4_PREFIX}")
    unusual = pc.invert(usual)
    if pc.any(unusual).as_py():
        parsed = [parse_address(value) or (None, None) for value in values.filter(unusual).to_pylist()]
        address = pc.replace_with_mask(address, unusual, pa.array([pair[0] for pair in parsed], pa.string()))
        network = pc.replace_with_mask(network, unusual, pa.array([pair[1] for pair in parsed], pa.string()))
    return hide(found.mapped(lambda _: address), options), hide(found.mapped(lambda _: network), options)


def hide(identities: Distinct, options: ConformOptions) -> Distinct:
    """Identities as pseudonyms where the options ask for it."""
    return identities if options.pseudonym_key is None else identities.each(options.pseudonym)


def upstream(source: pa.Array) -> pa.Array:
    """The app upstream that Source of HTTP rows tells, string[n]: its role, else the id of its Application Insights.

    >>> upstream(pa.array(["cid-v1:0236a5cc-b73b-454b-85c4-8728dd0d5963 | roleName:shop", "elsewhere"])).to_pylist()
    ['shop', None]
    """
    role = pc.struct_field(pc.extract_regex(source, _UPSTREAM_ROLE), "role")
    told = pc.struct_field(pc.extract_regex(source, _UPSTREAM_ID), "id")
    return pc.coalesce(role, pc.utf8_lower(told))


def callers(
    fired: triggers.Triggers,
    *,
    owner_property: Distinct | None = None,
    user: Distinct | None = None,
    client_ip: Distinct | None = None,
    source: Distinct | None = None,
    geography: tuple[Distinct, Distinct, Distinct] | None = None,
    options: ConformOptions,
) -> Callers:
    """Callers of n rows; an identity that no row has may be None.

    Geography (country, state, city) must be missing already where it can't be trusted.
    """
    rows = len(fired.kind)
    http = fired.kind == triggers.HTTP
    open_ended = http | (fired.kind == triggers.OTHER)
    address = network = Distinct.none(rows)
    if client_ip is not None:
        address, network = addresses(client_ip.where(open_ended | (fired.kind == triggers.HOST_API)), options)

    found: list[tuple[str, Distinct]] = []
    fixed = np.isin(fired.kind, (triggers.TIMER, triggers.HOST_API))
    if owner_property is not None:
        found.append(("property", hide(owner_property.where(~fixed), options)))
    if user is not None:
        found.append(("user", hide(user.where(open_ended), options)))
    found.append(("address", address.where(open_ended)))
    if source is not None:
        found.append(("role", source.where(http).mapped(upstream)))
    if geography is not None:
        found.append(("geography", combined(geography, _place)))
    found.append(("queue", fired.source.where(np.isin(fired.kind, (*triggers.MESSAGING, triggers.OTHER)))))

    taken = np.full(rows, _SOURCES.index("unknown"), np.int32)
    taken[fired.kind == triggers.TIMER] = _SOURCES.index("timer")
    taken[fired.kind == triggers.HOST_API] = _SOURCES.index("host-api")
    open_rows = ~fixed
    choices = []
    for name, identities in found:
        chosen = open_rows & identities.valid
        if not chosen.any():
            continue
        taken[chosen] = _SOURCES.index(name)
        open_rows &= ~chosen
        choices.append(_prefixed(name, identities.where(chosen)))
    rest = Distinct(taken, pa.array([f"{name}:{name}" for name in _SOURCES], pa.string()))
    return Callers(
        caller=first_of([*choices, rest], rows),
        source=Distinct(taken, pa.array(_SOURCES, pa.string())),
        confidence=np.array(list(CALLER_CONFIDENCE.values()), np.float32)[taken],
        address=address,
        network=network,
    )


def _place(parts: list[pa.Array]) -> pa.Array:
    """``country/state/city``, string[k] each, without what is missing; null where all is."""
    # not null_handling="skip": it loses the rows in which every part is null
    prefixed = [pc.fill_null(pc.binary_join_element_wise("/", part, ""), "") for part in parts]
    place = pc.binary_join_element_wise(*prefixed, "")
    return pc.if_else(pc.equal(place, ""), pa.scalar(None, pa.string()), pc.utf8_slice_codeunits(place, 1))


def _prefixed(name: str, identities: Distinct) -> Distinct:
    return identities.mapped(lambda values: pc.binary_join_element_wise(f"{name}:", values, ""))
