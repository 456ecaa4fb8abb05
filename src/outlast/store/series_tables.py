"""The tables of metric points."""

from __future__ import annotations
