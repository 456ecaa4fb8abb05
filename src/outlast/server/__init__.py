"""The server: HTTP and WebSocket doors over the scheduler, the index and the run folders.

A request passes, in this order: `connections` (sockets and the HTTP grammar), `app` (error form and
headers), `auth` (host, origin, token, permission), `limits` (bodies), and one file of `routes/`.
"""
