"""The pages of the documentation: their code runs, and the reference has all public names.

Building the site (see CONTRIBUTING.md) is a test of its own, which .ci/run makes. Here, Sphinx is
not needed.
"""

import importlib
import re
import shlex
import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline

from sktagger.commands import COMMANDS, build_parser, main
from sktagger.networks import EfficientAT

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGE = DOCS.parent / "sktagger"
FIRST = DOCS / "first_steps.md"
GUIDE = sorted((DOCS / "guide").glob("*.md"))
PAGES = [FIRST, *GUIDE, DOCS / "threshold_theory.md", DOCS / "coming_from.md", DOCS / "errors.md"]


def code(page, language="python"):
    """Give the code blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def quick(block):
    """Shorten trainings, and scenes."""
    block = re.sub(r"max_epochs=\d+", "max_epochs=1", block)
    block = re.sub(r"cv=[3-9]", "cv=2", block)
    return block.replace("n_train=100, n_validate=40", "n_train=24, n_validate=16")


def command_lines(page):
    lines = "".join(code(page, "bash")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("sktagger")]


# Running code


@pytest.fixture(scope="module")
def first_page(tmp_path_factory):
    """Run the first page; the others go on with its folder and names."""
    folder = tmp_path_factory.mktemp("pages")
    names = {}
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context({"backend": "agg"}):
        patch.chdir(folder)
        for block in code(FIRST):
            exec(compile(quick(block), FIRST.name, "exec"), names)
    return folder, names


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """Random weights take the place of a model that would be fetched."""
    path = tmp_path / "mn10_as_mAP_471.pt"
    torch.save(EfficientAT().build(527).state_dict(), path)
    for module in ("_stored", "_weights"):
        monkeypatch.setattr(f"sktagger.taggers.{module}.fetch", lambda name, **_: path)


def test_first_page_leads_to_predictions(first_page):
    folder, names = first_page
    assert names["predictions"].shape == names["Y_new"].shape
    assert np.isfinite(names["scores"]).all()
    assert (folder / "tagger.safetensors").is_file()


def test_commands_of_the_first_page_run(first_page, monkeypatch, capsys):
    monkeypatch.chdir(first_page[0])
    lines = command_lines(FIRST)
    assert len(lines) == 2
    for line in lines:
        assert main(line[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.usefixtures("pretrained")
@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_code_of_a_page_runs(page, first_page, monkeypatch):
    folder, names = first_page
    monkeypatch.chdir(folder)
    names = dict(names)
    with matplotlib.rc_context({"backend": "agg"}):
        for block in code(page):
            exec(compile(quick(block), page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_page_are_understood(page):
    for line in command_lines(page):
        build_parser().parse_args(line[1:])


# Pages


def test_pages_are_found():
    assert len(GUIDE) == 9
    assert all(code(page) for page in [FIRST, *GUIDE])
    index = (DOCS / "guide" / "index.rst").read_text(encoding="utf-8")
    assert {page.stem for page in GUIDE} <= set(index.split())


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")) + GUIDE, ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        if not re.search(r"(^|/)(auto_examples|generated|commands)/", target):
            assert (page.parent / target).exists(), target


# The reference


def listed_names():
    """Give the names in the reference: those of tables, and constants with their module."""
    names = []
    for page in ("reference.rst", "internals.rst"):
        text = (DOCS / page).read_text(encoding="utf-8")
        names += re.findall(r"^   (sktagger\.[\w.]+)$", text, re.MULTILINE)
        data = re.findall(r"^\.\. py:data:: (\w+)\n   :module: ([\w.]+)$", text, re.MULTILINE)
        names += [f"{module}.{name}" for name, module in data]
    return names


def public_modules():
    """Give the modules without an underscore in their path; a command has a page instead."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if "._" not in name and not re.fullmatch(r"sktagger\.(__main__|commands\..*)", name):
            yield name


def value_of(full_name):
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_each_name_is_in_the_reference_once():
    names = listed_names()
    assert len(set(names)) == len(names)
    values = [value_of(name) for name in names]
    classes = [value for value in values if callable(value)]
    assert len(set(map(id, classes))) == len(classes)


@pytest.mark.parametrize("module", list(public_modules()))
def test_public_names_are_in_the_reference(module):
    listed = set(listed_names())
    objects = {id(value_of(name)) for name in listed}
    for name in importlib.import_module(module).__all__:
        full_name = f"{module}.{name}"
        value = value_of(full_name)
        assert full_name in listed or (callable(value) and id(value) in objects), full_name


@pytest.fixture
def command_pages(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_ext")
    return importlib.import_module("command_pages")


def test_each_command_has_a_page(command_pages, tmp_path):
    command_pages.write_pages(SimpleNamespace(srcdir=tmp_path))
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.rst")}
    assert set(pages) == set(COMMANDS)
    assert all(f".. command:: {name}\n" in page for name, page in pages.items())


def test_page_of_a_command_has_its_options_and_defaults(command_pages):
    parser = command_pages.subparsers(build_parser())["demo"]
    lines = command_pages.describe(parser)
    assert "   sktagger demo [-h] [--directory DIR]" in lines
    place = lines.index("``--directory DIR``")
    assert lines[place + 1] == "   Folder for scenes and results (default: sktagger-demo)."


@pytest.mark.parametrize("name", COMMANDS)
def test_page_of_a_command_leaves_nothing_out(command_pages, name):
    parser = command_pages.subparsers(build_parser())[name]
    for one in (parser, *command_pages.subparsers(parser).values()):
        text = "\n".join(command_pages.describe(one))
        for option in set(re.findall(r"--[\w-]+", one.format_help())) - {"--help"}:
            assert option in text


# Error messages


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Make each error of the page, by what causes it; an ellipsis stands for any text."""
    from sktagger import AudioTagger, ThresholdTuner, TunedThresholdTagger, WALNetTagger
    from sktagger.datasets import make_scenes
    from sktagger.networks import CRNN
    from sktagger.recordings import nearest, tag_files

    folder = tmp_path_factory.mktemp("errors")
    settings = {"max_epochs": 1, "augmentation": None, "verbose": 0, "random_state": 0}
    X = np.random.default_rng(0).standard_normal((8, 16000))
    Y = pd.DataFrame({"Rain": [0, 1] * 4, "Siren": [1, 0, 0, 1] * 2})

    def tagger(**params):
        return WALNetTagger(**{"sample_rate": 8000, **settings, **params})

    def fit_pipeline():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_pipeline(tagger(), ThresholdTuner()).fit(X, Y)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fitted = tagger().fit(X, Y)
        fitted.save("t.safetensors")
        Path("bad.wav").write_text("no audio", encoding="utf-8")
        Path("d").mkdir()
        torch.save(EfficientAT().build(527).state_dict(), "weights.pt")
        sizes = {"n_train": 1, "n_validate": 1, "n_eval": 1, "duration": 0.5, "verbose": False}
        db = make_scenes("scenes", **sizes)
        tag_files(fitted, ["scenes/eval"], "out", window=0.5, verbose=0)
        new_event = Y.assign(Dog=1)
        causes = [
            lambda: tagger().fit(["a.wav", "b.wav"], Y[:2]),
            lambda: fitted.predict_proba(["bad.wav"]),
            lambda: fitted.predict_proba([np.zeros((80, 8000))]),
            lambda: tagger().fit(X, Y[:6]),
            lambda: tagger().fit(X, Y, X_val=X, Y_val=new_event),
            lambda: ThresholdTuner().fit(Y * 0.3, Y * 0.5),
            lambda: db.to_xy("validation"),
            lambda: tagger(lr=1e9, max_epochs=3).fit(X, Y, X_val=X, Y_val=Y),
            lambda: tagger(freeze="backbone").fit(X, Y),
            lambda: tagger(sample_rate=16000, init_from="t.safetensors").fit(X, Y),
            lambda: AudioTagger(CRNN(), **settings).fit(X, Y),
            fit_pipeline,
            lambda: AudioTagger.from_pretrained("mn10"),
            lambda: AudioTagger.from_checkpoint("weights.pt"),
            lambda: TunedThresholdTagger.load("t.safetensors"),
            lambda: WALNetTagger.load("d"),
            lambda: tag_files(fitted, ["scenes/eval"], "out", window=1, verbose=0),
            lambda: nearest("out", "scenes/eval/eval_0000.wav"),
        ]
        messages = []
        for cause in causes:
            with pytest.raises(Exception) as error:  # noqa: PT011
                cause()
            messages.append(f"{type(error.value).__name__}: {error.value}")
    return messages


def test_error_messages_are_those_of_the_package(errors):
    shown = [" ".join(block.split()) for block in code(DOCS / "errors.md", "text")]
    assert len(shown) == len(errors)
    for text, message in zip(shown, errors, strict=True):
        pattern = re.escape(text).replace("…", ".*")
        assert re.fullmatch(pattern, " ".join(message.split())), message
