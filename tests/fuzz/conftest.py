"""The law of the fuzzers."""

from collections.abc import Iterator

import pytest
from support.fuzzing import Law


@pytest.fixture
def law(request: pytest.FixtureRequest) -> Iterator[Law]:
    found = Law(request)
    yield found
    found.close()
