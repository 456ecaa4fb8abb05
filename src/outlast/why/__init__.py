"""Why a run is as it is: evidence is gathered once, then rules look at it. Sync."""
