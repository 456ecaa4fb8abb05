"""One verb a file; `outlast VERB` calls `command` in VERB.py."""
