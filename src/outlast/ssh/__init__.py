"""SSH that outlasts the connection: keys and pinned host keys, sshd's and ssh's configuration.

No SSH of our own: both ends are the system's OpenSSH. The stream between them is `wire.stream`, its
end at the node is `supervisor.stream`; the way in is the server's `routes/tunnels`.
"""
