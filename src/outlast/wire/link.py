"""When a link is taken for dead, and when it is tried again: the same for terminals and tunnels."""

from __future__ import annotations

PING_S = 2.0
DEAD_S = 6.0  # without a sign of life from the other end, which pings every PING_S
LONGEST_PAUSE_S = 5.0
_FIRST_PAUSE_S = 0.1


def pause_s(tries: int, chance: float) -> float:
    """How long to wait before the next try, after so many in vain; `chance` is from 0 to 1.

    None before the first; then doubled up to 5 s, and spread, so that the clients of a restarted
    server don't come all at once.
    """
    if tries == 0:
        return 0.0
    whole_s = min(_FIRST_PAUSE_S * 2.0 ** min(tries - 1, 16), LONGEST_PAUSE_S)
    return whole_s * (0.5 + 0.5 * chance)
