"""Warnings point at the line of the user, however deep they arise."""

import inspect
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType

import numpy as np
import pytest
import soundfile
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktagger._utils.threads import prefetch
from sktagger._utils.warnings import warn
from sktagger.audio import MemoryFile, Section, audio_info

X, Y = np.zeros((4, 1)), np.array([0, 1, 0, 1])


def in_package(function, name="sktagger.taggers._base"):
    """Return a function as if it was defined in a module of the package."""
    return FunctionType(function.__code__, {**globals(), "__name__": name}, function.__name__)


def _inner(*args):
    warn("deep")
    return args[0] if args else None


inner = in_package(_inner)
outer = in_package(lambda *args: inner(*args))


class Estimator(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])

    fit = in_package(lambda self, X, y: inner(self))
    predict = in_package(lambda self, X: np.zeros(len(X)))


def places(caught):
    return [(warning.filename, warning.lineno) for warning in caught]


def here():
    return inspect.currentframe().f_back.f_lineno


def test_the_users_line_is_named():
    with pytest.warns(UserWarning, match="deep") as caught:
        _, line = outer(), here()
    assert places(caught) == [(__file__, line)]


def test_the_users_line_is_named_by_a_warning_of_the_package():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000), 8000, format="OGG")
    section = Section(MemoryFile(file.getvalue() + b"x" * 1000))
    with pytest.warns(UserWarning, match="1000 bytes follow the sound") as caught:
        _, line = audio_info(section), here()
    assert places(caught) == [(__file__, line)]


def test_the_users_line_is_named_through_a_pipeline():
    pipe = make_pipeline(FunctionTransformer(outer), Estimator())
    with pytest.warns(UserWarning, match="deep") as caught:
        _, line = pipe.fit(X, Y), here()
    assert places(caught) == [(__file__, line)] * 2


@pytest.mark.parametrize("n_jobs", [None, 1])
def test_the_users_line_is_named_through_cross_validation(n_jobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, line = cross_val_score(Estimator(), X, Y, cv=2, n_jobs=n_jobs), here()
    assert places(caught) == [(__file__, line)] * 2


def test_the_category_is_kept_and_warnings_can_be_errors():
    with pytest.warns(FutureWarning, match="later"):
        in_package(lambda: warn("later", FutureWarning))()
    with pytest.raises(UserWarning, match="deep"):
        outer()


def test_each_line_is_warned_once_by_default():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            outer()
        outer()
    assert len(caught) == 2


def test_a_thread_without_a_users_frame_names_its_outermost_frame():
    with pytest.warns(UserWarning, match="deep") as caught, ThreadPoolExecutor(1) as pool:
        pool.submit(inner).result()
    assert caught[0].filename.endswith("threading.py")
    with pytest.warns(UserWarning, match="deep") as caught:
        assert list(prefetch(inner, [1, 2], 1)) == [1, 2]
    assert len(caught) == 2


def test_the_main_module_of_the_package_is_skipped():
    import sktagger.__main__ as main

    module = {"warn": warn, "__name__": "__main__", "__spec__": main.__spec__}
    with pytest.warns(UserWarning, match="deep") as caught:
        exec("warn('deep')", module)
    assert caught[0].filename == __file__
