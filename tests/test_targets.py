"""Forms and containers of Y, and matching of event names."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sktagger.targets import (
    align_events,
    align_score_targets,
    check_classes,
    check_targets,
    match_columns,
    match_events,
    read_targets,
)

LISTS = [["a", "b"], ["b"], []]
MATRIX = np.array([[1, 1], [0, 1], [0, 0]])
FRAME = pd.DataFrame(MATRIX, columns=["a", "b"])
NAMES = np.array(["rain", "siren", "dog"])


@pytest.fixture
def pl():
    return pytest.importorskip("polars")


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    "Y",
    [
        LISTS,
        tuple(LISTS),
        [tuple(events) for events in LISTS],
        [set(events) for events in LISTS],
        [frozenset(events) for events in LISTS],
        [np.array(events) for events in LISTS],
        [pd.Series(events, dtype=object) for events in LISTS],
        pd.Series(LISTS, index=[7, 8, 9]),
        pd.Series([np.array(events, dtype=object) for events in LISTS]),
        pd.DataFrame({"events": LISTS}),
        FRAME,
        FRAME.astype(bool),
        FRAME.astype("boolean"),
        FRAME.astype("Int64"),
        FRAME.astype("category"),
        FRAME.astype(str),
        FRAME.astype(float).astype(object),
        pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(MATRIX), columns=["a", "b"]),
    ],
)
def test_lists_and_tables_name_the_events(Y):
    targets = check_targets(Y)
    assert targets.classes.tolist() == ["a", "b"]
    assert targets.indicator.tolist() == MATRIX.tolist()
    assert targets.indicator.dtype == np.float32
    assert targets.multilabel


def test_iterators_are_read_once():
    assert read_targets(events for events in LISTS).indicator.tolist() == MATRIX.tolist()
    assert read_targets(iter("bab")).classes.tolist() == ["a", "b"]


def test_tables_and_columns_of_polars(pl):
    frame = pl.DataFrame({"b": [0, 1], "a": [True, False]})
    assert check_targets(frame).classes.tolist() == ["b", "a"]
    assert check_targets(frame).indicator.tolist() == [[0, 1], [1, 0]]
    for lists in (pl.Series(LISTS), pl.DataFrame({"events": LISTS})):
        assert check_targets(lists).indicator.tolist() == MATRIX.tolist()
    for labels in (pl.Series(["b", "a"]), pl.Series(["b", "a"], dtype=pl.Categorical)):
        targets = check_targets(labels)
        assert targets.classes.tolist() == ["a", "b"]
        assert not targets.multilabel
    with pytest.raises(ValueError, match=r"clip 1 has no value .* the event 'b'"):
        check_targets(pl.DataFrame({"a": [0, 1], "b": [1, None]}))
    with pytest.raises(ValueError, match="clip 2 is None"):
        check_targets(pl.Series([["a"], [], None]))
    with pytest.raises(TypeError, match=r"LazyFrame.*collect"):
        check_targets(frame.lazy())


def test_tables_and_arrays_of_pyarrow(pa):
    table = pa.table({"b": [0, 1], "a": [True, False]})
    for Y in (table, table.to_batches()[0]):
        assert check_targets(Y).classes.tolist() == ["b", "a"]
        assert check_targets(Y).indicator.tolist() == [[0, 1], [1, 0]]
    for Y in (pa.array(LISTS), pa.chunked_array([LISTS]), pa.table({"events": LISTS})):
        assert check_targets(Y).indicator.tolist() == MATRIX.tolist()
    arrow = pd.Series(LISTS, dtype=pd.ArrowDtype(pa.list_(pa.string())))
    assert check_targets(arrow).indicator.tolist() == MATRIX.tolist()
    for labels in (pa.array(["b", "a"]), pa.array(["b", "a"]).dictionary_encode()):
        assert check_targets(labels).indicator.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="clip 1 has no label, but None"):
        check_targets(pa.array(["a", None]))
    with pytest.raises(ValueError, match="more than one column for 'a'"):
        check_targets(pa.table([pa.array([1]), pa.array([0])], names=["a", "a"]))


@pytest.mark.parametrize(
    "Y",
    [
        MATRIX,
        MATRIX.tolist(),
        list(MATRIX),
        MATRIX.astype(bool),
        MATRIX.astype(object),
        np.asfortranarray(MATRIX.astype(float)),
        sparse.coo_array(MATRIX),
        pd.DataFrame(MATRIX),
        np.ma.array(MATRIX),
        np.array([["1", "1"], ["0", "1"], ["0", "0"]]),
    ],
)
def test_events_of_matrices_without_names_are_numbers(Y):
    targets = check_targets(Y)
    assert targets.classes.tolist() == [0, 1]
    assert targets.indicator.tolist() == MATRIX.tolist()
    assert targets.multilabel


@pytest.mark.parametrize(
    "Y",
    [
        [[0, 2], [1], []],
        [{0, 2}, {1}, set()],
        [np.array([0, 2]), np.array([1]), np.array([], dtype=int)],
        pd.Series([[0, 2], [1], []]),
    ],
)
def test_lists_of_numbers_are_read_as_class_ids(Y):
    targets = check_targets(Y)
    assert targets.classes.tolist() == [0, 1, 2]
    assert targets.indicator.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_sets_are_never_read_as_rows_of_an_indicator():
    assert check_targets([{0, 1}, {1}]).indicator.tolist() == [[1, 1], [0, 1]]
    assert check_targets([[0, 1], [1, 0]]).indicator.tolist() == [[0, 1], [1, 0]]


def test_arrays_of_strings_are_read_as_event_lists():
    targets = check_targets(np.array([["a", "b"], ["b", "c"]]))
    assert targets.classes.tolist() == ["a", "b", "c"]
    assert targets.indicator.tolist() == [[1, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    "Y",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        pd.Series(["b", "a", "b"], index=[3, 4, 5]),
        pd.Series(["b", "a", "b"], dtype="string"),
        pd.Series(["b", "a", "b"], dtype="category"),
        pd.Categorical(["b", "a", "b"]),
        pd.Index(["b", "a", "b"]),
        pd.DataFrame({"label": ["b", "a", "b"]}),
    ],
)
def test_labels(Y):
    targets = check_targets(Y)
    assert targets.classes.tolist() == ["a", "b"]
    assert targets.indicator.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert not targets.multilabel
    assert targets.to_y().tolist() == ["b", "a", "b"]


@pytest.mark.parametrize(
    "Y", [[7, 3], pd.Series([7, 3], dtype="Int64"), pd.DataFrame({"label": [7, 3]})]
)
def test_numbers_as_labels(Y):
    assert check_targets(Y).classes.tolist() == [3, 7]
    assert check_targets(Y).indicator.tolist() == [[0, 1], [1, 0]]


def test_column_of_zeros_and_ones_is_one_event():
    targets = check_targets(pd.DataFrame({"siren": [1, 0]}))
    assert targets.classes.tolist() == ["siren"]
    assert targets.multilabel


def test_to_y_keeps_the_names():
    Y = check_targets([["b"], ["b", "a"]]).to_y()
    pd.testing.assert_frame_equal(
        Y, pd.DataFrame({"a": [0, 1], "b": [1, 1]}, dtype=np.int8), check_column_type=False
    )


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_error_names_the_clip_with_a_missing_value(missing):
    with pytest.raises(ValueError, match="clip 1 has no label"):
        check_targets(["a", missing])
    with pytest.raises(ValueError, match="clip 1 has no label"):
        check_targets(pd.Series(["a", missing], dtype=object))
    with pytest.raises(ValueError, match="clip 1 has no label"):
        check_targets([1, missing])
    with pytest.raises(ValueError, match=r"clip 1 is .*\[\] for a clip without events"):
        check_targets([["a"], missing])
    with pytest.raises(ValueError, match=r"clip 1 has .* among its events"):
        check_targets([["a"], ["b", missing]])
    frame = pd.DataFrame({"a": [1, 0], "b": pd.Series([1, missing], dtype=object)})
    with pytest.raises(ValueError, match=r"clip 1 has no value \(NaN\) for the event 'b'"):
        check_targets(frame)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (["a", ""], "clip 1 has the empty label ''"),
        (["a", " "], "clip 1 has the empty label ' '"),
        ([["a"], ["b", ""]], "clip 1 has the empty event ''"),
        ([1.0, np.nan], "clip 1 has no label"),
        (np.array([1.0, np.nan]), "clip 1 has no label"),
        (pd.Series([1, pd.NA], dtype="Int64"), "clip 1 has no label"),
        (pd.Series(["a", None], dtype="category"), "clip 1 has no label"),
        (FRAME.astype("boolean").mask(FRAME == 0), "clip 1 has no value .* event 'a'"),
        (np.ma.array(MATRIX, mask=MATRIX == 0), "clip 1 has no value .* event 0"),
        (["a", 1], "clip 1 has the label 1 of type int, but clip 0 has 'a'"),
        ([{"a": 1}, {}], "clip 0 has the label {'a': 1} of type dict"),
        ([["a"], "b"], "clip 1 is the single string 'b'"),
        ([["a"], ["b", 3]], "clip 1 has 3 of type int among its events"),
        ([[0, "a"], [1, "b"]], "clip 0 has 'a' of type str among its events"),
        ([[0, 1, 0], [0, 1]], r"clip 0 has 3 entries, \[0, 1, 0\]"),
        ([[0.0, 1.0], [1.0]], "clip 0 has 0.0 of type float"),
        ([[0, 2], [1, 3]], "clip 0 has 2 for the event 1.*as sets"),
        ([[0.5, 1], [0, 1]], "clip 0 has 0.5 for the event 0.*Threshold"),
        (pd.DataFrame({"a": ["x", "y"], "b": [0, 1]}), "clip 0 has 'x' for the event 'a'"),
        ([1.0, np.inf], "infinity"),
        ([[1, np.inf], [0, 1]], "infinity"),
        ([], "Y is empty"),
        ([[], []], "Y lists no events"),
        (np.zeros((2, 2, 2)), "dim 3"),
        (FRAME.set_axis(["a", "a"], axis=1), "more than one column for 'a'"),
        (FRAME.set_axis(["a", np.nan], axis=1), "a column without a name"),
    ],
)
def test_wrong_targets_raise(Y, message):
    with pytest.raises(ValueError, match=message):
        check_targets(Y)


@pytest.mark.parametrize("Y", ["ab", {"a": [1]}, {"a"}, 5])
def test_objects_that_are_not_sequences_raise(Y):
    with pytest.raises(TypeError, match="one entry per clip"):
        check_targets(Y)


def test_error_messages_are_short():
    with pytest.raises(ValueError, match="clip 0 has") as caught:
        check_targets([["x" * 9999, 1], ["a"]])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "Y",
    [
        pd.DataFrame({"dog": [0, 1], "rain": [1, 0], "siren": [1, 0]}),
        [["siren", "rain"], ["dog"]],
        np.array([[1, 1, 0], [0, 0, 1]]),
        pd.DataFrame([[1, 1, 0], [0, 0, 1]]),
    ],
)
def test_events_are_matched_by_name_or_else_by_position(Y):
    expected = [[1, 1, 0], [0, 0, 1]]
    assert align_events(Y, NAMES, True).tolist() == expected
    assert match_events(Y, NAMES).classes.tolist() == NAMES.tolist()


def test_tables_of_polars_are_matched_by_name(pl):
    Y = pl.DataFrame({"dog": [0, 1], "rain": [1, 0], "siren": [1, 0]})
    assert align_events(Y, NAMES, True).tolist() == [[1, 1, 0], [0, 0, 1]]


def test_events_without_clips_may_be_missing_from_lists():
    assert align_events([["dog"], []], NAMES, True).tolist() == [[0, 0, 1], [0, 0, 0]]
    assert align_events([[], []], NAMES, True).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert align_events(["dog", "dog"], NAMES, False).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_class_ids_are_matched_by_value():
    ids = np.array([3, 7, 9])
    assert align_events([[9], [3, 7]], ids, True).tolist() == [[0, 0, 1], [1, 1, 0]]
    assert align_events([[9], [3]], ids, True).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert align_events([9, 3], ids, False).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_columns_named_by_numbers_are_matched():
    Y = pd.DataFrame([[1, 1, 0], [0, 0, 1]])
    for classes in (np.arange(3), np.array([1, 0, 2])):
        expected = Y.to_numpy()[:, classes].tolist()
        for y in (Y.iloc[:, ::-1], Y[[2, 0, 1]]):
            assert align_events(y, classes, True).tolist() == expected
    with pytest.raises(ValueError, match="Y has the event 7"):
        align_events(Y.set_axis([0, 1, 7], axis=1), np.arange(3), True)


def test_numbered_events_get_the_names_of_the_table():
    targets = match_events(FRAME, np.arange(2))
    assert targets.classes.tolist() == ["a", "b"]
    assert targets.indicator.tolist() == MATRIX.tolist()


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        ([["dog"], ["dgo"]], "clip 1 has the event 'dgo', which is not among.*nearest: 'dog'"),
        (pd.DataFrame(np.eye(3), columns=["rain", "Cat", "Bat"]), "the events 'Cat', 'Bat'"),
        (pd.DataFrame(np.eye(2), columns=["rain", "dog"]), "lacks the columns .* 'siren'"),
        ([[0, 1], [1, 0]], "Y has 2 columns, but there are 3 events, 'rain', 'siren', 'dog'"),
        (["dog", "rain"], "of one form: Y has 1-D labels, training had an indicator matrix"),
    ],
)
def test_events_that_cannot_be_matched_raise(Y, message):
    with pytest.raises(ValueError, match=message):
        align_events(Y, NAMES, True)


def test_lists_of_names_need_names():
    with pytest.raises(ValueError, match="3 columns of scores have no names"):
        align_events([["dog"]], np.arange(3), True)


def test_narrow_matrix_is_not_read_as_class_ids():
    with pytest.raises(ValueError, match="Y has 2 columns, but there are 3 events"):
        align_events([[0, 1], [1, 0]], np.arange(3), True)


def test_error_names_the_unknown_label():
    with pytest.raises(ValueError, match="clip 1 has the event 'cat'"):
        align_events(["dog", "cat"], NAMES, False)


def test_unknown_labels_get_extra_columns_for_scoring():
    expected = [[0, 0, 1, 0], [0, 0, 0, 1]]
    assert align_score_targets(["dog", "cat"], NAMES, False).tolist() == expected
    assert align_score_targets(iter(["dog", "cat"]), NAMES, False).tolist() == expected
    with pytest.raises(ValueError, match="'cat', which is not among"):
        align_score_targets([["dog"], ["cat"]], NAMES, True)


def test_unknown_events_are_collected():
    unknown = set()
    targets = match_events([["dog", "cat"], ["bat"]], NAMES, unknown=unknown)
    assert unknown == {"cat", "bat"}
    assert targets.indicator.tolist() == [[0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("Y", "columns", "classes", "indicator"),
    [
        ([7, 3], ["7", "3"], [7, 3], [[1, 0], [0, 1]]),
        ([[7], [3, 7]], ["3", "7"], [3, 7], [[0, 1], [1, 1]]),
        (MATRIX, ["0", "1"], [0, 1], MATRIX.tolist()),
        (MATRIX, ["b", "a"], ["b", "a"], MATRIX.tolist()),
        (FRAME, ["b", "a"], ["b", "a"], MATRIX[:, ::-1].tolist()),
    ],
)
def test_column_names_may_be_numbers_as_strings(Y, columns, classes, indicator):
    targets = match_columns(Y, np.array(columns, dtype=object))
    assert targets.classes.tolist() == classes
    assert targets.indicator.tolist() == indicator


@pytest.mark.parametrize("blank", ["", " "])
def test_columns_without_a_name_raise(blank):
    with pytest.raises(ValueError, match="Y has a column without a name"):
        check_targets(pd.DataFrame([[1, 0], [0, 1]], columns=["a", blank]))


@pytest.mark.parametrize("shape", [(2, 0), (0, 2)])
def test_empty_tables_raise(shape):
    with pytest.raises(ValueError, match=f"Y is empty: it has {shape[0]} rows .* {shape[1]} col"):
        check_targets(pd.DataFrame(np.zeros(shape)))


def test_strings_in_an_indicator_are_not_called_soft_labels():
    Y = pd.DataFrame({"path": ["a.wav", "b.wav"], "Rain": [1, 0]})
    with pytest.raises(ValueError, match=r"'a.wav' for the event 'path'.*Drop columns") as got:
        check_targets(Y)
    assert "soft" not in str(got.value)


def test_column_of_whole_floats_is_read_as_labels():
    targets = check_targets(pd.DataFrame({"label": [0.0, 2.0, 1.0]}))
    assert not targets.multilabel
    assert targets.classes.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="Threshold soft labels"):
        check_targets(pd.DataFrame({"label": [0.0, 0.5, 1.0]}))


SOFT = np.array([[0.5, 1], [0.25, 0], [0, 0.125]])
SOFT_FRAME = pd.DataFrame(SOFT, columns=["a", "b"])


@pytest.mark.parametrize(
    "Y",
    [
        SOFT,
        SOFT.astype(np.float16),
        SOFT.astype(object),
        SOFT.tolist(),
        list(SOFT),
        torch.tensor(SOFT),
        sparse.csr_array(SOFT),
        SOFT_FRAME,
        SOFT_FRAME.astype("Float64"),
        SOFT_FRAME.astype(object),
        pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(SOFT), columns=["a", "b"]),
    ],
)
def test_soft_targets(Y):
    targets = check_targets(Y, soft=True)
    assert targets.indicator.tolist() == SOFT.tolist()
    assert targets.indicator.dtype == np.float32
    assert targets.classes.tolist() == (["a", "b"] if isinstance(Y, pd.DataFrame) else [0, 1])
    assert targets.multilabel
    again = check_targets(targets.to_y(), soft=True)
    assert again.indicator.tolist() == SOFT.tolist()
    with pytest.raises(ValueError, match=r"clip 0 has 0\.5 for the .*0 and 1 only.*Threshold"):
        check_targets(Y)


@pytest.mark.parametrize("Y", [MATRIX, LISTS, FRAME, FRAME.astype(str), ["b", "a"], [3, 7, 9]])
def test_other_forms_do_not_change_if_soft_targets_are_allowed(Y):
    allowed, plain = check_targets(Y, soft=True), check_targets(Y)
    assert allowed.indicator.tobytes() == plain.indicator.tobytes()
    assert allowed.classes.tolist() == plain.classes.tolist()
    assert allowed.multilabel == plain.multilabel


@pytest.mark.parametrize(
    "Y", [np.array([[0.5], [1]]), [[0.5], [1]], pd.DataFrame({0: [0.5, 1.0]}, dtype=object)]
)
def test_soft_targets_of_one_event(Y):
    targets = check_targets(Y, soft=True)
    assert targets.indicator.tolist() == [[0.5], [1]]
    assert targets.multilabel


def test_single_values_are_no_soft_targets():
    for Y in (np.array([0.5, 1]), [0.5, 1.0], pd.Series([0.5, 1])):
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            check_targets(Y, soft=True)
    assert not check_targets(np.array([0.0, 1]), soft=True).multilabel
    assert not check_targets(pd.DataFrame({"label": [0.0, 2]}), soft=True).multilabel


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "1.5 for the event 'b'.*from 0 to 1.*Convert logits or percentages"),
        (-0.25, "-0.25 for the event 'b'.*from 0 to 1.*Convert logits or percentages"),
        (3, "3 for the event 'b'.*as sets"),
        (np.inf, "inf for the event 'b'"),
        (np.nan, r"no value \(NaN\) for the event 'b'.*from 0 to 1"),
        (None, r"no value \(NaN\) for the event 'b'"),
        ("0.5", "'0.5' for the event 'b'.*Convert strings to numbers. Drop columns"),
    ],
)
def test_wrong_soft_targets_raise(value, message):
    Y = SOFT_FRAME.astype(object)
    Y.loc[1, "b"] = value
    with pytest.raises(ValueError, match=f"Y: clip 1 has {message}"):
        check_targets(Y, soft=True)


def test_wrong_soft_targets_of_one_event_raise():
    with pytest.raises(ValueError, match=r"clip 1 has 1\.5 for the event 0"):
        check_targets(np.array([[0.5], [1.5]]), soft=True)


def test_soft_targets_are_matched_by_name():
    indicator = align_events(SOFT_FRAME[["b", "a"]], np.array(["a", "b"]), True, soft=True)
    assert indicator.tolist() == SOFT.tolist()
    with pytest.raises(ValueError, match="Y has 2 columns, but there are 3 events"):
        align_events(SOFT.tolist(), NAMES, True, soft=True)
    with pytest.raises(ValueError, match=r"clip 0 has 0\.5 for the event 'a'.*Threshold"):
        align_events(SOFT_FRAME, np.array(["a", "b"]), True)


def test_zero_dimensional_arrays_are_read_as_labels():
    targets = check_targets([np.array(4), np.array(3)])
    assert targets.classes.tolist() == [3, 4]
    assert targets.indicator.tolist() == [[0, 1], [1, 0]]
    assert check_targets(list(torch.tensor([4, 3]))).classes.tolist() == [3, 4]


def test_error_names_what_numpy_cannot_convert():
    with pytest.raises(
        TypeError, match=r"Y is a Tensor that cannot be converted to a NumPy array: .*detach"
    ):
        check_targets(torch.ones(2, 2, requires_grad=True))


def test_column_numbers_may_be_strings():
    Y = pd.DataFrame([[1, 0], [1, 1]], columns=["1", "0"])
    targets = match_events(Y, np.arange(2))
    assert targets.indicator.tolist() == [[0, 1], [1, 1]]
    assert targets.classes.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"event '1'.*nearest: 1\."):
        match_events(["1", "0"], np.arange(2))


@pytest.mark.parametrize(
    "classes",
    [["a", "a"], ["a", ""], ["a", None], ["a", 3], [], "ab", 3, [["a"], ["b"]], np.zeros((2, 2))],
)
def test_classes_list_each_event_once(classes):
    with pytest.raises(ValueError, match=r"classes is .* must list each event once"):
        check_classes(classes)


def test_set_of_classes_is_sorted():
    assert check_classes({"b", "a"}).tolist() == ["a", "b"]
    assert check_classes(pd.Index(["b", "a"])).tolist() == ["b", "a"]


def test_targets_keep_undecodable_names():
    Y = [["caf\udce9"], ["b"]]  # os.listdir returns a Latin-1 name like this
    targets = check_targets(Y)
    assert check_targets(targets.to_y()).classes.tolist() == ["b", "caf\udce9"]
