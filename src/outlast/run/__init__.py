"""What a run is: its spec, its events, its state, its folder. Pure: no I/O and no clock in here."""
