"""What is known of one incident, gathered from its verdicts and invocations: plain data that the catalogue reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

Lead = Literal["caller", "function"]
#: calls an hour below which a function's calls are counted by the day, and how many times what came is expected of it
SELDOM: Final = 0.25
SURE: Final = 1.2
#: share of the time that a function must have been silent to be told as silent for all of it
ALL_THE_TIME: Final = 0.9


class Silence(NamedTuple):
    """A function, or all of an app, that says nothing.

    Attributes:
        expected_per_hour: calls that were to be expected, in an hour.
        since_us: last sign of life, UTC us.
        until_us: the next one, UTC us; -1 while there is none.
        missing: calls that did not come, of functions that fell silent one after the other; -1: what that time holds.
        longest_us: the longest silence of one function, us; -1: all of that time.
        shortest_us: the shortest silence of one function, us; -1: all of that time.
    """

    expected_per_hour: float
    since_us: int
    until_us: int = -1
    missing: float = -1.0
    longest_us: int = -1
    shortest_us: int = -1

    @property
    def over(self) -> bool:
        """It has ended."""
        return self.until_us >= self.since_us

    def lasts_us(self, now_us: int) -> int:
        """How long it was, or has been up to now."""
        return (self.until_us if self.over else max(now_us, self.since_us)) - self.since_us

    def gone(self, hours: float) -> float:
        """Calls that did not come in all those hours."""
        return self.expected_per_hour * hours if self.missing < 0.0 else self.missing

    @property
    def in_turn(self) -> bool:
        """It has ended, and functions were silent one after the other: none of them for all of that time."""
        return 0 <= self.longest_us < ALL_THE_TIME * (self.until_us - self.since_us)

    def unlike(self, seconds: float) -> bool:
        """Of functions that are told together, one was silent for far less than all of those seconds."""
        return 0 <= self.shortest_us < ALL_THE_TIME * seconds * 1e6

    def in_whole_runs(self, hours: float, functions: int) -> tuple[int, int] | None:
        """Runs usual in a day and runs missing after some hours, of so many functions with a few runs a day each.

        None where they have more, or were not silent for as long as each other. What comes a few times a day comes a
        whole number of times; training expects a little more of it than came, since it knows few runs.
        """
        number = max(functions, 1)
        each = self.expected_per_hour / number
        if not 0.0 <= each < SELDOM or self.unlike(hours * 3600.0):  # nor where it is no number
            return None
        runs = each * hours / SURE
        # the run that ends a silence is none of those that are missing
        missing = round(runs) - 1 if self.over else int(runs)
        return number * max(round(each * 24.0 / SURE), 1), number * max(missing, 1)


class Missing(NamedTuple):
    """Runs that others promised and that do not come, or come too often.

    Attributes:
        promised: runs that were to come.
        came: runs that did.
        since_us: since when fewer, or more, came than were promised, UTC us.
        follows: (app, function) of what promised them.
        over: they come again as promised.
    """

    promised: float
    came: float
    since_us: int
    follows: tuple[tuple[str, str], ...] = ()
    over: bool = False

    @property
    def too_many(self) -> bool:
        """More came than was promised."""
        return self.came > self.promised


@dataclass(frozen=True)
class Evidence:
    """Everything known of one incident.

    Counts are weighted by sampling (a row that stands for 20 invocations counts 20). Texts come from logs and are not
    to be trusted; ``explain`` tames them. Times are UTC in us.
    """

    #: whom the story is about
    lead: Lead = "function"
    #: when the first of its invocations began; -1: not known
    begun_us: int = -1
    #: when the first and the last of them ended
    first_us: int = 0
    last_us: int = 0
    #: the shortest time, in whole five minutes, that holds nine tenths of the invocations, s; 0.0: not known
    core_s: float = 0.0
    #: event time at which the incident was opened
    opened_us: int = 0
    invocations: int = 0
    #: of the invocations: returned by throwing
    failed: int = 0
    #: of the invocations: answered with 4xx
    refused: int = 0
    #: of the invocations: ran far longer than usual
    slow: int = 0
    apps: tuple[str, ...] = ()
    #: (app, function, count), most frequent first, at most 50
    functions: tuple[tuple[str, str, int], ...] = ()
    #: (app, function) of those that training did not know; empty where that is not known
    unborn: tuple[tuple[str, str], ...] = ()
    #: (app, function, calls) where the callers told of had been seen for less than a day, most frequent first
    fresh: tuple[tuple[str, str, int], ...] = ()
    #: (app, function) of those whose runs were far longer than usual, the strangest first
    long_at: tuple[tuple[str, str], ...] = ()
    #: (caller, source, count), those who carry most of it first, at most 50; a caller has its prefix, as in INVOCATION
    callers: tuple[tuple[str, str, int], ...] = ()
    distinct_callers: int = 0
    #: callers at functions that they were never seen at before; one that is new at two counts twice
    new_callers: int = 0
    #: (country, count), most frequent first
    countries: tuple[tuple[str, int], ...] = ()
    #: (country, calls) of those from where hardly anybody calls, most frequent first
    afar: tuple[tuple[str, int], ...] = ()
    #: the one country that a traveller's other calls came from; None where it is not known, or where there are several
    came_from: str | None = None
    #: HTTP methods of the calls; empty where none is known
    methods: tuple[str, ...] = ()
    #: share of the invocations that came in the first quarter of its time
    early: float = 1.0
    #: trigger kinds, as in schema.TRIGGERS
    triggers: tuple[str, ...] = ()
    #: queues, topics, containers that fired the functions
    sources: tuple[str, ...] = ()
    #: at the peak; higher is stranger
    score: float = 0.0
    p_value: float = 1.0
    #: feature -> largest honest surprise over the events, -log10 p
    surprise: Mapping[str, float] = field(default_factory=dict)
    #: feature -> share of the story's total score, 0 to 1
    share: Mapping[str, float] = field(default_factory=dict)
    #: feature -> value at the event where it was most surprising, in the feature's unit; absent where it never was
    value: Mapping[str, float] = field(default_factory=dict)
    #: feature -> typical value at that event, in the feature's unit
    typical: Mapping[str, float] = field(default_factory=dict)
    #: run time of the events in ms: (median, longest)
    duration_ms: tuple[float, float] = (0.0, 0.0)
    #: median of the functions' usual run times, ms
    usual_ms: float = 0.0
    #: run time of all events together, s
    run_seconds: float = 0.0
    #: from a change of version, or of hosts, to the first event, s; None where none changed
    deployed_ago_s: float | None = None
    #: no version is logged, but all hosts were replaced
    by_hosts: bool = False
    #: only where the incident is one of absence; a plain pair will do
    silence: Silence | None = None
    missing: Missing | None = None
    #: HTTP status -> count
    statuses: Mapping[int, int] = field(default_factory=dict)
    exception_types: tuple[str, ...] = ()
    #: names in signatures.SIGNATURES that the events carry
    signatures: tuple[str, ...] = ()
    #: a sample of HTTP paths, at most 5
    paths: tuple[str, ...] = ()
    #: some rows stand for several invocations
    sampled: bool = False
    #: of the first caller, as in schema.CALLER_CONFIDENCE
    caller_confidence: float = 0.0
    #: of the first caller: since it was first seen at the function, at its last event, s; None where nothing is known
    caller_age_s: float | None = None
    #: events that came after their time had been judged
    late: int = 0
    #: invocations of others that what a caller did touched, and that are counted nowhere else
    beside: int = 0
    #: 1 when it is first told, one more with each amendment
    revision: int = 1

    def __post_init__(self) -> None:
        given: Any = self.silence
        if given is not None and not isinstance(given, Silence):
            object.__setattr__(self, "silence", Silence(*given))
