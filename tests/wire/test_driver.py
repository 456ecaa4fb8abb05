"""Who may type into a session."""

from __future__ import annotations

import pytest

from outlast.wire.driver import DriverLedger, Grant
from outlast.wire.frame import Malformed

ANN, BOB = b"a" * 16, b"b" * 16


def test_the_first_driver_begins_an_epoch() -> None:
    ledger = DriverLedger()
    assert ledger.attach(1, "driver", ANN, None) == Grant("driver", 1, 0, has_changed=True)
    assert ledger.take(1, 0, b"ls") == 2
    assert bytes(ledger.held) == b"ls"
    assert ledger.wrote(2) == 2


def test_the_same_key_goes_on_where_the_pty_stands() -> None:
    ledger = DriverLedger()
    ledger.attach(1, "driver", ANN, None)
    ledger.take(1, 0, b"sleep 1\n")
    ledger.wrote(5)
    grant = ledger.attach(2, "driver", ANN, 1)
    assert grant == Grant("driver", 1, 5, replaced=1)
    assert ledger.take(1, 8, b"from the old socket") == 0
    # What is held already isn't held twice.
    assert ledger.take(2, 5, b" 1\nls\n") == 3
    assert bytes(ledger.held) == b" 1\nls\n"


def test_another_key_takes_over_and_fences() -> None:
    ledger = DriverLedger()
    ledger.attach(1, "driver", ANN, None)
    ledger.take(1, 0, b"rm -rf precious")
    grant = ledger.attach(2, "driver", BOB, None)
    assert grant == Grant("driver", 2, 0, has_changed=True, displaced=1)
    assert bytes(ledger.held) == b""
    assert ledger.take(1, 15, b"\n") == 0
    assert ledger.attach(3, "driver", ANN, 1) == Grant("viewer", 2, 0, is_fenced=True)
    assert ledger.take(3, 0, b"x") == 0
    assert ledger.take(2, 0, b"x") == 1


def test_a_gap_in_the_input_is_refused() -> None:
    ledger = DriverLedger()
    ledger.attach(1, "driver", ANN, None)
    with pytest.raises(Malformed, match="input at 1, but 0 was expected"):
        ledger.take(1, 1, b"x")
    assert bytes(ledger.held) == b""


def test_input_is_held_up_to_a_limit_while_the_pty_takes_none() -> None:
    ledger = DriverLedger()
    ledger.attach(1, "driver", ANN, None)
    wants = [ledger.wants_input]
    ledger.take(1, 0, bytes(64 << 10))
    wants.append(ledger.wants_input)
    ledger.wrote(1)
    assert [*wants, ledger.wants_input] == [True, False, True]


def test_a_driver_that_is_away_is_still_the_driver() -> None:
    ledger = DriverLedger()
    ledger.attach(1, "driver", ANN, None)
    ledger.leave(1)
    assert ledger.attach(2, "driver", ANN, 1).role == "driver"
    ledger.leave(1)  # late news of the old socket
    assert ledger.seat == 2


def test_the_ledger_is_kept_in_36_bytes() -> None:
    ledger = DriverLedger()
    assert DriverLedger.from_bytes(ledger.to_bytes()).attach(1, "driver", ANN, None).epoch == 1
    ledger.attach(1, "driver", ANN, None)
    ledger.take(1, 0, b"abc")
    ledger.wrote(2)
    kept = ledger.to_bytes()
    assert kept.hex() == "00000000000000010000000000000002" + "61" * 16 + kept[-4:].hex()
    again = DriverLedger.from_bytes(kept)
    assert again.attach(7, "driver", ANN, 1) == Grant("driver", 1, 2)
    assert again.take(7, 2, b"c") == 1


@pytest.mark.parametrize("at", range(36))
def test_a_damaged_note_is_noticed(at: int) -> None:
    kept = bytearray(DriverLedger(3, 7, ANN).to_bytes())
    kept[at] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        DriverLedger.from_bytes(bytes(kept))
    with pytest.raises(ValueError, match="damaged"):
        DriverLedger.from_bytes(bytes(kept[:-1]))
