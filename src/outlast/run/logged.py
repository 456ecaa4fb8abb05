"""The records of a script's journals (`logged.<writer>`): what each kind holds.

Keys are short because a training loop writes millions of them. `t` is wall-clock nanoseconds.
Kinds, by `k`:
  m      a metric point      n name, v value (number, bool or string), s step, t;
                             a non-finite number has v null and x "nan", "inf" or "-inf"
  list   log_list            n, v [values], t
  row    log_row             n, v {column: value}, t
  table  log_table           n, v {column: [values]}, t
  image  log_image           n, path (name among the uploads), s, t
  tag    tag                 n, v (string or null), t
  prop   set_property        n, v (string), t; a second value for a name is refused
  upload upload_file         path (name among the uploads), size, t
  register  register_model   n model's name, path (among the run's stored files), attempt, tags,
                             properties, description, t; the server carries it out once
  child  child_run           id, t
  end    complete, fail, cancel   how, message, facts, t; how is "exit" when the script ends without
                             one of them: its exit code decides
  hello  first in a journal  pid, start, boot, rank, python, t, mono (CLOCK_BOOTTIME in ns)
  gap    records were lost   count, reason, t
Order is the order in the journal; across journals it is the order of arrival.
"""

from __future__ import annotations

METRIC = "m"
LIST = "list"
ROW = "row"
TABLE = "table"
IMAGE = "image"
TAG = "tag"
PROPERTY = "prop"
UPLOAD = "upload"
REGISTER = "register"
CHILD = "child"
END = "end"
HELLO = "hello"
GAP = "gap"

NON_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
