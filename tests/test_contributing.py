"""CONTRIBUTING.md names files, folders, commands and names that exist, and steps that hold."""

import ast
import importlib.util
import inspect
import re
import shutil
import sysconfig
from pathlib import Path

import pytest

import sktagger
from sktagger.commands import COMMANDS

PROJECT = Path(__file__).resolve().parents[1]
GUIDE = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL))))
COMMAND_LINES = "\n".join(re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL))

PATHS = [text for text in QUOTED if re.fullmatch(r"[\w./-]+(/|\.(py|md|toml|txt))|\.ci/run", text)]
NAMES = [text for text in QUOTED if re.fullmatch(r"sktagger(\.\w+)+", text)]


def exists(name):
    if "/" in name or name.endswith((".md", ".toml", ".txt")):
        path = PROJECT / name
        return path.is_dir() if name.endswith("/") else path.is_file()
    if name.startswith("sktagger.") and name.count(".") == 1:
        return importlib.util.find_spec(name) is not None
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", [*PATHS, *NAMES])
def test_what_is_named_exists(name):
    assert exists(name)


def test_names_are_found():
    assert len(PATHS) > 25
    assert len(NAMES) > 7


def test_packages_of_the_guide_are_all_packages():
    rooms = {path.name for path in (PROJECT / "sktagger").iterdir() if path.is_dir()}
    rooms.discard("__pycache__")
    table = GUIDE[GUIDE.index("| folder or module") : GUIDE.index("Imports point")]
    layers = GUIDE[GUIDE.index("Imports point") : GUIDE.index("## Conventions")]
    for part in (table, layers):
        assert set(re.findall(r"`sktagger/(\w+)/`", part)) == rooms


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?:tests|benchmarks|sktagger)/\S+", COMMAND_LINES)))
)
def test_path_of_a_command_exists(path):
    assert (PROJECT / path).exists()


def test_each_benchmark_is_listed():
    scripts = {f"benchmarks/{path.name}" for path in PROJECT.glob("benchmarks/[!_]*.py")}
    assert scripts == set(re.findall(r"benchmarks/\w+\.py", COMMAND_LINES))


def test_tools_of_the_commands_are_installed():
    scripts = sysconfig.get_path("scripts")
    for tool in ("lint-imports", "mypy", "pytest", "ruff"):
        assert re.search(rf"\b{tool}\b", COMMAND_LINES)
        assert shutil.which(tool, path=scripts)


# The steps, followed by what is there already.


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_its_three_functions(name):
    module = COMMANDS[name]
    assert module.__name__.startswith("sktagger.commands.")
    assert module.__doc__
    assert list(inspect.signature(module.add_arguments).parameters) == ["parser"]
    assert list(inspect.signature(module.main).parameters) == ["args"]
    assert inspect.isfunction(getattr(module, module.__name__.split(".")[-1]))


def test_commands_import_torch_inside_of_functions(run_python):
    assert run_python("import sys, sktagger.commands; print('torch' in sys.modules)") == "False"


def test_each_metric_is_in_the_list_of_the_policy():
    listed = set()
    tree = ast.parse((PROJECT / "tests" / "test_metrics_policy.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id.endswith("_METRICS"):
            leaves = ast.walk(node.value)
            listed |= {leaf.value for leaf in leaves if isinstance(leaf, ast.Constant)}
    metrics = importlib.import_module("sktagger.metrics")
    averaged = {
        name
        for name in metrics.__all__
        if inspect.isfunction(getattr(metrics, name))
        and "average" in inspect.signature(getattr(metrics, name)).parameters
    }
    averaged -= {"event_f1", "segment_f1"}  # of events in time
    assert averaged <= listed


def test_importers_return_a_database():
    datasets = importlib.import_module("sktagger.datasets")
    # tables, and a report
    others = {"audioset_classes", "check_database", "read_strong_labels"}
    for name in set(datasets.__all__) - others:
        value = getattr(datasets, name)
        if inspect.isfunction(value):
            assert "Database" in str(inspect.signature(value).return_annotation), name


def test_version_to_cite():
    cite = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sktagger.__version__}\n" in cite
    assert "\nlicense: BSD-3-Clause\n" in cite
