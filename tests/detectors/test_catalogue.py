"""The catalogue of findings: each kind is whole, and evidence finds its kind, whatever the identity and the scoring."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from detectors.catalogue import BY_ID, KINDS, Kind, classify
from detectors.catalogue.document import catalogue_markdown
from detectors.catalogue.kind import GROUPS, SEVERITIES, Signs, level
from detectors.catalogue.samples import START_US, sample
from detectors.catalogue.techniques import TECHNIQUES
from detectors.evidence import Evidence
from detectors.explain import describe
from detectors.features import FEATURE_NAMES
from tests.detectors.evidence import any_evidence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "findings.md"
WANTED = """
new-caller new-country impossible-travel lateral-movement off-hours unusual-pace enumeration credential-guessing
injection-probe malformed-calls refused-calls flood distributed-flood denial-of-wallet runaway-duration latency-shift
faster-than-usual failure-burst retry-storm poison-message off-schedule manual-run silence silence-app new-function
surplus-downstream
silence-downstream
client-refused bad-deployment slow-growth exfiltration queue-injection storm unusual fewer-calls
"""
#: tables, columns, settings and places of the portal that a step sends its reader to
AZURE = re.compile(
    r"App(Requests|Exceptions|Dependencies|Traces)|AzureActivity|Function App|Entra ID|Cost Management|WAF|host\.json"
    r"|Service Health|Explorer|API Management|function\.json"
)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)


def test_all_kinds_are_there_once() -> None:
    assert sorted(kind.id for kind in KINDS) == sorted(WANTED.split())


@each_kind
def test_an_example_is_of_its_kind(kind: Kind) -> None:
    assert classify(kind.example).id == kind.id


@each_kind
def test_techniques_are_known_and_steps_lead_somewhere(kind: Kind) -> None:
    assert set(kind.attack) <= set(TECHNIQUES)
    assert 3 <= len(kind.runbook) <= 5
    assert all(step[0].isupper() and step[-1] in ".?!" for step in kind.runbook)
    assert AZURE.search(" ".join(kind.runbook))


@each_kind
def test_a_kind_names_groups_of_features_that_exist(kind: Kind) -> None:
    assert set(kind.made_by) <= {*GROUPS, "silence"}


def test_every_feature_is_in_a_group_that_rules_can_read() -> None:
    assert {name for names in GROUPS.values() for name in names} == set(FEATURE_NAMES)


@each_kind
def test_severity_never_falls_when_more_is_refused_fails_and_runs(kind: Kind) -> None:
    worse = replace(kind.example, slow=kind.example.slow * 100, run_seconds=kind.example.run_seconds * 100)
    found = [SEVERITIES.index(kind.severity(Signs(evidence))) for evidence in (kind.example, worse)]
    assert found == sorted(found)


def test_severity_rises_by_one_step_a_condition_and_ends_at_critical() -> None:
    assert [level("low"), level("low", True), level("low", True, False, True)] == ["low", "medium", "high"]
    assert level("high", True, True, True) == "critical"


def test_a_share_booked_on_a_neighbour_in_its_family_hides_nothing() -> None:
    example = BY_ID["lateral-movement"].example
    booked = replace(
        example,
        share={"caller_new_here": 0.8, "caller_pace": 0.2},
        surprise={"caller_new_here": 5.0, "caller_new_to_app": 4.5, "caller_pace": 2.0},
    )
    assert classify(booked).id == "lateral-movement"


def test_travel_that_a_plane_could_make_is_a_new_country() -> None:
    example = BY_ID["impossible-travel"].example
    assert classify(replace(example, value={**example.value, "travel": 9 * 3600.0})).id == "new-country"


def test_a_country_rare_at_the_function_is_told_as_such() -> None:
    share = {"country_rare_here": 0.6, "caller_new": 0.4}
    rare = replace(
        BY_ID["new-country"].example,
        share=share,
        surprise=dict.fromkeys(share, 4.0),
        value={"country_rare_here": 0.0012},
    )
    told = describe(rare)
    assert told["kind"] == "new-country"
    assert told["title"] == "Calls from Brazil, rare at PayInvoice, by caller 9f2c"
    assert "a country that makes 0.1% of the calls there" in told["summary"]


def test_sign_ins_refused_over_many_functions_are_enumeration() -> None:
    example = BY_ID["enumeration"].example
    assert classify(replace(example, statuses={401: 38})).id == "enumeration"
    one = replace(example, functions=example.functions[:1], statuses={401: 38})
    assert classify(one).id == "credential-guessing"


def test_probes_of_a_masked_caller_are_known_by_their_signatures() -> None:
    example = BY_ID["injection-probe"].example
    masked = replace(
        example, lead="function", callers=(), distinct_callers=0, new_callers=0, share={"failure_burst": 1.0}
    )
    assert classify(masked).id == "injection-probe"


def test_a_scanner_that_is_refused_is_enumerating() -> None:
    example = BY_ID["enumeration"].example
    assert classify(replace(example, signatures=("secret file probe", "scanner tool"))).id == "enumeration"


def test_a_flood_without_identity_is_a_flood() -> None:
    masked = sample(
        "function", 4_000, 10, {"pace_minutes": 1.0}, value={"pace_minutes": 2e3}, typical={"pace_minutes": 9}
    )
    assert classify(masked).id == "flood"
    places = replace(masked, distinct_callers=40, callers=(("geography:Finland/Uusimaa/Helsinki", "geography", 300),))
    assert classify(places).id == "distributed-flood"


def test_a_queue_with_failures_alone_is_poison_and_with_delays_is_injection() -> None:
    example = BY_ID["poison-message"].example
    delayed = replace(example, failed=15, share={"redelivery": 0.4, "failure_burst": 0.3, "duration_high": 0.3})
    assert [classify(example).id, classify(delayed).id] == ["poison-message", "queue-injection"]


def test_failures_long_after_a_deployment_are_a_failure_burst() -> None:
    example = BY_ID["bad-deployment"].example
    late = replace(example, deployed_ago_s=6 * 3600.0)
    assert classify(late).id == "failure-burst"


def test_who_was_never_seen_before_and_fails_repeats_nothing() -> None:
    example = BY_ID["retry-storm"].example
    share = {"caller_failures": 0.5, "caller_pace": 0.2, "caller_new": 0.3}
    stranger = replace(example, share=share, value={**example.value, "caller_new": 60.0}, new_callers=1)
    assert classify(stranger).id != "retry-storm"


def test_a_known_caller_that_writes_far_more_than_ever_is_more_than_busy() -> None:
    example = replace(BY_ID["unusual-pace"].example, value={"caller_pace": 54.0}, typical={"caller_pace": 2.0})
    told = {methods: describe(replace(example, methods=methods)) for methods in (("GET",), ("POST",))}
    assert {one["kind"] for one in told.values()} == {"unusual-pace"}
    assert (told[("GET",)]["severity"], told[("POST",)]["severity"]) == ("low", "medium")


def test_a_known_client_that_fails_a_little_is_not_a_retry_storm() -> None:
    example = BY_ID["retry-storm"].example
    assert classify(replace(example, failed=60)).id != "retry-storm"


def test_many_calls_by_night_are_exfiltration_and_a_few_are_off_hours() -> None:
    share = {"caller_pace": 0.4, "caller_hours": 0.3, "caller_slow_here": 0.3}
    night = replace(BY_ID["exfiltration"].example, share=share, surprise=dict.fromkeys(share, 4.0))
    assert classify(night).id == "exfiltration"
    assert classify(replace(night, invocations=60)).id == "off-hours"


def test_a_function_made_busy_by_its_only_caller_is_told_as_that_callers_pace() -> None:
    share = {"pace_hour": 0.7, "caller_pace": 0.15}
    alone = sample("function", 62, 50, share, caller="user:u-1", value={"pace_hour": 15.0}, typical={"pace_hour": 0.1})
    assert classify(alone).id == "unusual-pace"
    night = replace(alone, share={**share, "caller_hours": 0.1}, surprise={"pace_hour": 6.0, "caller_hours": 3.0})
    assert classify(night).id == "off-hours"
    few = replace(alone, distinct_callers=9, callers=(("user:u-1", "user", 20),))
    assert classify(few).id == "unusual-pace"
    assert describe(few)["title"] == "Far busier than usual at PayInvoice: 9 callers"
    assert classify(replace(few, invocations=620)).id == "flood"


def test_a_flood_by_mostly_one_newcomer_is_a_flood_whoever_else_was_there() -> None:
    share = {"latency_shift": 0.6, "pace_minutes": 0.12, "cost_hour": 0.1, "caller_new_to_function": 0.03}
    flood = sample(
        "function", 5_275, 160, share, caller="address:203.0.113.7", failed=129, new_callers=1, duration_ms=(90, 2e3),
        value={"pace_minutes": 1_600.0}, typical={"pace_minutes": 17.0}, usual_ms=40.0,
    )  # fmt: skip
    callers = (("address:203.0.113.7", "address", 5_100), *((f"user:u-{n}", "user", 5) for n in range(35)))
    flood = replace(flood, callers=callers, distinct_callers=36)
    told = describe(flood)
    assert (told["kind"], told["title"]) == ("flood", "Flood at PayInvoice from address 203.0.113.7")
    assert "and 35 others: about 1,600 calls in five minutes where 17 are usual" in told["summary"]


def test_a_newcomer_that_takes_much_is_no_known_caller() -> None:
    example = BY_ID["exfiltration"].example
    assert classify(replace(example, caller_age_s=40 * 86_400.0)).id == "exfiltration"
    assert classify(replace(example, caller_age_s=5_700.0)).id == "flood"
    assert classify(replace(example, caller_age_s=5_700.0, invocations=120, value={})).id == "new-caller"


def test_one_of_a_crowd_is_told_as_its_part() -> None:
    share = {"pace_minutes": 0.5, "latency_shift": 0.3, "country_rare_here": 0.2}
    value = {"pace_minutes": 396.0, "newcomers": 113.0, "country_rare_here": 0.0}
    one = sample(
        "caller", 12, 35, share, caller="address:203.0.113.7", value=value, typical={"pace_minutes": 8.5}, new_callers=1
    )
    told = describe(one)
    assert (told["kind"], told["severity"]) == ("distributed-flood", "low")
    assert told["title"] == "Flood at PayInvoice with address 203.0.113.7 among the callers"
    assert "one of 113 never seen there before: among about 396 calls in five minutes" in told["summary"]
    assert classify(replace(one, value={**value, "newcomers": 2.0})).id == "new-country"
    abroad = {"country_rare_here": 0.6, "caller_new": 0.3, "pace_minutes": 0.1}
    assert classify(replace(one, share=abroad, surprise=dict.fromkeys(abroad, 4.0))).id == "distributed-flood"


def test_newcomers_from_new_countries_are_one_crowd() -> None:
    share = {"country_rare_here": 0.75, "caller_new": 0.2, "pace_minutes": 0.05}
    value = {"pace_minutes": 200.0, "country_rare_here": 0.0, "caller_new": 0.0}
    crowd = sample(
        "function", 47, 23, share, caller="address:203.0.113.7", distinct_callers=38, new_callers=38, value=value,
        typical={"pace_minutes": 9.0},
    )  # fmt: skip
    assert classify(crowd).id == "distributed-flood"
    assert classify(replace(crowd, distinct_callers=3, new_callers=3)).id == "new-country"


def test_what_a_place_began_and_a_crowd_made_is_the_crowds() -> None:
    crowd = replace(BY_ID["distributed-flood"].example, lead="caller")
    places = tuple((f"geography:Spain/Madrid/Town{n}", "geography", 200) for n in range(42))
    assert classify(replace(crowd, callers=places, distinct_callers=42)).id == "distributed-flood"


def test_someone_known_who_is_refused_where_it_never_was_moves_sideways() -> None:
    example = BY_ID["lateral-movement"].example
    refused = replace(example, refused=27, statuses={403: 27, 200: 5})
    share = {"caller_new_to_app": 0.6, "client_error_burst": 0.4}
    assert classify(replace(refused, share=share, surprise=dict.fromkeys(share, 4.0))).id == "lateral-movement"
    # who is refused by 403 is known: no credential is being guessed
    assert classify(replace(refused, value={"caller_new": 0.0})).id == "enumeration"


def test_someone_known_who_is_forbidden_again_and_again_where_it_never_was_moves_sideways() -> None:
    example = BY_ID["lateral-movement"].example
    share = {"caller_client_errors": 0.93, "caller_new_to_app": 0.05, "caller_new_to_function": 0.02}
    refused = replace(example, refused=32, share=share, surprise=dict.fromkeys(share, 4.0))
    assert classify(replace(refused, statuses={403: 32})).id == "lateral-movement"
    # who is told that there is no such thing guesses
    assert classify(replace(refused, statuses={404: 32})).id == "enumeration"


def test_someone_known_at_a_function_that_nobody_called_moves_sideways() -> None:
    example = BY_ID["lateral-movement"].example
    first = {"new_function": 0.3, **dict(example.share)}
    assert classify(replace(example, share=first, surprise=dict.fromkeys(first, 4.0))).id == "lateral-movement"
    more = {"new_function": 0.6, "caller_new_to_app": 0.2}
    more_of_it = replace(example, share=more, surprise={"new_function": 4.0})
    assert classify(replace(more_of_it, refused=0)).id == "new-function"
    # a client of a new function is not turned away
    assert classify(more_of_it).id == "lateral-movement"


def test_who_is_refused_all_over_looks_around_however_fast() -> None:
    share = {"caller_pace_here": 0.6, "pace_minutes": 0.25, "caller_client_errors": 0.15}
    everywhere = tuple(("shop", f"Get{n}", 130) for n in range(17))
    fast = sample(
        "caller", 2_335, 372, share, caller="address:203.0.113.7", refused=484, statuses={404: 484, 200: 1_851},
        value={"pace_minutes": 2_919.0, "caller_pace_here": 2_918.0}, functions=everywhere,
    )  # fmt: skip
    assert classify(fast).id == "enumeration"
    assert classify(replace(fast, functions=everywhere[:2])).id == "flood"


def test_hundreds_of_messages_that_fail_slowly_are_an_outage_and_no_crafted_input() -> None:
    features = {"latency_shift": 0.35, "failure_burst": 0.4, "duration_high": 0.25}
    example = replace(
        BY_ID["queue-injection"].example, share=features, signatures=(), exception_types=(), failed=12, invocations=23,
        duration_ms=(125.0, 20_000.0), value={"redelivery": 6.0, "failure_burst": 7.0},
    )  # fmt: skip
    assert classify(example).id == "queue-injection"
    assert classify(replace(example, failed=2_359, invocations=2_867)).id == "failure-burst"
    assert classify(replace(example, failed=2_359, invocations=2_867, signatures=("sql injection",))).id == (
        "queue-injection"
    )


def test_many_known_callers_that_are_refused_a_few_times_each_try_nothing() -> None:
    example = BY_ID["refused-calls"].example
    assert classify(example).id == "refused-calls"
    assert classify(replace(example, new_callers=700)).id == "enumeration"
    assert classify(replace(example, distinct_callers=90, new_callers=3)).id == "enumeration"
    hurried = {"client_error_burst": 0.6, "pace_minutes": 0.4}
    assert classify(replace(example, share=hurried)).id == "enumeration"
    assert classify(replace(example, statuses={401: 1_170})).id == "credential-guessing"


def test_a_flood_that_one_caller_makes_is_nobody_elses() -> None:
    crowd = BY_ID["distributed-flood"].example
    assert classify(crowd).id == "distributed-flood"
    one = (("address:203.0.113.7", "address", 8_000), *((f"user:u-{n}", "user", 1) for n in range(40)))
    assert classify(replace(crowd, callers=one)).id == "flood"


def test_messages_that_fail_again_and_again_are_poison_however_many_their_runs_are() -> None:
    share = {"pace_minutes": 0.45, "failure_burst": 0.4, "redelivery": 0.06}
    value = {"pace_minutes": 127.0, "failure_burst": 9.0, "redelivery": 10.0}
    many = replace(BY_ID["poison-message"].example, invocations=535, failed=437, share=share, value=value)
    assert classify(replace(many, surprise=dict.fromkeys(share, 4.0))).id == "poison-message"


def test_delays_that_many_callers_wait_for_are_no_probe() -> None:
    share = {"round_seconds": 0.3, "latency_shift": 0.7}
    delayed = sample(
        "function", 28, 96, share, caller="user:u-1", value={"round_seconds": 4.0}, duration_ms=(52, 3e4), usual_ms=39.0
    )
    assert classify(delayed).id == "injection-probe"
    shared = replace(delayed, callers=tuple((f"user:u-{n}", "user", 7) for n in range(4)), distinct_callers=4)
    assert classify(shared).id == "latency-shift"


def test_an_hour_at_which_a_caller_works_as_a_rule_is_not_odd() -> None:
    example = BY_ID["off-hours"].example
    assert classify(replace(example, value={**example.value, "caller_hours": 0.069})).id == "unusual-pace"


def test_a_few_failures_over_hours_are_no_storm_of_retries() -> None:
    example = replace(BY_ID["retry-storm"].example, value={"caller_failures": 22.0, "caller_new": 5e6})
    assert classify(example).id == "retry-storm"
    slow = replace(example, invocations=23, failed=22, last_us=example.first_us + 11 * 3_600_000_000)
    assert classify(slow).id == "failure-burst"


def test_a_known_client_that_is_refused_where_it_always_calls_guesses_nothing() -> None:
    refused = BY_ID["client-refused"].example
    assert classify(refused).id == "client-refused"
    # who tries more of them, faster, or elsewhere does
    faster = replace(refused, share={"known_refused": 0.5, "caller_pace": 0.5})
    elsewhere = replace(refused, share={"known_refused": 0.5, "caller_spread": 0.5})
    missing = replace(refused, statuses={404: 51, 200: 7})
    assert {classify(one).id for one in (faster, elsewhere, missing)}.isdisjoint({"client-refused"})


def test_what_is_a_hundred_times_as_much_did_not_grow_by_and_by() -> None:
    example = BY_ID["slow-growth"].example
    # where days have grown, and hours have hardly, it is told as growth however many call, sooner than after half a day
    by_day = replace(example, share={"growth_days": 1.0}, last_us=example.opened_us + 3 * 3_600_000_000)
    assert classify(by_day).id == "slow-growth"
    assert classify(replace(example, typical={"growth_days": 52.0})).id == "unusual-pace"


def test_a_flood_that_is_throttled_is_no_guessing() -> None:
    flood = replace(BY_ID["flood"].example, refused=1_500, statuses={429: 1_400, 401: 100})
    assert classify(flood).id == "flood"
    share = {"pace_minutes": 0.5, "caller_pace_here": 0.3, "caller_client_errors": 0.2}
    slower = replace(
        flood, refused=706, statuses={429: 664, 404: 42}, last_us=flood.first_us + 5_160_000_000, share=share
    )
    assert classify(slower).id == "flood"


def test_a_function_with_two_calls_of_hundreds_is_no_part_of_a_storm() -> None:
    example = BY_ID["storm"].example
    one = (("shop", "Search", 943), ("shop", "Cart", 3), ("shop", "Items", 1), ("shop", "Pay", 1))
    assert classify(replace(example, functions=one)).id == "failure-burst"


def test_a_place_that_is_busier_takes_nothing_from_anyone() -> None:
    example = BY_ID["exfiltration"].example
    place = replace(example, callers=(("geography:Italy/Lombardy/Milan", "geography", 420),), invocations=420)
    assert (classify(example).id, classify(place).id) == ("exfiltration", "unusual-pace")


def test_a_caller_among_many_is_no_flood_because_its_function_is_busy() -> None:
    share = {"caller_pace": 0.96, "pace_hour": 0.04}
    value, typical = {"caller_pace": 347.0, "pace_minutes": 1_300.0}, {"caller_pace": 83.0, "pace_minutes": 60.0}
    busy = sample("caller", 346, 372, share, caller="user:u-1", value=value, typical=typical)
    assert classify(busy).id == "unusual-pace"


def test_slow_runs_that_end_at_round_seconds_by_chance_are_no_probes() -> None:
    share = {"caller_slow_here": 0.5, "latency_shift": 0.38, "caller_pace": 0.12}
    slow = sample(
        "function", 858, 300, share, caller="address:203.0.113.7", value={"round_seconds": 16.0},
        surprise={**dict.fromkeys(share, 5.0), "round_seconds": 4.0}, duration_ms=(1.2e4, 3e5), usual_ms=271.0,
    )  # fmt: skip
    assert classify(slow).id != "injection-probe"


def test_many_delays_by_round_seconds_tell_of_probes_however_much_else_there_is() -> None:
    share = {"pace_hour": 0.4, "caller_failures": 0.2, "latency_shift": 0.2, "caller_new": 0.18, "round_seconds": 0.02}
    probes = sample(
        "caller", 70, 21, share, caller="address:203.0.113.7", failed=22, new_callers=1,
        value={"pace_hour": 68.0, "round_seconds": 12.0, "caller_new": 0.0}, typical={"pace_hour": 8.0},
        surprise={**dict.fromkeys(share, 5.0)}, duration_ms=(403.0, 1e4), usual_ms=300.0,
    )  # fmt: skip
    assert classify(probes).id == "injection-probe"
    assert "at least 12 of them delayed by a round number of seconds" in describe(probes)["summary"]
    chance = replace(probes, surprise={**dict.fromkeys(share, 5.0), "round_seconds": 1.0})
    assert "delayed" not in describe(chance)["summary"]


def test_a_newcomer_in_a_general_failure_is_not_its_cause() -> None:
    share = {"failure_burst": 0.6, "caller_failures": 0.3, "caller_new": 0.1}
    hit = sample(
        "caller", 44, 6, share, caller="address:203.0.113.7", failed=44, new_callers=1, value={"caller_new": 0.0}
    )
    assert classify(hit).id == "failure-burst"
    cause = replace(hit, share={"caller_failures": 0.7, "failure_burst": 0.2, "caller_new": 0.1})
    assert classify(cause).id == "injection-probe"


def test_who_is_new_and_makes_nearly_all_of_a_functions_calls_is_no_first_visit() -> None:
    share = {"pace_hour": 0.75, "caller_new_to_function": 0.25}
    new = sample(
        "caller", 38, 21, share, caller="address:203.0.113.7", new_callers=1, failed=3,
        value={"pace_hour": 37.0, "caller_new_to_function": 0.0, "caller_new": 0.0}, typical={"pace_hour": 0.2},
    )  # fmt: skip
    assert (describe(new)["kind"], describe(new)["severity"]) == ("new-caller", "medium")
    among_others = replace(new, value={**new.value, "pace_hour": 400.0}, typical={"pace_hour": 20.0})
    busy_anyway = replace(new, typical={"pace_hour": 12.0})
    assert {describe(one)["severity"] for one in (among_others, busy_anyway)} == {"low"}


def test_who_is_new_and_tries_in_vain_is_of_high_severity_only_once_it_is_much() -> None:
    share = {"pace_minutes": 0.8, "caller_new": 0.2}
    scanner = sample(
        "caller", 20, 0.3, share, caller="address:203.0.113.7", new_callers=1, refused=5,
        value={"pace_minutes": 20.0, "caller_new_to_function": 0.0, "caller_new": 0.0}, typical={"pace_minutes": 0.2},
    )  # fmt: skip
    assert (describe(scanner)["kind"], describe(scanner)["severity"]) == ("new-caller", "medium")
    assert describe(replace(scanner, invocations=120, refused=30))["severity"] == "high"


def test_what_is_slow_for_most_is_not_called_faster_since_a_few_ended_sooner() -> None:
    share = {"caller_slow_here": 0.81, "pace_minutes": 0.08, "duration_low": 0.05}
    slow = sample(
        "function", 28, 600, share, surprise={"caller_slow_here": 5.0, "duration_low": 4.5, "pace_minutes": 2.0},
        value={"caller_slow_here": 3_500.0, "duration_low": 400.0}, typical={"caller_slow_here": 2_000.0},
        duration_ms=(3_500.0, 5_000.0), usual_ms=2_000.0,
    )  # fmt: skip
    assert classify(slow).id == "latency-shift"
    fast = replace(slow, share={"duration_low": 0.81, "caller_slow_here": 0.1})
    assert classify(fast).id == "faster-than-usual"


def test_a_thief_from_a_foreign_country_is_no_less_severe_than_a_visitor_who_looks_around() -> None:
    visit = sample(
        "caller", 43, 600, {"country_rare_here": 0.8, "caller_new_to_function": 0.2}, new_callers=1,
        caller="geography:Austria/Vienna/Vienna", surprise={"country_rare_here": 4.0},
        value={"country_rare_here": 0.0, "caller_new_to_function": 0.0}, countries=(("Austria", 43),),
    )  # fmt: skip
    looks_around = replace(visit, functions=tuple(("shop", f"F{n}", 8) for n in range(5)))
    busy = {"pace_hour": 0.33, "caller_new_to_function": 0.27, "country_rare_here": 0.23, "caller_pace": 0.17}
    thief = replace(visit, invocations=40, share=busy, surprise={"country_rare_here": 3.6, "pace_hour": 5.0})
    told = [describe(one) for one in (visit, looks_around, thief)]
    assert [one["kind"] for one in told] == ["new-country"] * 3
    assert [one["severity"] for one in told] == ["medium", "medium", "high"]


def test_slowness_of_two_functions_is_as_severe_as_they_are_slow_and_not_as_one_is_slower_than_the_other() -> None:
    slow = sample(
        "function", 19, 540, {"latency_shift": 0.5, "caller_slow_here": 0.5}, failed=1,
        functions=(("shop", "Sync", 15), ("shop", "Import", 4)),
        value={"latency_shift": 1_400.0}, typical={"latency_shift": 1_050.0}, duration_ms=(2_000.0, 30_000.0),
        usual_ms=85.0,
    )  # fmt: skip
    assert (describe(slow)["kind"], describe(slow)["severity"]) == ("latency-shift", "low")
    assert "1.3 times as long" in describe(slow)["summary"]
    assert describe(replace(slow, functions=(("shop", "Import", 19),)))["severity"] == "medium"
    assert describe(replace(slow, failed=3))["severity"] == "medium"
    assert describe(replace(slow, value={"latency_shift": 4_000.0}))["severity"] == "medium"


def test_one_run_that_failed_at_a_time_limit_is_no_severe_fault() -> None:
    share = {"duration_high": 0.8, "failure_burst": 0.2}
    one = sample("function", 1, 1, share, failed=1, duration_ms=(3e4, 3e4), usual_ms=140.0)
    told, several = describe(one), describe(replace(one, invocations=8, failed=8))
    assert (told["kind"], told["severity"]) == ("runaway-duration", "medium")
    assert several["severity"] == "high"


def test_runs_that_fail_at_the_time_limit_have_run_away() -> None:
    share = {"latency_shift": 0.45, "failure_burst": 0.36, "duration_high": 0.16}
    hung = sample("function", 49, 228, share, trigger="queue", failed=42, duration_ms=(3e5, 3e5), usual_ms=3.2e3)
    assert classify(hung).id == "runaway-duration"


def test_runs_up_to_the_time_limit_have_run_away_even_if_all_do() -> None:
    hung = sample(
        "function", 300, 60, {"latency_shift": 0.8, "duration_high": 0.2}, duration_ms=(2e5, 3e5), usual_ms=3e3
    )
    slower = replace(hung, duration_ms=(6e3, 5e4))
    assert [classify(hung).id, classify(slower).id] == ["runaway-duration", "latency-shift"]
    # what takes minutes where a third of a second is usual is not slow
    waits = replace(hung, duration_ms=(1.2e5, 1.2e5), usual_ms=300.0)
    assert [classify(waits).id, classify(replace(waits, usual_ms=3e4)).id] == ["runaway-duration", "latency-shift"]


def test_a_job_that_fails_where_its_host_stops_it_runs_away_though_it_took_long_before() -> None:
    job = replace(
        BY_ID["latency-shift"].example, triggers=("timer",), invocations=1, failed=1, usual_ms=180e3,
        duration_ms=(600_400.0, 600_400.0),
    )  # fmt: skip
    assert classify(job).id == "runaway-duration"
    assert classify(replace(job, failed=0)).id == "latency-shift"
    assert classify(replace(job, duration_ms=(640e3, 640e3))).id == "latency-shift"


def test_no_evidence_at_all_is_unusual() -> None:
    assert classify(Evidence()).id == "unusual"
    assert classify(Evidence(lead="caller", first_us=START_US)).id == "unusual"


@given(any_evidence())
def test_any_evidence_has_one_kind_and_a_severity(evidence: Evidence) -> None:
    kind = classify(evidence)
    assert kind is classify(replace(evidence))
    assert kind.severity(Signs(evidence)) in SEVERITIES


def test_the_page_of_findings_is_up_to_date() -> None:
    expected = catalogue_markdown()
    assert PAGE.read_text(encoding="utf-8") == expected, "run: python -m detectors.catalogue.document docs/findings.md"


def test_a_new_function_is_told_with_the_time_that_its_runs_take_where_they_are_long() -> None:
    long = replace(BY_ID["new-function"].example, duration_ms=(270_000.0, 290_000.0))
    said = "never seen before 02:10 UTC on 3 August, from address 203.0.113.7, 4.5 min a run"
    assert said in describe(long)["summary"]
    assert "a run" not in describe(BY_ID["new-function"].example)["summary"]


def test_who_calls_a_function_that_others_called_for_hours_is_no_news_of_the_function() -> None:
    example = BY_ID["new-function"].example
    later = replace(example, value={**example.value, "new_function": 23 * 3_600.0})
    assert classify(later).id != "new-function"
    by_all = replace(later, lead="function")
    assert classify(by_all).id == "new-function"
    assert ", first seen 20 hours before, " in describe(by_all)["summary"]


def test_hundreds_of_messages_that_come_back_are_an_outage_and_no_bad_message() -> None:
    example = BY_ID["poison-message"].example
    often = replace(example, value={**example.value, "redelivery": 5.0})
    assert classify(replace(often, invocations=130, failed=125)).id == "poison-message"
    assert classify(replace(often, invocations=1_222, failed=1_137)).id == "failure-burst"


def test_a_version_is_suspected_of_what_begins_soon_after_it() -> None:
    soon = BY_ID["bad-deployment"].example
    assert classify(replace(soon, deployed_ago_s=40 * 60.0)).id == "bad-deployment"
    assert classify(replace(soon, deployed_ago_s=115 * 60.0)).id != "bad-deployment"


def test_slow_runs_asked_for_by_one_that_came_within_a_day_run_up_a_bill_whatever_the_story_began_with() -> None:
    shares = {"latency_shift": 0.4, "pace_hour": 0.5, "cost_hour": 0.1}
    came = sample(
        "function", 430, 150, shares, caller="address:203.0.113.7", distinct_callers=1, run_seconds=2_800.0,
        caller_age_s=600.0, value={"pace_hour": 165.0}, typical={"pace_hour": 0.1},
    )  # fmt: skip
    assert classify(came).id == "denial-of-wallet"
    for other in ({"caller_age_s": 1e7}, {"run_seconds": 500.0}, {"distinct_callers": 40, "caller_age_s": None}):
        assert classify(replace(came, **other)).id != "denial-of-wallet"


def test_who_asks_again_and_again_for_what_was_done_already_repeats_calls_and_guesses_nothing() -> None:
    again = replace(BY_ID["enumeration"].example, invocations=1_119, refused=1_099, statuses={409: 1_099, 200: 20})
    told = describe(again)
    assert told["kind"] == "retry-storm"
    assert told["title"].startswith("Failing calls to PayInvoice and 2 more repeated by address 203.0.113.7")
    assert "1,099 of them refused" in told["summary"]
    assert describe(replace(again, statuses={404: 1_099, 200: 20}))["kind"] == "enumeration"


def test_a_first_country_chooses_the_kind_however_fast_the_calls() -> None:
    busy = {"caller_pace": 0.9, "caller_new_country": 0.05}
    away = replace(
        BY_ID["unusual-pace"].example,
        share=busy,
        surprise={"caller_pace": 15.0, "caller_new_country": 2.9},
        value={"caller_pace": 89.0, "caller_new": 5e6, "caller_new_country": 0.0},
        countries=(("Ukraine", 110),),
        caller_confidence=0.9,
    )
    told = describe(away)
    assert (told["kind"], told["severity"]) == ("new-country", "high")
    # one call of many from there, or a country that is merely rare, makes a busy caller no traveller
    assert classify(replace(away, countries=(("Finland", 60), ("Ukraine", 50)))).id == "unusual-pace"
    assert classify(replace(away, surprise={**away.surprise, "caller_new_country": 1.2})).id == "unusual-pace"
    # what is rare where a known caller calls says nothing of where it calls from
    rare = {"caller_pace": 0.9, "country_rare_here": 0.05}
    at_home = replace(away, share=rare, surprise={"caller_pace": 15.0, "country_rare_here": 2.9})
    assert classify(at_home).id == "unusual-pace"
    place = (("geography:Ukraine/Kyiv City/Kyiv", "geography", 110),)
    assert classify(replace(at_home, callers=place)).id == "new-country"


def test_who_reaches_for_what_nobody_ever_called_is_told_with_that() -> None:
    example = BY_ID["lateral-movement"].example
    told = describe(replace(example, unborn=(("billing", "ImpersonateCustomer"),)))
    assert "; nobody ever called ImpersonateCustomer before" in told["summary"]
    assert "nobody ever" not in describe(example)["summary"]


def test_a_first_reach_into_an_app_chooses_the_kind_however_fast_the_calls() -> None:
    example = BY_ID["lateral-movement"].example
    fast = replace(
        example,
        share={"caller_pace": 0.94, "caller_new_to_app": 0.06},
        surprise={"caller_pace": 15.0, "caller_new_to_app": 3.5},
        statuses={404: 9},
    )
    assert classify(fast).id == "lateral-movement"
    assert classify(replace(fast, surprise={"caller_pace": 15.0, "caller_new_to_app": 1.5})).id != "lateral-movement"


def test_a_known_caller_at_functions_that_hardly_anybody_calls_is_new_there() -> None:
    share = {"caller_pace": 0.8, "pace_hour": 0.2}
    employee = replace(
        BY_ID["unusual-pace"].example,
        invocations=54,
        share=share,
        surprise=dict.fromkeys(share, 15.0),
        functions=(("pay", "Export", 15), ("pay", "Payslip", 21), ("pay", "Salaries", 18)),
        fresh=(("pay", "Salaries", 18), ("pay", "Export", 15)),
        value={"caller_pace": 52.0, "pace_hour": 17.0},
        typical={"caller_pace": 3.7, "pace_hour": 0.1},
        caller_age_s=100_000.0,
    )
    told = describe(employee)
    assert (told["kind"], told["severity"]) == ("new-caller", "medium")
    assert told["title"] == "New at Salaries and 1 more: user u-1"
    assert "not seen at Salaries and Export a day before" in told["summary"]
    # at what it calls every week, or at what everybody calls, it is merely busy
    assert classify(replace(employee, fresh=(("pay", "Export", 15),))).id == "unusual-pace"
    crowded = {**employee.value, "pace_hour": 900.0}
    assert classify(replace(employee, value=crowded)).id == "unusual-pace"


def test_a_newcomer_stays_one_for_as_long_as_its_first_story_goes_on() -> None:
    acquirer = replace(
        BY_ID["exfiltration"].example,
        invocations=5_071,
        last_us=START_US + 216_000_000_000,
        callers=(("property:acq-1", "property", 5_071),),
        caller_age_s=218_000.0,
    )
    assert classify(acquirer).id == "new-caller"
    assert classify(replace(acquirer, caller_age_s=5e6)).id != "new-caller"


def test_who_only_writes_takes_nothing_away() -> None:
    example = BY_ID["exfiltration"].example
    assert classify(replace(example, methods=("POST", "PUT"))).id != "exfiltration"
    assert classify(replace(example, methods=("POST", "GET"))).id == "exfiltration"


def test_spam_that_is_taken_is_a_flood_and_tries_no_names() -> None:
    share = {"pace_hour": 0.65, "client_error_burst": 0.25, "newcomers": 0.1}
    spam = replace(
        BY_ID["distributed-flood"].example,
        invocations=698,
        refused=353,
        share=share,
        statuses={201: 345, 403: 353},
        methods=("POST",),
        value={"pace_hour": 473.0, "client_error_burst": 112.0, "newcomers": 73.0},
        typical={"pace_hour": 6.5, "client_error_burst": 5.7, "newcomers": 3.8},
    )
    assert classify(spam).id == "distributed-flood"
    assert classify(replace(spam, methods=("GET",))).id == "enumeration"
    # of cards that are tried nearly all are refused
    assert classify(replace(spam, refused=660, statuses={201: 38, 402: 660})).id == "enumeration"


def test_a_password_mistyped_a_few_times_is_low() -> None:
    share = {"caller_client_errors": 1.0}
    few = replace(BY_ID["enumeration"].example, invocations=3, refused=3, share=share, statuses={401: 3})
    told = describe(replace(few, functions=(("shop", "Login", 3),)))
    assert (told["kind"], told["severity"]) == ("enumeration", "low")


def test_a_slow_dependency_that_fails_a_few_runs_breaks_on_no_message() -> None:
    example = BY_ID["queue-injection"].example
    slow = replace(
        example,
        invocations=5,
        failed=4,
        exception_types=(),
        share={"failure_burst": 0.78, "duration_high": 0.22},
        surprise={"failure_burst": 5.7, "duration_high": 3.6},
        value={"failure_burst": 1.4},
        duration_ms=(2_100.0, 47_000.0),
        usual_ms=373.0,
    )
    assert classify(slow).id == "failure-burst"
    assert classify(replace(slow, value={"failure_burst": 1.4, "redelivery": 3.0})).id == "queue-injection"


def test_what_grew_by_and_by_is_laid_to_no_version() -> None:
    example = BY_ID["bad-deployment"].example
    assert classify(replace(example, early=0.2)).id == "bad-deployment"
    assert classify(replace(example, early=0.007)).id != "bad-deployment"


def failing_slowly(nats: float, burst: float, deliveries: float, **fields: Any) -> Evidence:
    """Messages that fail, and some that take long, of which nothing else is known."""
    features = ("failure_burst", "duration_high")
    return replace(
        BY_ID["queue-injection"].example, exception_types=(), share=dict.fromkeys(features, 0.5),
        surprise=dict.fromkeys(features, nats), value={"failure_burst": burst, "redelivery": deliveries}, **fields,
    )  # fmt: skip


def test_messages_that_all_give_up_after_the_same_time_wait_for_somebody_and_are_no_crafted_input() -> None:
    times: dict[str, Any] = {"duration_ms": (9_000.0, 60_010.0), "usual_ms": 773.0}
    crafted = failing_slowly(5.0, 40.0, 3.0, invocations=207, failed=175, **times)
    assert classify(crafted).id == "queue-injection"
    outage = replace(crafted, duration_ms=(60_004.0, 60_010.0))
    assert classify(outage).id not in {"queue-injection", "injection-probe"}
    # a sign of an attack tells whatever else is
    assert classify(replace(outage, signatures=("sql injection",))).id == "queue-injection"


def test_what_goes_well_beside_dozens_of_messages_that_fail_makes_them_no_crafted_input() -> None:
    times: dict[str, Any] = {"duration_ms": (20_000.0, 58_000.0), "usual_ms": 312.0}
    storm = failing_slowly(9.0, 400.0, 10.0, invocations=4_112, failed=1_540, **times)
    assert classify(storm).id != "queue-injection"
    assert classify(replace(storm, failed=500)).id == "queue-injection"


def test_who_reads_page_after_page_many_times_what_it_ever_took_carries_it_away() -> None:
    share = {"caller_volume_here": 0.5, "caller_pace": 0.3, "pace_hour": 0.2}
    reader = sample(
        "caller", 688, 115, share, caller="user:emp-35", methods=("GET",),
        value={"caller_volume_here": 600.0, "caller_pace": 180.0, "pace_hour": 320.0, "caller_new": 5e6},
        typical={"caller_volume_here": 12.0, "caller_pace": 2.0, "pace_hour": 4.0}, usual_ms=300.0,
        duration_ms=(300.0, 500.0),
    )  # fmt: skip
    assert (classify(reader).id, describe(reader)["severity"]) == ("exfiltration", "medium")
    # each call longer, too, is worse; whoever writes, an address, or one that always took as much takes nothing away
    assert describe(replace(reader, duration_ms=(900.0, 4_000.0)))["severity"] == "high"
    for other in (
        replace(reader, methods=("GET", "POST")),
        replace(reader, callers=(("address:203.0.113.7", "address", 688),)),
        replace(reader, typical={**reader.typical, "caller_volume_here": 120.0}),
    ):
        assert classify(other).id != "exfiltration"


def test_more_of_an_attack_from_afar_is_told_with_its_country_and_as_no_less_severe() -> None:
    place = {"country_rare_here": 4.0, "country_new": 4.0}
    few = sample(
        "caller", 60, 25, {"country_new": 0.4, "caller_new_to_function": 0.3, "caller_pace": 0.3},
        caller="address:203.0.113.7", countries=(("Vietnam", 60),), new_callers=1, caller_confidence=0.7,
        surprise={**place, "caller_new_to_function": 3.0, "caller_pace": 3.0}, value={"country_rare_here": 0.0},
    )  # fmt: skip
    many = replace(
        few, invocations=180, countries=(("Vietnam", 179), ("Germany", 1)),
        callers=((few.callers[0][0], "address", 180),), functions=(("shop", "GetPatient", 180),),
        share={"caller_pace": 0.5, "pace_hour": 0.3, "caller_new_to_function": 0.15, "country_new": 0.05},
        surprise={**place, "caller_pace": 12.0, "pace_hour": 9.0, "caller_new_to_function": 3.0},
        value={"caller_pace": 149.0, "pace_hour": 149.0, "caller_new_to_function": 0.0},
        typical={"pace_hour": 2.0}, caller_age_s=600.0,
    )  # fmt: skip
    told = [describe(one) for one in (few, many)]
    assert [one["kind"] for one in told] == ["new-country", "new-caller"]
    assert all("Vietnam" in one["summary"] for one in told)
    assert [one["severity"] for one in told] == ["high", "high"]


def test_a_flood_by_a_known_caller_from_a_country_that_is_news_says_so() -> None:
    flood = replace(
        BY_ID["flood"].example, callers=(("user:partner-1", "user", 949),), invocations=949,
        countries=(("Russia", 949),),
        share={"caller_pace": 0.6, "caller_new_country": 0.1, "pace_hour": 0.3}, run_seconds=60.0, new_callers=0,
        surprise={"caller_pace": 20.0, "caller_new_country": 5.0, "pace_hour": 12.0},
        value={"caller_pace": 504.0, "pace_hour": 504.0, "caller_new": 5e6, "caller_new_country": 0.0},
        typical={"caller_pace": 28.0, "pace_hour": 28.0}, caller_confidence=0.9,
    )  # fmt: skip
    told = describe(flood)
    assert (told["kind"], told["severity"]) == ("flood", "high")
    assert "in Russia" in told["summary"]
    assert describe(replace(flood, surprise={**flood.surprise, "caller_new_country": 0.5}))["severity"] == "medium"


def test_many_from_where_hardly_anybody_calls_are_told_by_their_countries_and_no_flood_unless_they_are_one() -> None:
    few = replace(
        BY_ID["distributed-flood"].example,
        invocations=199,
        distinct_callers=121,
        new_callers=116,
        countries=(("Nigeria", 80), ("Vietnam", 60), ("Indonesia", 40), ("Germany", 19)),
        afar=(("Nigeria", 80), ("Vietnam", 60), ("Indonesia", 40)),
        share={"newcomers": 0.6, "country_rare_here": 0.1, "pace_hour": 0.3},
        value={"pace_hour": 117.0, "newcomers": 90.0, "country_rare_here": 0.0},
        typical={"pace_hour": 61.0, "newcomers": 2.0},
    )
    told = describe(few)
    assert told["kind"] == "new-country"
    assert "from Nigeria, Vietnam and Indonesia" in told["title"]
    assert "121 callers" in told["title"]
    assert "from where hardly anybody called it before" in told["summary"]
    many = replace(
        few, invocations=1_990, afar=(("Nigeria", 800), ("Vietnam", 700)), value={**few.value, "pace_hour": 990.0}
    )
    assert describe(many)["title"].endswith("from 121 callers in Nigeria and Vietnam at once")
    # of whom most come from where all do, the countries are no news
    assert describe(replace(few, afar=(("Nigeria", 20),)))["kind"] == "distributed-flood"


def test_places_are_called_places() -> None:
    example = BY_ID["flood"].example
    places = tuple((f"geography:FI/{n}/City {n}", "geography", 40) for n in range(11))
    told = describe(replace(example, lead="function", callers=places, distinct_callers=11, invocations=440))
    assert "from 11 places" in told["title"]
    assert "callers" not in told["title"]


def test_what_is_refused_for_want_of_a_key_is_told_as_keys_tried() -> None:
    example = BY_ID["enumeration"].example
    assert describe(example)["title"].startswith("Names and numbers tried at ")
    denied = replace(example, statuses={401: 27, 403: 8, 404: 3, 200: 3})
    assert describe(denied)["title"].startswith("Keys and rights tried at ")


def test_runs_that_end_sooner_than_usual_are_no_delays() -> None:
    probe = BY_ID["injection-probe"].example
    waits = replace(
        probe,
        invocations=11,
        failed=0,
        signatures={},
        share={"duration_high": 0.97, "round_seconds": 0.03},
        value={"round_seconds": 6.0},
        surprise={"round_seconds": 4.0},
    )
    assert classify(waits).id == "injection-probe"
    assert classify(replace(waits, share={"duration_low": 0.97, "round_seconds": 0.03})).id != "injection-probe"


def test_runs_that_only_one_caller_waits_for_are_told_as_its() -> None:
    runs = replace(BY_ID["runaway-duration"].example, triggers=("http",), distinct_callers=1, invocations=14)
    one = replace(runs, callers=(("address:203.0.113.7", "address", 14),))
    assert ", all from address 203.0.113.7, running up to" in describe(one)["summary"]
    many = tuple((f"address:203.0.113.{n}", "address", 1) for n in range(14))
    assert "203.0.113" not in describe(replace(runs, callers=many, distinct_callers=14))["summary"]
