"""The mind of the server: what waits, what may start, what has ended, and what follows from it.

The loop of the server runs `scheduler.Scheduler`; what blocks (files, the database, starting a
process) happens in threads. `slots`, `queue` and `pending` are pure.
"""
