"""Phrases of who calls, from where, and what is called."""

from __future__ import annotations

from typing import Final

from detectors import wording as say
from detectors.catalogue.kind import CROWD, GROUPS, finite
from detectors.phrases.amounts import Amounts

#: share of the calls from which on they are told as the first caller's
_MAINLY: Final = 0.6
#: seconds that count as no time at all
_JUST_NOW_S: Final = 60.0
#: surprise at where a caller is, -log10 p, from which on it is told whatever else is
_AWAY: Final = 1.5
#: share of the refused calls that were refused for want of a key or of a right, from which on these are what is tried
_UNENTITLED: Final = 2 / 3
#: since when a caller is no news, s
_NEWS_S: Final = 86_400.0


class Who(Amounts):
    """Who and where."""

    def say_caller(self) -> str:
        """The caller, with the others where they made much of it; several of whom nobody leads are counted."""
        e = self._e
        if not self._signs.one_caller and e.distinct_callers > 1:
            if self._signs.caller_source == "geography":
                return f"callers from {say.plural(e.distinct_callers, 'place')}"
            return say.plural(e.distinct_callers, "caller")
        return self._first_caller() + ("" if self._signs.caller_share >= _MAINLY else self._others())

    def say_from_whom(self) -> str:
        """Where the calls come from: a caller, so many callers, or a place."""
        caller = self.say_caller()
        return caller.removeprefix("callers ") if caller.startswith("callers from ") else f"from {caller}"

    def say_and_others(self) -> str:
        """How many others there were beside the one whose doing it is, where nothing else says so."""
        untold = self._signs.caller_share >= _MAINLY and not self._e.beside
        return self._others() if self._signs.one_caller and untold else ""

    def say_crowd(self) -> str:
        """A flood's many callers; or the one that is told of, among them."""
        if self._signs.of_a_crowd:
            return f"with {self.say_caller()} among the callers"
        afar = f" in {self.say_country()}" if self._signs.many_from_afar else ""
        return f"{self.say_from_whom()}{afar}{self.say_at_once()}"

    def say_new_ones(self) -> str:
        """How many of the callers are new."""
        e = self._e
        if self._signs.of_a_crowd:
            ones = say.whole(self._signs.value("newcomers"))
            return f", one of {say.number(ones)} never seen there before" if ones >= CROWD else ""
        new = min(e.new_callers, e.distinct_callers)
        return f" ({new:,} of them new)" if new and not self._signs.one_caller and e.distinct_callers > 1 else ""

    def say_new_spot(self) -> str:
        """What is new to the caller, as in a title."""
        names = self._fresh()
        return self.say_spot() if len(names) == self._touched() else _and_more(names)

    def _fresh(self) -> list[str]:
        """The functions that a known caller had not called a day before, where that is the story; else all."""
        fresh = [(app, name) for app, name, _ in self._e.fresh] if self._signs.out_of_place else []
        every = [(app, name) for app, name, _ in self._e.functions]
        return [say.tame(name) for name in dict.fromkeys(name for _, name in fresh or every if name)]

    def say_unknown(self) -> str:
        """Since when the caller has been seen there."""
        if len(self._fresh()) < self._touched():
            return f"not seen at {say.listed(self._fresh())} a day before"
        age = self._e.caller_age_s
        # the age is that of its last event
        before = None if age is None else finite(age) - self._signs.span_s
        if before is None or before < _JUST_NOW_S:
            return "never seen there before"
        if before > _NEWS_S and finite(self._e.value.get("caller_new_to_function"), before) < _JUST_NOW_S:
            return "never seen before at some of them"
        return f"first seen there {say.span(before)} before"

    def say_born(self) -> str:
        """Since when a function has been seen that training did not know."""
        known = self._signs.known_for_s
        new = f"never seen before {say.clock(self._began_us())}"
        if known >= _JUST_NOW_S:
            new = f"first seen {say.span(known)} before"
        if not self._e.unborn or len(self._newborn()) == self._touched():
            return new
        return f"of which {say.listed(self._newborn())} {'was' if len(self._newborn()) == 1 else 'were'} {new}"

    def say_unborn(self) -> str:
        """Functions that nobody called before, of those that a caller reaches."""
        if not self._newborn() or self._signs.known_for_s >= _JUST_NOW_S:
            return ""
        return f"; nobody ever called {say.listed(self._newborn())} before"

    def say_newborn(self) -> str:
        """The functions that training did not know, as in a title."""
        names = self._newborn()
        return _and_more(names) if names else self.say_spot()

    def _newborn(self) -> list[str]:
        return [say.tame(name) for name in dict.fromkeys(name for _, name in self._e.unborn if name)]

    def _touched(self) -> int:
        """Functions of different names."""
        return len({name for _, name, _ in self._e.functions if name})

    def say_upstream(self) -> str:
        """What ran of the functions that promised runs."""
        names = [function for _, function in self._e.missing.follows] if self._e.missing is not None else []
        return f"what ran of {say.listed([say.tame(name) for name in dict.fromkeys(names)]) if names else 'others'}"

    def say_where(self) -> str:
        """The function most touched, the others counted."""
        names = [function for _, function, _ in self._e.functions if function]
        if not names:
            return self.say_app()
        others = len(set(names)) - 1
        first = say.tame(names[0])
        return first if others <= 0 else f"{first} and {others} other function{'s' if others > 1 else ''}"

    def say_locks(self) -> str:
        """What is tried: keys and rights where it is refused for want of them, else names and numbers."""
        return "keys and rights" if self._signs.unentitled >= _UNENTITLED else "names and numbers"

    def say_spot(self) -> str:
        """As ``where``, shorter: for titles."""
        names = list(dict.fromkeys(function for _, function, _ in self._e.functions if function))
        if len(names) < 2:
            return self.say_where()
        return _and_more([say.tame(name) for name in names])

    def say_all_named(self) -> str:
        """Some of the functions by name, and the app; others of the app may be as ever."""
        names = list(dict.fromkeys(function for _, function, _ in self._e.functions if function))
        if self._as_a_whole():
            return self.say_app()
        return f"{say.listed([say.tame(name) for name in names])} in {self.say_app()}"

    def say_it(self) -> str:
        """The app, or the apps, as spoken of before."""
        return "some of these apps" if len(self._e.apps) > 1 else "this app"

    def say_app(self) -> str:
        """The app, or how many."""
        apps = self._e.apps or tuple(dict.fromkeys(app for app, _, _ in self._e.functions))
        return say.plural(len(apps), "app") if len(apps) > 1 else say.tame(apps[0]) if apps else "an unknown app"

    def say_functions(self) -> str:
        """How many functions."""
        return say.plural(self._signs.functions, "function")

    def say_all_quiet(self) -> str:
        """How many functions are without a call."""
        if self._as_a_whole():
            return "nothing from any of its functions"
        named = {(app, function) for app, function, _ in self._e.functions if function}
        return f"{say.plural(len(named), 'function')} without a call"

    def _as_a_whole(self) -> bool:
        """Whether apps are told, and not some of their functions: an app stands among these without a name."""
        apps = {app for app, function, _ in self._e.functions if not function}
        return all(app in apps for app, function, _ in self._e.functions if function)

    def say_queue(self) -> str:
        """What fired the functions."""
        return f" fed by {say.listed([say.tame(s) for s in self._e.sources])}" if self._e.sources else ""

    def say_country(self) -> str:
        """The country most seen; where many call from where hardly anybody does, the countries of those."""
        if self._signs.many_from_afar:
            return say.listed([say.tame(name) for name, _ in self._e.afar])
        return say.tame(self._e.countries[0][0]) if self._e.countries else "a new country"

    def say_abroad(self) -> str:
        """Calls from a country that is new to the caller, or rare at the function."""
        place = self._place()
        share = self._e.value.get("country_rare_here")
        if self._new_to_caller() and not place:
            return f"first calls from {self.say_country()} by {self.say_caller()}"
        by = "" if place else f", by {self.say_caller()}"
        if share is not None and finite(share) <= 0.0:
            return f"first calls from {place or self.say_country()} at {self.say_spot()}{by}"
        return f"calls from {place or self.say_country()}, rare at {self.say_spot()}{by}"

    def say_from_abroad(self) -> str:
        """The country and the caller; once where the caller is known by its place only."""
        place = self._place()
        return f"from {place}" if place else f"from {self.say_country()} by {self.say_caller()}"

    def say_foreign(self) -> str:
        """How new the country is to the caller, or how rare at the function."""
        if self._new_to_caller() and not self._place():
            return f"never seen from there{self.say_history()}"
        share = self._e.value.get("country_rare_here")
        if self._signs.many_from_afar:
            return "from where hardly anybody called it before"
        if share is not None and finite(share) <= 0.0:
            return "a country from which nobody called it before"
        return f"a country that makes {'few' if share is None else say.percent(finite(share))} of the calls there"

    def say_in_country(self) -> str:
        """The country that nearly all calls of a caller came from, where it is a strange one for it or there."""
        away = self._signs.surprise(*GROUPS["place"]) >= _AWAY and self._signs.all_from_there
        return f" in {self.say_country()}" if away and self._signs.one_caller and not self._place() else ""

    def say_travels(self) -> str:
        """The countries, and the time since a call from another, which may be one of these, or not known."""
        if self._e.came_from is not None:
            return f"in {self._countries()} {self.say_travel()} after a call from {say.tame(self._e.came_from)}"
        if len(self._e.countries) > 1:
            return f"in {self._countries()}, {self.say_travel()} between two countries"
        return f"in {self.say_country()} {self.say_travel()} after a call from another country"

    def say_apart(self) -> str:
        """As ``travels``, for a sentence."""
        if self._e.came_from is not None:
            return f"from {self._countries()}, {self.say_travel()} after a call from {say.tame(self._e.came_from)}"
        if len(self._e.countries) > 1:
            return f"from {self._countries()}, {self.say_travel()} between calls from two countries"
        return f"from {self.say_country()}, {self.say_travel()} after a call from another country"

    def _countries(self) -> str:
        return say.listed([say.tame(name) for name, _ in self._e.countries])

    def _first_caller(self) -> str:
        if not self._e.callers:
            return "callers without identity"
        fired = self._e.triggers[0] if len(self._e.triggers) == 1 else ""
        return say.caller_words(self._e.callers[0][0], fired)

    def _others(self) -> str:
        others = self._e.distinct_callers - 1 - len(self._queues())
        return f" and {say.plural(others, 'other')}" if others > 0 else ""

    def _queues(self) -> list[tuple[str, int]]:
        """Queues that the calls of somebody fill, and what was run for each of them."""
        if self._signs.caller_source == "queue":
            return []
        return [(name, n) for name, source, n in self._e.callers[1:] if source == "queue"]

    def _place(self) -> str:
        """The place by which alone the caller is known; "" where it is known by more, or is one of many."""
        if self._signs.caller_source != "geography" or not self._signs.one_caller or not self._e.callers:
            return ""
        return say.place_words(self._e.callers[0][0].partition(":")[2])

    def _new_to_caller(self) -> bool:
        return self._signs.share("caller_new_country") >= self._signs.share("country_rare_here", "country_new")


def _and_more(names: list[str]) -> str:
    """The first of some names, the others counted."""
    return names[0] + (f" and {len(names) - 1:,} more" if names[1:] else "")
