import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "what_happens_when.md"
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))


def test_promises_name_tests():
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_promise_has_its_test(file, test):
    source = (Path(__file__).parent / file).read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(", source, re.MULTILINE)
