"""Sessions, seen from the server: open one, join clients to it, picture its screen, read it back.

`opening` makes the spec, `relay` joins one client to the supervisor, `screens` pictures, `listing`
and `transcript` read. Async where it waits for sockets; what reads files blocks, and says so.
"""
