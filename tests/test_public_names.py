"""Public names are listed, documented and typed.

A module without an underscore in its path is public. It lists its public names in ``__all__``.
"""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

PACKAGE = Path(__file__).resolve().parents[1] / "sktagger"

# Checks of numpydoc that are left out: sections that are not always useful (ES01, EX01, SA01),
# names and types that need no further words (PR07, RT03), results with a name (RT02), and guesses
# about words (PR06, PR08, SS05).
OPTIONAL = {"ES01", "EX01", "PR06", "PR07", "PR08", "RT02", "RT03", "SA01", "SS05"}

# What users call documents each parameter (PR01) and each result (RT01). In other modules one
# sentence may be enough; a section that is there is complete.
FOR_USERS = (
    "sktagger",
    "sktagger.audio",
    "sktagger.audio.augmentation",
    "sktagger.audio.spectral",
    "sktagger.baselines",
    "sktagger.baselines.mfcc_statistics",
    "sktagger.datasets",
    "sktagger.datasets.annotations",
    "sktagger.datasets.audioset",
    "sktagger.datasets.database",
    "sktagger.datasets.folders",
    "sktagger.datasets.public_sets",
    "sktagger.datasets.report",
    "sktagger.datasets.scenes",
    "sktagger.datasets.splitting",
    "sktagger.datasets.tables",
    "sktagger.displays",
    "sktagger.metrics",
    "sktagger.model_selection",
    "sktagger.pretrained",
    "sktagger.recordings",
    "sktagger.recordings.detection",
    "sktagger.recordings.detector",
    "sktagger.recordings.events",
    "sktagger.recordings.formats",
    "sktagger.taggers",
    "sktagger.networks.checks",
    "sktagger.taggers.audio_tagger",
    "sktagger.taggers.embedding",
    "sktagger.taggers.tuned",
    "sktagger.taggers.walnet",
    "sktagger.thresholds",
    "sktagger.thresholds.tuner",
)


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = sorted(map(module_name, PACKAGE.rglob("*.py")))
PUBLIC = [name for name in MODULES if "._" not in name]


def own_names(name):
    """Give what a module lists and defines, itself or in a module with an underscore."""
    module = importlib.import_module(name)
    for public_name in getattr(module, "__all__", ()):
        value = getattr(module, public_name)
        home = getattr(value, "__module__", None) or ""
        if home == name or (home.startswith(f"{name}._") and "." not in home[len(name) + 1 :]):
            yield public_name, value


def with_methods(name):
    """Give the functions, classes and public methods of a module, each with its full name."""
    for public_name, value in own_names(name):
        if not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        yield f"{name}.{public_name}", value
        if inspect.isclass(value):
            for method, function in vars(value).items():
                function = getattr(function, "__func__", getattr(function, "fget", function))
                if inspect.isfunction(function) and (method[0] != "_" or method == "__init__"):
                    yield f"{name}.{public_name}.{method}", function


def without_hints(name):
    """Give the parameters and results of a module that have no type hint."""
    for full_name, function in with_methods(name):
        if inspect.isclass(function) or is_generated(function):
            continue
        signature = inspect.signature(function)
        for place, parameter in enumerate(signature.parameters.values()):
            is_self = place == 0 and parameter.name in ("self", "cls")
            if parameter.annotation is parameter.empty and not is_self:
                yield f"{full_name}: {parameter.name}"
        if signature.return_annotation is signature.empty and not full_name.endswith("__init__"):
            yield f"{full_name}: result"


def is_generated(function):
    """Whether it has no source, as the methods of a dataclass or named tuple."""
    return function.__code__.co_filename.startswith("<")


def wrong_docs(name):
    """Give what is wrong in the docstrings of a module, most of it as numpydoc says it."""
    for full_name, value in with_methods(name):
        if full_name.endswith(".__init__") or (not inspect.isclass(value) and is_generated(value)):
            continue
        ignored = OPTIONAL | may_be_short(name, full_name, value)
        for code, message in validate(full_name)["errors"]:
            if code not in ignored:
                yield f"{full_name}: {code} {message}"
    yield from constants_without_comment(name)


def may_be_short(name, full_name, value):
    """Give the codes of the sections that a docstring may lack."""
    doc = inspect.getdoc(value) or ""
    if inspect.isclass(value):
        # the fields of a record are its attributes
        is_record = issubclass(value, tuple) or hasattr(value, "__dataclass_fields__")
        return {"PR01"} if is_record else set()
    if name in FOR_USERS and not overrides(full_name):
        return set()
    sections = {"PR01": "Parameters\n---", "RT01": "Returns\n---"}
    return {code for code, section in sections.items() if section not in doc}


def overrides(full_name):
    """Whether another package documents the method, in a class that this one inherits from."""
    module, cls, method = (full_name.rsplit(".", 2) + [""])[:3]
    cls = getattr(importlib.import_module(module), cls, None) if module in MODULES else None
    return inspect.isclass(cls) and any(
        method in vars(base) for base in cls.__mro__ if not base.__module__.startswith("sktagger")
    )


def constants_without_comment(name):
    """Numbers and words that are public have no docstring: a comment tells what they are."""
    module = importlib.import_module(name)
    for constant in getattr(module, "__all__", ()):
        if hasattr(getattr(module, constant), "__module__"):
            continue
        for home in MODULES:
            if home == name or home.startswith(f"{name}."):
                pattern = rf"^(.*)\n{constant}(?::[^=\n]+)? = (.*)$"
                for before, line in re.findall(pattern, source_of(home), re.MULTILINE):
                    if not before.startswith("#") and "#" not in line:
                        yield f"{home}.{constant}: no comment above it or in its line"


def source_of(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_module_lists_its_names(name):
    module = importlib.import_module(name)
    names = list(module.__all__)
    assert len(set(names)) == len(names)
    assert not [public_name for public_name in names if public_name.startswith("_")]
    assert not [public_name for public_name in names if not hasattr(module, public_name)]
    assert inspect.getdoc(module)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_type_hints(name):
    assert not list(without_hints(name))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    assert not list(wrong_docs(name))
