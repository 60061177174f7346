"""Fixtures: one sandboxd for each module of tests, and one container in it for those that only look."""
import os

import pytest
import sandbox as sb


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="makes containers: needs root"))


@pytest.fixture(scope="module")
def box():
    s = sb.Sandbox()
    yield s
    s.close()


@pytest.fixture(scope="module")
def instance(box):
    return box.up(env=["A=b", "PATH=/app"])
