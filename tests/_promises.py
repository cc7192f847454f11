"""The promises of docs/what_happens_when.md: each names tests, and these must have passed.

After runs of all tests with ``pytest --junit-xml=FILE``::

    python tests/_promises.py FILE [FILE ...]
"""

import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "what_happens_when.md"


def read_promises(text):
    """Give the rows of the page's tables: what is promised, and the tests in the last column."""
    promises = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|") or set(line) <= set("|- ") or cells[-1] == "test":
            continue
        names = re.findall(r"`(test_\w+\.py::\w+)`", cells[-1])
        promises.append((cells[0], names))
    return promises


def read_outcomes(*junit_xml):
    """Give the outcomes of each test of some runs, one for each of its parameters."""
    outcomes = defaultdict(list)
    cases = (case for file in junit_xml for case in ET.parse(file).getroot().iter("testcase"))
    for case in cases:
        name = f"{case.get('classname').split('.')[-1]}.py::{case.get('name').split('[')[0]}"
        kinds = {child.tag for child in case}
        outcome = next((kind for kind in ("failure", "error", "skipped") if kind in kinds), None)
        outcomes[name].append(outcome or "passed")
    return outcomes


def broken_promises(promises, outcomes):
    """Give a line for each promise without a test, and each test that did not run and pass."""
    lines = []
    for promise, names in promises:
        if not names:
            lines.append(f"no test: {promise}")
        for name in names:
            found = sorted(set(outcomes.get(name, ["not run"])))
            if found != ["passed"]:
                lines.append(f"{name} ({', '.join(found)}): {promise}")
    return lines


def main(*junit_xml):
    """Print the promises that did not hold; give the exit status."""
    promises = read_promises(PAGE.read_text(encoding="utf-8"))
    lines = broken_promises(promises, read_outcomes(*junit_xml))
    print(*(lines or [f"{len(promises)} promises are tested and hold"]), sep="\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
