from __future__ import annotations

import os

import pytest


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are not flushed to the disk itself: hundreds of simulated contests need not outlive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
