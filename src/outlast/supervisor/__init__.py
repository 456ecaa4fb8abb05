"""One supervisor for each run: it starts the command, waits for all of it, and tells the truth.

Start reading at `supervision` (the story of a run, top to bottom). Synchronous; standard library
only; Python 3.8 and newer.
"""
