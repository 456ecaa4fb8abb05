"""What the tests of the store share."""

from __future__ import annotations

import pytest

from outlast.store.database import Database
from outlast.store.ingest import Ingest


@pytest.fixture
def ingest(database: Database) -> Ingest:
    return Ingest(database)
