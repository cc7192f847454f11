import warnings

import numpy as np
import pandas as pd
import pytest

from sktagger.targets import check_targets


@pytest.mark.parametrize(
    "name",
    [
        "Bark;Rain",
        "Bark; Rain",
        "Bark,Rain",
        "Bark|Rain",
        "Bark\tRain",
        "['Bark', 'Rain']",
        '["Bark"]',
        "['Bark' 'Rain']",
        "{'Bark'}",
        "('Bark',)",
        "[Bark, Rain]",
        "[]",
    ],
)
def test_lists_in_a_string_warn(name):
    for Y in (["Wind", name], [["Wind"], [name]], pd.DataFrame({"Wind": [1, 0], name: [0, 1]})):
        with pytest.warns(UserWarning, match=r"1 of 2 names look like several .*\(clip 1\)") as got:
            assert name in check_targets(Y).classes
        assert len(got) == 1


@pytest.mark.parametrize("joint", [", ", " + ", "/", " & "])
def test_names_joined_from_other_names_warn(joint):
    names = ["Bark", "Rain", f"Bark{joint}Rain"]
    with pytest.warns(UserWarning, match="1 of 3 names look like several"):
        check_targets(names)


@pytest.mark.parametrize(
    "names",
    [
        ["Male speech, man speaking", "Female speech, woman speaking", "Speech"],
        ["Inside, small room", "Inside, public space", "Inside, large room or hall"],
        ["Boat, Water vehicle", "Vehicle", "Rowboat, canoe, kayak"],
        ["[silence]", "(unknown)", "<noise>", "Fire engine, fire truck (siren)"],
        ["1,000 Hz", "Dog's bark", "AC/DC hum", "A+"],
        ["Car", "Car passing by", "Race car, auto racing"],
        [1, 2, 3],
    ],
)
def test_ordinary_names_do_not_warn(names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_targets(names)


def test_missing_values_as_strings_warn():
    with pytest.warns(UserWarning, match=r"look like missing values.*'nan' \(clip 1\)"):
        check_targets(np.array(["a", np.nan]))
    with pytest.warns(UserWarning, match=r"'<NA>' \(clip 2\)"):
        check_targets(["a", "b", "<NA>"])


def test_names_that_look_alike_warn():
    Y = [["Rain"], ["Rain "], ["Gew\xe4sser"], ["Gewa\u0308sser"], []]
    with pytest.warns(UserWarning, match="2 names occur in more than one spelling") as caught:
        assert len(check_targets(Y).classes) == 4
    message = str(caught[0].message)
    assert "'Rain' and 'Rain '" in message
    assert r"'Gewa\u0308sser' and 'Gew\xe4sser'" in message


def test_warnings_are_printable():
    with pytest.warns(UserWarning, match="several events") as caught:
        check_targets(["a", "x\x1b[2J\n;y"])
    assert str(caught[0].message).isprintable()


@pytest.mark.parametrize(
    "names",
    [
        ["Speech/Male", "Speech/Female", "Singing/Male", "Singing/Female", "Speech", "Singing"],
        ["alarm/car", "alarm/fire", "engine/car", "engine/fire"],
        ["Corvus corax", "Parus major_Great Tit", "norcar", "Larus sp.", "0", "1"],
    ],
)
def test_paths_in_taxonomies_do_not_warn(names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_targets(names)


@pytest.mark.parametrize(
    "names", [["\u72ac\uff1b\u732b"], ["\u72ac", "\u732b", "\u72ac\u3001\u732b"]]
)
def test_chinese_and_japanese_separators_warn(names):
    with pytest.warns(UserWarning, match="look like several events"):
        check_targets(names)
