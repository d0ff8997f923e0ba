"""What a person reads about an incident: plain sentences with numbers, whatever the logs try to put into them."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from detectors.catalogue import BY_ID, KINDS, Kind
from detectors.cost import Prices
from detectors.evidence import Evidence, Silence
from detectors.explain import Coverage, blind_spots, describe, reasons
from detectors.features import FEATURE_NAMES
from detectors.reasons import is_news, reason_text
from tests.detectors.evidence import any_evidence

HOSTILE = (
    "\x1b[2J\x00<script>alert(1)</script>\r\n[red]**pay**[/red] <!channel> \u202egnp.exe ?code=4fL9qTzk2Pq7aaaa "
    + "x" * 10_240
)
KEYS = {"kind", "title", "summary", "severity", "attack", "runbook", "reasons"}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)


def sentences(told: dict[str, Any]) -> list[str]:
    return [told["title"], told["summary"], *(reason["text"] for reason in told["reasons"])]


def seen_badly(text: str) -> set[str]:
    """Characters that a reader or a program would stumble over."""
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or c in "<>[]`|"}


@each_kind
def test_a_summary_is_a_sentence_with_numbers(kind: Kind) -> None:
    summary = describe(kind.example)["summary"]
    assert re.search(r"\d", summary)
    assert summary[0].isupper() or summary[0].isdigit()
    assert summary.endswith(".")
    assert not re.search(r"\{|\}|\s\s|\s[,.;:]|nan|inf\b|None", summary)


@each_kind
def test_words_are_plain(kind: Kind) -> None:
    told = describe(kind.example)
    for text in sentences(told):
        assert "_" not in text
        assert not [name for name in FEATURE_NAMES if "_" in name and name in text]


@each_kind
def test_a_title_fits_a_subject_line(kind: Kind) -> None:
    long = replace(
        kind.example,
        functions=tuple((f"app-{'y' * 90}", f"Function{'x' * 90}{i}", 1) for i in range(12)),
        callers=(("address:2001:0db8:85a3:0000:0000:8a2e:0370:7334", "address", 9),),
    )
    assert len(describe(long)["title"]) <= 90


@each_kind
def test_hostile_names_are_tamed(kind: Kind) -> None:
    e = kind.example
    hostile = replace(
        e,
        apps=(HOSTILE,),
        functions=tuple((HOSTILE, HOSTILE + str(i), n) for i, (_, _, n) in enumerate(e.functions)),
        callers=tuple((f"{source}:{HOSTILE}", source, n) for _, source, n in e.callers),
        countries=tuple((HOSTILE, n) for _, n in e.countries),
        sources=(HOSTILE,) * len(e.sources),
        exception_types=(HOSTILE,) * len(e.exception_types),
        paths=(HOSTILE,),
    )
    told = describe(hostile)
    for text in sentences(told):
        assert seen_badly(text) == set()
        assert "4fL9qTzk2Pq7" not in text
    assert len(told["title"]) <= 90
    assert len(told["summary"]) < 900


@pytest.mark.parametrize(
    "caller", ["user:a?code=4fL9qTzk2Pq7aaaa", "user:password=hun\x00ter2", "property:AccountKey=bm90IGEga2V5"]
)
def test_secrets_in_a_caller_are_not_told(caller: str) -> None:
    told = describe(replace(BY_ID["unusual-pace"].example, callers=((caller, caller.split(":")[0], 9),)))
    assert "***" in told["summary"]
    assert not re.search("4fL9|hunter2|bm90", json.dumps(told))


def test_what_a_ticket_would_link_or_mention_is_inert() -> None:
    hostile = "see https://evil.example/x www.evil.example @everyone HTTP://a"
    told = describe(replace(BY_ID["retry-storm"].example, apps=(hostile,), callers=((f"user:{hostile}", "user", 9),)))
    assert "user see hxxps://evil.example/x www(.)ev…" in told["summary"]
    assert not re.search(r"https?:|www\.|@", " ".join(sentences(told)), re.IGNORECASE)
    mail = describe(replace(BY_ID["retry-storm"].example, callers=(("user:ann@example.com", "user", 9),)))
    assert "user ann@example.com" in mail["summary"]


def test_callers_are_called_by_a_word() -> None:
    example = BY_ID["retry-storm"].example
    words = {
        "address:203.0.113.7": "address 203.0.113.7",
        "user:u-1": "user u-1",
        "geography:FI/Uusimaa/Helsinki": "callers from Helsinki, FI",
        "role:shop": "app shop",
        "unknown:unknown": "callers without identity",
    }
    for caller, word in words.items():
        told = describe(replace(example, callers=((caller, caller.split(":")[0], 9),)))
        assert f"by {word}:" in told["summary"]


def test_a_pseudonym_is_not_called_a_user_twice() -> None:
    told = describe(replace(BY_ID["unusual-pace"].example, callers=(("user:user-0231928f7e", "user", 9),)))
    assert told["title"].endswith(": user-0231928f7e")


def test_the_incident_of_the_brief_reads_as_promised() -> None:
    told = describe(BY_ID["enumeration"].example)
    assert told["summary"].startswith(
        "41 calls in 12 minutes to PayInvoice and 2 other functions from address 203.0.113.7"
    )
    assert "38 of them refused where 0.2 would be usual" in told["summary"]


def test_what_a_floods_calls_would_be_refused_of_is_told_as_a_share() -> None:
    told = describe(
        replace(
            BY_ID["flood"].example, invocations=2_463, refused=764, value={"client_error_burst": 400.0},
            typical={"client_error_burst": 154.0},
        )
    )  # fmt: skip
    assert ", 764 of them (31%) refused where 12% would be usual" in told["summary"]
    storm = describe(replace(BY_ID["storm"].example, failed=380))
    assert ", 380 of them failed where 2.5 would be usual" in storm["summary"]


@pytest.mark.parametrize(
    ("share", "failed", "ails"),
    [({"latency_shift": 1.0}, 0, "slow"), ({"failure_burst": 1.0}, 300, "failing"),
     ({"failure_burst": 0.5, "latency_shift": 0.5}, 100, "slow and failing"),
     ({"round_seconds": 1.0}, 0, "in trouble")],
)  # fmt: skip
def test_a_storm_says_what_ails_the_functions(share: dict[str, float], failed: int, ails: str) -> None:
    storm = replace(
        BY_ID["storm"].example, share=share, surprise={}, failed=failed, value={"latency_shift": 900.0},
        typical={"latency_shift": 300.0}, duration_ms=(800.0, 2_000.0),
    )  # fmt: skip
    told = describe(storm)
    assert f": 4 functions {ails}" in told["title"]
    assert "runs taking up to 900 ms on average where 300 ms is usual" in told["summary"]


def test_of_two_runs_nobody_speaks_of_half() -> None:
    slow = replace(BY_ID["latency-shift"].example, invocations=2, duration_ms=(2_200.0, 2_500.0), usual_ms=300.0)
    assert ": they took up to 2.5 s where 300 ms is usual" in describe(slow)["summary"]


def test_what_has_a_long_tail_is_told_with_the_time_in_which_nearly_all_came() -> None:
    flood = replace(BY_ID["flood"].example, first_us=0, last_us=25 * 3_600_000_000, core_s=1_200.0)
    assert " in 25 hours, most of them within 20 minutes, to PayInvoice" in describe(flood)["summary"]
    assert "most of them" not in describe(replace(flood, core_s=12 * 3_600.0))["summary"]
    assert "most of them" not in describe(replace(flood, last_us=50 * 60_000_000, core_s=300.0))["summary"]


def test_what_many_did_is_not_laid_to_the_one_whom_it_points_at() -> None:
    mixed = replace(BY_ID["retry-storm"].example, distinct_callers=9, invocations=86)
    name = mixed.callers[0][0]
    told = {n: describe(replace(mixed, callers=((name, "user", n), ("user:b", "user", 86 - n)))) for n in (6, 70)}
    assert f"by {name.partition(':')[2]} and 8 others" in told[6]["summary"].replace("user ", "")
    assert "others" not in told[70]["summary"]


def test_runs_are_of_a_function_and_calls_go_to_it_and_are_counted_where_all_failed() -> None:
    example = BY_ID["failure-burst"].example
    worst = replace(example, value={"failure_burst": 90.0})
    told = "140 calls in 20 minutes to PayInvoice failed, up to 90 close together where 0.3 would be usual"
    assert told in describe(worst)["summary"]
    slow = replace(BY_ID["latency-shift"].example, triggers=("queue",), failed=900)
    assert "900 runs in 4 hours of PayInvoice: " in describe(slow)["summary"]
    assert ", 900 of them failed" in describe(slow)["summary"]


def test_few_calls_among_many_are_told_apart() -> None:
    example = replace(BY_ID["unusual"].example, share={"pace_hour": 1.0}, value={"pace_hour": 138.0})
    few = describe(replace(example, invocations=6, typical={"pace_hour": 47.0}))["summary"]
    assert ": among about 138 calls in an hour where 47 are usual" in few
    all_of_them = describe(replace(example, invocations=138, typical={"pace_hour": 47.0}))["summary"]
    assert ": about 138 calls in an hour where 47 are usual" in all_of_them


def test_what_two_features_say_alike_is_told_once_with_both_their_shares() -> None:
    share = {"duration_high": 0.5, "duration_record": 0.3, "pace_minutes": 0.2}
    value = {"duration_high": 537.0, "duration_record": 537.0, "pace_minutes": 90.0}
    told = reasons(Evidence(share=share, value=value, typical={"duration_high": 25.0, "pace_minutes": 3.0}))
    texts = [reason["text"] for reason in told]
    assert texts == ["a run took 537 ms where 25 ms is usual", "about 90 calls in five minutes where 3 are usual"]
    assert [reason["share"] for reason in told] == pytest.approx([0.8, 0.2])


def test_a_record_is_told_beside_the_one_before() -> None:
    assert reason_text("duration_record", 537.0, 410.0) == "a run took 537 ms where the longest before took 410 ms"


def test_a_silence_has_its_reason_too() -> None:
    (reason,) = reasons(BY_ID["silence"].example)
    assert reason["text"] == "0 calls in 3 hours where 36 would be usual"
    assert (reason["value"], reason["typical"], reason["share"]) == (0.0, pytest.approx(36.0), 1.0)


@pytest.mark.parametrize(
    ("trigger", "title", "begins"), [("http", "no call", "No call to"), ("timer", "no run", "No run of")]
)
def test_who_is_called_has_no_call_and_what_runs_by_itself_no_run_any_more(
    trigger: str, title: str, begins: str
) -> None:
    told = describe(replace(BY_ID["silence"].example, triggers=(trigger,)))
    assert told["title"].endswith(f": {title} any more")
    assert told["summary"].startswith(begins)


def test_what_comes_seldom_is_missed_by_whole_runs_and_counted_by_the_day() -> None:
    silent = BY_ID["silence"].example
    # as expected by what training knows of a few runs: a quarter more than came, and that until it is told
    for an_hour, hours, told in (
        (1.6 / 25, 25, "1 a day is usual: 1 missing"),
        (1.41 / 13, 13, "2 a day are usual: 1 missing"),
        (1.33 / 7, 7, "4 a day are usual: 1 missing"),
        (1.26 / 24, 152, "1 a day is usual: 6 missing"),
    ):
        since = silent.opened_us - hours * 3_600_000_000
        summary = describe(replace(silent, silence=Silence(an_hour, since)))["summary"]
        assert summary.endswith(f"so far, where {told}."), summary
    # the run that came again, when it was due, is none of those that are missing
    for hours, told in ((48, "1 missing"), (47.9, "1 missing"), (72, "2 missing")):
        since = silent.opened_us - round(hours * 3_600_000_000)
        summary = describe(replace(silent, silence=Silence(1.2 / 24, since, silent.opened_us)))["summary"]
        assert summary.endswith(told + "."), summary
    night = tuple(("etl", f"Night{number}", 0) for number in range(8))
    told = describe(replace(BY_ID["silence-app"].example, functions=night, silence=Silence(8 * 1.6 / 25, since)))
    assert "8 a day are usual: " in told["summary"]


def test_an_app_that_is_silent_as_a_whole_is_told_without_its_functions() -> None:
    several = BY_ID["silence-app"].example
    for functions in ((("shop", "", 0),), (("shop", "", 0), ("shop", "Pay", 0))):
        told = describe(replace(several, functions=functions))
        assert told["kind"] == "silence-app"
        assert told["title"] == "Silence in shop: nothing from any of its functions"
        assert told["summary"].startswith("No call to shop since ")
    mixed = (("shop", "", 0), ("shop", "Pay", 0), ("blog", "Post", 0))
    told = describe(replace(several, functions=mixed, apps=("shop", "blog")))
    assert told["title"] == "Silence in 2 apps: 2 functions without a call"
    assert told["summary"].startswith("No call to Pay and Post in 2 apps since ")


def test_callers_of_several_kinds_are_called_neither_places_nor_queues() -> None:
    flood = BY_ID["distributed-flood"].example
    values = {"newcomers": 53.0, **flood.value}
    told = replace(flood, share={"newcomers": 1.0}, value=values, typical={"newcomers": 14.0})
    for callers, noun in (
        ((("queue:a", "queue", 9), ("address:203.0.113.7", "address", 5)), "callers"),
        ((("geography:Rome", "geography", 9), ("geography:Bari", "geography", 5)), "places"),
    ):
        assert noun in describe(replace(told, callers=callers))["reasons"][0]["text"]


def test_a_silence_that_ended_is_told_from_its_begin_to_its_end() -> None:
    silent = BY_ID["silence"].example
    begin = silent.silence.since_us
    told = describe(replace(silent, silence=Silence(12.0, begin, begin + 90 * 60_000_000)))
    assert told["title"] == "Silence at PayInvoice: no call for 1.5 hours"
    assert "for 1.5 hours since 02:10 UTC on 3 August, where 12 an hour are usual: about 18 missing." in told["summary"]
    assert told["reasons"][0]["text"] == "0 calls in 1.5 hours where 18 would be usual"


def test_long_runs_are_told_of_the_function_that_has_them_and_not_of_its_busiest_neighbour() -> None:
    hangs = BY_ID["runaway-duration"].example
    where = (("shop", "GetFeed", 90), ("shop", "BuildIndex", 6))
    assert describe(replace(hangs, functions=where))["title"].endswith("at GetFeed and 1 more")
    told = describe(replace(hangs, functions=where, long_at=(("shop", "BuildIndex"),)))
    assert told["title"].endswith("at BuildIndex and 1 more")


def test_who_comes_while_a_run_hangs_is_not_what_is_strange() -> None:
    features = {"duration_high": (0.79, 6.0, 228_000.0, 257.0), "pace_minutes": (0.1, 4.0, 17.0, 7.9)}
    parts = ({name: of[i] for name, of in features.items()} for i in range(4))
    named = dict(zip(("share", "surprise", "value", "typical"), parts, strict=True))
    hung = replace(BY_ID["runaway-duration"].example, invocations=26, distinct_callers=13, failed=0, **named)
    assert describe(hung)["kind"] == "runaway-duration"
    busy = replace(hung, share={"duration_high": 0.1, "pace_minutes": 0.8})
    assert describe(busy)["kind"] == "unusual-pace"


def test_what_goes_on_for_hours_did_not_come_at_once() -> None:
    storm = BY_ID["storm"].example
    hours = replace(storm, last_us=storm.first_us + 15 * 3_600_000_000)
    assert describe(storm)["title"].endswith("4 functions slow and failing at once")
    assert describe(hours)["title"].endswith("slow and failing")
    assert describe(replace(hours, core_s=900.0))["title"].endswith("at once")


def test_runs_by_hand_are_told_from_those_that_the_clock_started() -> None:
    by_hand = BY_ID["manual-run"].example
    assert ", some of them" not in describe(by_hand)["summary"]
    assert (
        ", some of them through the admin API" in describe(replace(by_hand, triggers=("timer", "host-api")))["summary"]
    )


def test_the_reason_of_a_silence_counts_as_its_sentence_does() -> None:
    silent = BY_ID["silence"].example
    since = silent.opened_us - 25 * 3_600_000_000
    (reason,) = reasons(replace(silent, silence=Silence(1.6 / 25, since)))
    assert reason["text"] == "0 calls in 25 hours where 1 would be usual"


def test_what_is_as_usual_is_no_reason_unless_there_is_no_other() -> None:
    usual = {"share": {"growth_days": 0.6}, "value": {"growth_days": 739.0}, "typical": {"growth_days": 714.0}}
    assert [reason["feature"] for reason in reasons(Evidence(**usual))] == ["growth_days"]
    more = {name: {**of, "failure_burst": n} for (name, of), n in zip(usual.items(), (0.4, 9.0, 0.1), strict=True)}
    assert [reason["feature"] for reason in reasons(Evidence(**more))] == ["failure_burst"]


@pytest.mark.parametrize(("failed", "told"), [(129, False), (400, True), (2, False)])
def test_failures_are_told_where_they_are_news(failed: int, told: bool) -> None:
    share = {"pace_minutes": 0.9, "failure_burst": 0.1}
    value, typical = {"pace_minutes": 900.0, "failure_burst": 12.9}, {"pace_minutes": 9.0, "failure_burst": 11.0}
    flood = replace(BY_ID["flood"].example, failed=failed, share=share, value=value, typical=typical)
    if told:
        typical["failure_burst"] = 1.1
    assert ("failed" in describe(flood)["summary"]) == told


def test_failures_that_are_mostly_elsewhere_are_told_as_the_callers() -> None:
    share, value, typical = {"caller_failures": 1.0}, {"caller_failures": 26.0}, {"caller_failures": 1.3}
    dublin = (("geography:Ireland/Leinster/Dublin", "geography", 1),)
    one = replace(BY_ID["failure-burst"].example, invocations=1, failed=1, share=share, value=value, typical=typical)
    told = describe(replace(one, last_us=one.first_us, callers=dublin, distinct_callers=1, exception_types=()))
    assert told["title"] == "Far more failures than usual from Dublin, Ireland, now at PayInvoice"
    assert (
        "failed, among about 26 failed calls by one place in half an hour where 1.3 would be usual" in told["summary"]
    )


def test_a_single_call_is_told_without_counting_it() -> None:
    share = {"duration_high": 0.28, "country_rare_here": 0.1}
    one = replace(BY_ID["unusual"].example, invocations=1, refused=1, share=share)
    assert describe(one)["summary"].endswith(": a run took 900 ms where 310 ms is usual, which was refused.")
    failed = replace(one, refused=0, failed=1, share={"failure_burst": 1.0}, value={"failure_burst": 1.1})
    assert "which failed" not in describe(failed)["summary"]


def test_the_pace_that_is_told_is_the_steepest_of_those_that_matter() -> None:
    share = {"caller_pace": 0.4, "pace_minutes": 0.35, "growth_days": 0.01}
    value = {"caller_pace": 145.0, "pace_minutes": 400.0, "growth_days": 9e5}
    typical = {"caller_pace": 25.0, "pace_minutes": 20.0, "growth_days": 1.0}
    flood = replace(BY_ID["flood"].example, share=share, value=value, typical=typical)
    assert ": about 400 calls in five minutes where 20 are usual" in describe(flood)["summary"]


def test_a_place_is_named_once_and_is_no_caller() -> None:
    place = (("geography:Ukraine/Odesa/Odesa", "geography", 41),)
    abroad = replace(
        BY_ID["new-country"].example,
        callers=place,
        countries=(("Ukraine", 41),),
        share={"country_rare_here": 0.7, "caller_pace": 0.3},
        value={"country_rare_here": 0.0, "caller_pace": 41.0},
        typical={"caller_pace": 2.0},
    )
    told = describe(abroad)
    assert told["title"] == "First calls from Odesa, Ukraine at PayInvoice"
    assert "to PayInvoice from Odesa, Ukraine, a country from which nobody called it before" in told["summary"]
    assert told["reasons"][1]["text"] == "about 41 calls by one place in half an hour where 2 are usual"
    probes = describe(replace(BY_ID["injection-probe"].example, callers=place))
    assert probes["title"] == "Injection probes at PayInvoice from Odesa, Ukraine"


@pytest.mark.parametrize(("surprise", "told"), [(1.8, "user u-1 in Vietnam: about"), (0.5, "user u-1: about")])
def test_who_hurries_in_a_strange_country_is_told_to_be_there(surprise: float, told: str) -> None:
    busy = replace(
        BY_ID["unusual-pace"].example,
        countries=(("Vietnam", 210),),
        surprise={"caller_pace": 9.0, "caller_new_country": surprise},
    )
    assert told in describe(busy)["summary"]
    assert "Vietnam" not in describe(replace(busy, countries=(("Vietnam", 9), ("Germany", 201))))["summary"]


def test_messages_that_fail_are_not_told_as_calls_repeated_by_their_queue() -> None:
    # an event hub: only where its messages come from is logged
    failing = replace(BY_ID["retry-storm"].example, callers=(("queue:alarms", "queue", 480),), triggers=("other",))
    assert describe(failing)["kind"] == "failure-burst"
    assert describe(replace(failing, callers=(("user:u-1", "user", 480),)))["kind"] == "retry-storm"


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [({400: 14}, "malformed-calls"), ({404: 14}, "enumeration"), ({400: 8, 404: 6}, "enumeration")],
)
def test_calls_that_can_not_be_read_are_no_guesses(statuses: dict[int, int], kind: str) -> None:
    assert describe(replace(BY_ID["malformed-calls"].example, statuses=statuses))["kind"] == kind


def test_one_country_of_a_travel_may_be_all_that_the_incident_holds() -> None:
    example = replace(BY_ID["impossible-travel"].example, countries=(("China", 18),))
    told = describe(replace(example, came_from=None))
    assert told["title"] == "User u-1 in China 7 minutes after a call from another country"
    assert "by user u-1, from China, 7 minutes after a call from another country" in told["summary"]
    told = describe(replace(example, came_from="Türkiye\n"))
    assert told["title"] == "User u-1 in China 7 minutes after a call from Türkiye"
    assert "by user u-1, from China, 7 minutes after a call from Türkiye." in told["summary"]


def test_who_calls_from_both_countries_by_turns_is_said_to() -> None:
    both = replace(BY_ID["impossible-travel"].example, countries=(("Finland", 10), ("Brazil", 8)), came_from=None)
    told = describe(both)
    assert told["title"] == "User u-1 in Finland and Brazil, 7 minutes between two countries"


def test_cents_are_not_told() -> None:
    cheap = replace(BY_ID["flood"].example, invocations=500, run_seconds=30.0)
    assert "cost so far" not in describe(cheap)["summary"]
    assert "cost so far" in describe(replace(cheap, run_seconds=30_000.0))["summary"]
    # a bill that somebody runs up is told, whatever it has come to
    assert "cost so far" in describe(replace(BY_ID["denial-of-wallet"].example, run_seconds=601.0))["summary"]


@each_kind
def test_the_same_evidence_is_told_the_same_way_in_any_order_of_its_features(kind: Kind) -> None:
    e = kind.example
    turned = replace(
        e,
        **{
            name: dict(reversed(getattr(e, name).items()))
            for name in ("share", "surprise", "value", "typical", "statuses")
        },
    )
    assert describe(e) == describe(turned)


@given(any_evidence())
def test_any_evidence_can_be_told(evidence: Evidence) -> None:
    told = describe(evidence)
    json.dumps(told, allow_nan=False)
    assert set(told) - {"cost"} == KEYS
    assert 0 < len(told["title"]) <= 90
    assert re.search(r"\d", told["summary"])
    assert not [text for text in sentences(told) if seen_badly(text)]
    assert told == describe(replace(evidence))


def test_reasons_come_by_share_at_most_six_and_without_the_negligible() -> None:
    share = {name: (i + 1) / 100 for i, name in enumerate(FEATURE_NAMES[:9])}
    told = describe(Evidence(share={**share, FEATURE_NAMES[10]: 0.001}, value={name: float("nan") for name in share}))
    shares = [reason["share"] for reason in told["reasons"]]
    assert len(shares) == 6
    assert shares == sorted(shares, reverse=True)
    assert all(reason["value"] is None and reason["text"] == reason["words"] for reason in told["reasons"])
    assert describe(Evidence(share={"pace_hour": 0.001}))["reasons"] == []


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_every_feature_has_words_with_numbers(name: str) -> None:
    for value, typical in ((0.0, 0.0), (4.0, 1.0), (1e6, 310.0)):
        text = reason_text(name, value, typical)
        assert re.search(r"\d", text)
        assert "_" not in text


def test_a_bill_is_a_range_that_follows_the_prices() -> None:
    example = replace(BY_ID["flood"].example, run_seconds=3_600.0, invocations=3_600)
    told = describe(example)["cost"]
    assert told["gb_seconds"] == pytest.approx([450.0, 14_400.0])
    assert told["usd"] == pytest.approx([450 * 0.000016 + 0.00072, 14_400 * 0.000026 + 0.00072])
    dearer = describe(example, prices=Prices(flex_gb_s=0.00026))["cost"]
    assert dearer["usd"][1] > 9 * told["usd"][1]


def test_only_kinds_that_cost_speak_of_money() -> None:
    spoken = {kind.id for kind in KINDS if "cost" in describe(replace(kind.example, run_seconds=1e4))}
    assert {"flood", "denial-of-wallet", "runaway-duration", "slow-growth"} <= spoken
    assert not {"new-caller", "silence", "failure-burst"} & spoken


def test_what_is_wholly_logged_has_no_blind_spots() -> None:
    assert blind_spots(Coverage()) == []
    assert blind_spots(Coverage(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)) == []


@pytest.mark.parametrize(
    ("coverage", "remedy"),
    [
        (Coverage(share_masked=0.98), "DisableIpMasking"),
        (Coverage(share_without_country=0.5), "ClientCountryOrRegion"),
        (Coverage(share_masked=1.0, share_without_country=0.99), "Read AppRequests"),
        (Coverage(share_sampled=0.3), "excludedTypes"),
        (Coverage(share_without_host_instance=1.0), "HostInstanceId"),
        (Coverage(share_without_version=1.0), "AppVersion"),
        (Coverage(share_traces_joined=0.0), "AppTraces"),
        (Coverage(share_without_query=1.0), "enableQueryStringTracing"),
        (Coverage(share_without_duration=0.4), "DurationMs"),
        (Coverage(share_failed_only=0.1), "Host.Results"),
    ],
)
def test_what_is_missing_is_said_with_its_share_and_its_remedy(coverage: Coverage, remedy: str) -> None:
    (line,) = blind_spots(coverage)
    assert remedy in line
    assert re.match(r"\d+%", line)


def test_without_http_nothing_is_said_about_addresses() -> None:
    assert blind_spots(Coverage(share_http=0.0, share_masked=1.0, share_without_country=1.0)) == []


def test_where_the_average_trails_behind_the_larger_half_is_told() -> None:
    slow = replace(BY_ID["latency-shift"].example, duration_ms=(10_000.0, 10_100.0))
    typical, value = {"latency_shift": 444.0}, {"latency_shift": 1_800.0}
    told = describe(replace(slow, share={"latency_shift": 1.0}, typical=typical, value=value))["summary"]
    assert (
        "runs took up to 1.8 s on average where 444 ms is usual, 4.1 times as long; half of these calls took 10 s"
        in told
    )


def test_of_one_slow_call_no_half_is_told() -> None:
    slow = BY_ID["latency-shift"].example
    one = replace(slow, invocations=1, first_us=slow.last_us, duration_ms=(2_200.0, 2_200.0))
    assert ": it took 2.2 s where 300 ms is usual, 7.3 times as long" in describe(one)["summary"]


def test_some_long_runs_in_hours_are_told_by_their_number_and_by_how_long_they_are() -> None:
    slow = replace(
        BY_ID["latency-shift"].example, share={"long_runs": 0.9, "duration_high": 0.1}, duration_ms=(1_200.0, 2_500.0),
        value={"long_runs": 36.4, "duration_high": 2_500.0}, typical={"long_runs": 3.1, "duration_high": 240.0},
        usual_ms=240.0,
    )  # fmt: skip
    told = describe(slow)
    assert told["kind"] == "latency-shift"
    assert (
        "at least 36 runs in six hours as long as 1 in 100 is, where 3.1 would be; they run up to 2.5 s"
        in (told["summary"])
    )
    assert "(median 1.2 s, usual 240 ms)" in told["summary"]


def test_a_limit_and_a_long_day_are_told_in_their_own_words() -> None:
    assert reason_text("time_limit", 6.0, 2_880.0) == (
        "6 runs cut off at a whole number of minutes, where none of 2,880 came near it"
    )
    assert reason_text("caller_day", 294.0, 88.0) == "about 294 calls by one caller in a day where 88 are usual"


def test_what_is_usual_at_one_function_is_not_held_against_another() -> None:
    storm = BY_ID["storm"].example
    share, value, typical = {"duration_high": 1.0}, {"duration_high": 3_800.0}, {"duration_high": 330.0}
    told = describe(replace(storm, share=share, value=value, typical=typical, duration_ms=(5_000.0, 9_000.0)))
    assert "one running 3.8 s where 330 ms is usual" in told["summary"]
    assert "median" not in told["summary"]


def test_a_busy_hour_is_not_told_as_fewer_calls_in_a_day_than_came() -> None:
    share, value, typical = {"growth_days": 1.0}, {"growth_days": 246.0}, {"growth_days": 79.0}
    rush = replace(BY_ID["slow-growth"].example, share=share, value=value, typical=typical, invocations=575)
    told = describe(replace(rush, first_us=rush.last_us - 18 * 60 * 1_000_000))
    assert told["kind"] != "slow-growth"
    assert "575 calls in a day where 79 are usual" in told["summary"]


def test_an_hour_at_which_a_caller_works_is_no_reason() -> None:
    assert is_news("caller_hours", 0.0, 0.04)
    assert not is_news("caller_hours", 0.12, 0.04)


def test_messages_are_counted_by_their_deliveries() -> None:
    poison = BY_ID["poison-message"].example
    value = {**poison.value, "redelivery": 5.0}
    one, many = (describe(replace(poison, failed=failed, value=value)) for failed in (5, 110))
    assert one["title"].startswith("A message fails")
    assert many["title"].startswith("Messages fail")
    assert "up to 5 deliveries of a message" in many["summary"]


def test_runs_by_hand_are_counted_from_the_first_which_alone_is_no_incident() -> None:
    by_hand = BY_ID["manual-run"].example
    one = replace(by_hand, invocations=1, first_us=by_hand.last_us, value={**by_hand.value, "unscheduled": 1.99})
    assert describe(one)["summary"].startswith("1 run at 02:19 UTC on 3 August (2 within a day) of")
    assert describe(replace(one, invocations=2))["summary"].startswith("2 runs at ")
    begun = replace(one, begun_us=one.first_us - 9 * 60 * 1_000_000)
    assert describe(begun)["summary"].startswith("1 run at 02:10 UTC on 3 August")


def test_what_messages_come_from_is_called_what_it_is() -> None:
    of = BY_ID["unusual-pace"].example
    told = {
        trigger: describe(replace(of, triggers=(trigger,), callers=(("queue:photos", "queue", 210),)))["summary"]
        for trigger in ("queue", "servicebus", "blob", "eventhub")
    }
    assert "queue photos" in told["queue"]
    assert "queue photos" in told["servicebus"]
    assert "container photos" in told["blob"]
    assert "event hub photos" in told["eventhub"]


def test_of_the_functions_of_a_story_only_those_are_called_new_that_are() -> None:
    bought = replace(
        BY_ID["new-function"].example,
        functions=(("shop", "BuyItem", 60), ("shop", "GiftItem", 75)),
        unborn=(("shop", "GiftItem"),),
    )
    told = describe(bought)
    assert told["title"] == "New function: GiftItem in shop"
    assert "BuyItem and 1 other function in shop, of which GiftItem was never seen before" in told["summary"]
    both = describe(replace(bought, unborn=(("shop", "GiftItem"), ("shop", "BuyItem"))))
    assert both["title"] == "New function: GiftItem and 1 more in shop"
    assert "in shop, never seen before" in both["summary"]


@pytest.mark.parametrize(
    ("shortest_h", "told"),
    [(4, "for 4 to 31 hours since"), (31, "for 31 hours since"), (1, "for 60 minutes to 31 hours since")],
)
def test_functions_that_were_silent_for_unlike_times_are_told_with_the_shortest(shortest_h: float, told: str) -> None:
    example, hour = BY_ID["silence-app"].example, 3_600_000_000
    begin = example.silence.since_us
    silence = Silence(13.0, begin, begin + 31 * hour, 95.0, 31 * hour, shortest_h * hour)
    assert told in describe(replace(example, silence=silence))["summary"]
    assert describe(replace(example, silence=silence))["summary"].endswith("about 95 missing.")


def test_a_single_failure_is_told_as_one() -> None:
    once = replace(
        BY_ID["failure-burst"].example, invocations=1, failed=1, exception_types=(), value={"failure_burst": 1.0}
    )
    told = describe(once)
    assert (told["title"], told["severity"]) == ("1 call failed at PayInvoice", "low")
    many = describe(replace(once, value={"failure_burst": 7.0}))
    assert many["title"].startswith("Far more failures than usual")
    assert "to PayInvoice failed, among 7 failures close together where 0.3 would be usual" in many["summary"]


def test_refused_calls_beside_those_of_the_story_are_told_as_such() -> None:
    one = replace(
        BY_ID["unusual"].example,
        invocations=1,
        refused=1,
        share={"client_error_burst": 0.2, "pace_hour": 0.1},
        value={"client_error_burst": 2.0},
        typical={"client_error_burst": 0.02},
    )
    assert ": among 2 refused calls close together" in describe(one)["summary"]


def test_what_a_bill_comes_to_is_told_in_money_alone() -> None:
    summary = describe(BY_ID["denial-of-wallet"].example)["summary"]
    assert summary.endswith("; cost so far $0.05 to $2.81, depending on plan and memory.")
    assert "GB-seconds" not in summary


def test_failures_that_befall_one_partner_alone_name_the_partner() -> None:
    example = replace(
        BY_ID["failure-burst"].example, lead="function", invocations=121, failed=121, share={"caller_failures": 1.0},
        callers=(("user:partner-3", "user", 120), ("user:partner-2", "user", 1)), distinct_callers=2,
    )  # fmt: skip
    assert "most from user partner-3" in describe(example)["summary"]
    many = tuple((f"user:partner-{n}", "user", 40) for n in range(3))
    assert "from user" not in describe(replace(example, callers=many, distinct_callers=3))["summary"]
