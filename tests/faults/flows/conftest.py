"""Flows run against one Prefect server."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _server(prefect_server: str) -> None:
    """Start the server before the first test of this folder."""
