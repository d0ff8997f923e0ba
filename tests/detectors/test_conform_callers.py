"""Who called: the best identity wins, a masked address is nobody, and pseudonyms hide people but keep them apart."""

import pytest

from detectors.conform import ConformOptions, conform_json
from detectors.conform.callers import MASKED, parse_address
from detectors.conform.triggers import parse_binding, parse_reason
from tests.detectors.azure_records import HOST_API, REQUEST, changed, lines

UPSTREAM = "cid-v1:0236a5cc-b73b-454b-85c4-8728dd0d5963"


def row(record, options=None):
    result = conform_json(lines(record), "here", 0, options)
    (found,) = result.rows.to_pylist()
    return found


def test_the_order_is_property_user_address_role_geography_unknown():
    options = ConformOptions(caller_property="who")
    record = changed(REQUEST, {"who": "key-7"}, UserAuthenticatedId="ann", Source=f"{UPSTREAM} | roleName:till")
    seen = []
    for gone in (
        {},
        {"properties": {"who": None}},
        {"UserAuthenticatedId": None},
        {"ClientIP": MASKED},
        {"Source": UPSTREAM},
        {"Source": None},
    ):
        record = changed(record, **gone)
        seen.append(row(record, options)["caller"])
    record = changed(record, ClientCity=None, ClientCountryOrRegion=None, ClientStateOrProvince=None)
    seen.append(row(record, options)["caller"])
    assert seen == [
        "property:key-7",
        "user:ann",
        "address:203.0.113.7",
        "role:till",
        f"role:{UPSTREAM}",
        "geography:Finland/Uusimaa/Helsinki",
        "unknown:unknown",
    ]


@pytest.mark.parametrize("told", ["cid-v1:", "cid-v1:me", "roleName:", "roleName:\x1b[31m", "x" * 3_000, "sb://bus/q"])
def test_a_source_that_names_no_app_upstream_is_nobody(told):
    assert row(changed(REQUEST, ClientIP=MASKED, Source=told))["caller_source"] == "geography"


def test_what_fires_a_queue_run_is_no_app_upstream():
    reason = {"TriggerReason": "New queue message detected on 'orders'.", "HttpMethod": None, "HttpPath": None}
    assert row(changed(REQUEST, reason, Url=None, Source=UPSTREAM))["caller"] == "queue:orders"


@pytest.mark.parametrize("masked", [MASKED, "", None, "::", f"{MASKED}:0", "not an address", "010.1.1.1"])
def test_a_masked_or_broken_address_is_missing(masked):
    found = row(changed(REQUEST, ClientIP=masked))
    assert (found["address"], found["network"]) == (None, None)
    assert found["caller_source"] == "geography"


@pytest.mark.parametrize(
    ("given", "address", "network"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.0/24"),
        ("203.0.113.7:51234", "203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1:2::7", "2001:db8:1::/48"),
        ("[2001:DB8:1:2::7]:443", "2001:db8:1:2::7", "2001:db8:1::/48"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.0/24"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::1", "fe80::/48"),
    ],
)
def test_an_address_is_read_in_all_its_forms(given, address, network):
    assert parse_address(given) == (address, network)
    found = row(changed(REQUEST, ClientIP=given))
    assert (found["address"], found["network"], found["caller"]) == (address, network, f"address:{address}")


def test_geography_is_trusted_only_from_the_host():
    worker = row(changed(REQUEST, SDKVersion="dotnetiso:1.0", ClientIP=MASKED))
    assert (worker["country"], worker["caller"]) == (None, "unknown:unknown")
    silent = row(changed(REQUEST, SDKVersion=None, ClientIP=MASKED))
    assert silent["country"] == "Finland"


def test_a_queue_run_is_called_by_its_queue_and_has_no_status_place_or_address():
    reason = {"TriggerReason": "New queue message detected on 'orders'.", "HttpMethod": None, "HttpPath": None}
    found = row(changed(REQUEST, reason, Url=None, ResultCode="0"))
    assert (found["trigger"], found["trigger_source"], found["caller"]) == ("queue", "orders", "queue:orders")
    assert (found["status"], found["address"], found["country"]) == (None, None, None)


def test_a_manual_run_through_the_admin_api_is_its_own_kind():
    found = row(changed(REQUEST, {"HttpMethod": None, "HttpPath": None}, Url=None))
    assert (found["trigger"], found["caller"], found["status"]) == ("host-api", "host-api:host-api", None)


def test_a_timer_is_called_by_the_clock():
    reason = {"TriggerReason": "Timer fired at 2026-08-01T10:00:00.0+00:00", "HttpMethod": None, "HttpPath": None}
    found = row(changed(REQUEST, reason, Url=None))
    assert (found["trigger"], found["caller"], found["caller_confidence"]) == ("timer", "timer:timer", 1.0)


@pytest.mark.parametrize(
    ("reason", "kind", "source"),
    [
        (HOST_API, "http", None),
        ("New queue message detected on 'q-1'.", "queue", "q-1"),
        ("New queue message detected on q-1.", "queue", "q-1"),
        ("New ServiceBus message detected on 'topic/Subscriptions/sub'.", "servicebus", "topic/Subscriptions/sub"),
        ("New blob detected: pictures/2026/a.png", "blob", "pictures"),
        ("New blob detected(LogsAndContainerScan): pictures/a.png", "blob", "pictures"),
        ("Timer fired at 2026-08-01T10:05:00.0008310+00:00", "timer", None),
        ("(null)", "other", None),
    ],
)
def test_a_trigger_reason_tells_kind_and_source(reason, kind, source):
    assert parse_reason(reason) == (kind, source)


@pytest.mark.parametrize(
    ("binding", "kind"),
    [("http", "http"), ("httpTrigger", "http"), ("serviceBusTrigger", "servicebus"), ("x", "other")],
)
def test_a_binding_tells_the_kind(binding, kind):
    assert parse_binding(binding) == kind


def test_success_is_not_the_status():
    refused = row(changed(REQUEST, ResultCode="409"))
    assert (refused["succeeded"], refused["status"]) == (True, 409)
    thrown = row(changed(REQUEST, ResultCode="500", Success=False))
    assert (thrown["succeeded"], thrown["status"]) == (False, 500)


def test_pseudonyms_keep_people_apart_and_hide_them():
    options = ConformOptions(pseudonym_key=b"secret")
    first, again = row(REQUEST, options), row(changed(REQUEST, {"InvocationId": "b"}), options)
    other = row(changed(REQUEST, ClientIP="203.0.113.8"), options)
    assert first["caller"] == again["caller"] != other["caller"]
    assert first["network"] == other["network"]
    assert first["caller"] == "address:" + first["address"]
    assert len(first["address"]) == len(first["network"]) == 16
    assert "203.0.113" not in str(first)
    assert row(changed(REQUEST, UserAuthenticatedId="ann"), options)["caller"] == f"user:{options.pseudonym('ann')}"
    assert ConformOptions(pseudonym_key=b"other").pseudonym("ann") != options.pseudonym("ann")


def test_the_pseudonym_key_is_never_printed():
    assert "secret" not in repr(ConformOptions(pseudonym_key=b"secret"))


def test_dead_letters_keep_no_identity_where_pseudonyms_are_asked_for():
    options = ConformOptions(pseudonym_key=b"secret")
    result = conform_json(lines(changed(REQUEST, TimeGenerated=None)), "here", 0, options)
    assert "203.0.113" not in str(result.dead.to_pylist())
