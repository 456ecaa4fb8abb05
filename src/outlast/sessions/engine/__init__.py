"""What a terminal shows, from the bytes it was sent: the engine behind snapshots.

`ghostty.Engine` has three methods that matter: feed, dump, resize. It is native code, so the server
never imports it: `python -m outlast.sessions.engine` is the process that does, started and ended
by `outlast.sessions.screens`.
"""
