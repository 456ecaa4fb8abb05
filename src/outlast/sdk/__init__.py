"""The Python door: submit runs, follow them, read what they produced. Synchronous, no threads.

Its names are those of `outlast`, which imports each file here when its name is first used. Inside a
script, use `outlast.runtime` (get_context, log, …), which works without a server.
"""
