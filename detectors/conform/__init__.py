"""Records in any shape that Azure writes, as rows of INVOCATION: no input or output of its own, only bytes and Arrow.

=====================================================  ============================================================
what comes in                                          what becomes of it
=====================================================  ============================================================
no JSON, JSON nested too deep, a record over 16 MiB    dead letter
an object with the keys of no known shape              dead letter
no time, or one that can't be read                     dead letter
a time before 2015 or over a day ahead of ``now_us``   dead letter
an invocation without a function's name                dead letter
NaN, negative or absurd (over 30 days) duration        row, its duration null
no invocation id                                       row, its id the span's, else made of the content ("content:…")
ItemCount below 1 or absurd                            row, counted once
masked or unreadable client address                    row, its address null
a text longer than ``max_string``                      row, the text cut
invalid UTF-8 in otherwise good JSON                   row, U+FFFD in place of what can't be read
a trace, exception or log line without invocation id   ignored: nothing to join
rows of other tables, spans without faas.*             ignored
a blank line                                           no record
=====================================================  ============================================================
"""

from detectors.conform.lines import conform_json
from detectors.conform.options import Conformed, ConformOptions
from detectors.conform.table import columns_needed, conform_table

__all__ = ["ConformOptions", "Conformed", "columns_needed", "conform_json", "conform_table"]
