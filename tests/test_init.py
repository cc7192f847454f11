import ast
import inspect
import pickle

import pytest

import sktagger


@pytest.mark.parametrize(
    ("variables", "before", "expected"),
    [
        ({}, "", "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "", "ACTIVE"),
        ({}, "import torch\n", "None"),  # which has read it
    ],
)
def test_waiting_threads_leave_the_cores_to_others(
    run_python, monkeypatch, variables, before, expected
):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = before + "import os, sktagger; print(os.environ.get('OMP_WAIT_POLICY'))"
    assert run_python(code, **variables) == expected


def test_torch_is_imported_with_the_policy(run_python, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = (
        "import os, sys\n"
        "from sktagger import WALNetTagger\n"
        "assert 'torch' in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    assert run_python(code) == "PASSIVE"


def test_importing_the_package_does_not_import_torch(run_python):
    code = "import sys, sktagger; dir(sktagger); print('torch' in sys.modules)"
    assert run_python(code) == "False"


def test_public_names():
    assert set(sktagger.__all__) <= set(dir(sktagger))
    for name in sktagger.__all__:
        assert getattr(sktagger, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'WALNetTager'"):
        _ = sktagger.WALNetTager


def test_type_checkers_see_the_public_names():
    """Type checkers read the imports under TYPE_CHECKING, Python the homes beside them."""
    tree = ast.parse(inspect.getsource(sktagger))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = {alias.name: line.module for line in block.body for alias in line.names}
    assert imports == sktagger._HOME
    assert sorted(imports) == sorted(sktagger.__all__)


def test_public_classes_pickle():
    classes = [sktagger.WALNetTagger, sktagger.STFT, sktagger.load_database]
    assert pickle.loads(pickle.dumps(classes)) == classes
