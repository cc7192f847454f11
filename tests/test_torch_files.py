"""Files of PyTorch: what is read is what torch.load gives, in both layouts."""

import collections
import pickle

import numpy as np
import pytest
import torch
from _crafted_torch import (
    SCALAR,
    legacy,
    storage,
    tensor,
    text,
    under_model,
    view,
    write_archive,
    write_legacy,
)
from _reference import padertorch_state

from sktagger import STFT, WALNetTagger
from sktagger.training._file_kinds import is_checkpoint
from sktagger.training._torch_files import read_torch_weights

DTYPES = [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int32]
DTYPES += [torch.int16, torch.int8, torch.uint8, torch.bool]


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request, tmp_path):
    """Write content, and give the file."""

    def save(content, name="x.pt"):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=request.param)
        return tmp_path / name

    return save


def check_same(a, b):
    """Check that two objects are equal: types, bits, layouts, attributes, and the order of keys."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert a.requires_grad == b.requires_grad
        assert a.is_leaf
        flat_a, flat_b = (x.detach().contiguous().reshape(-1).view(torch.uint8) for x in (a, b))
        assert torch.equal(flat_a, flat_b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            check_same(a[key], b[key])
        check_same(
            list(getattr(a, "__dict__", {}).items()), list(getattr(b, "__dict__", {}).items())
        )
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            check_same(x, y)
    else:
        assert a == b or (a != a and b != b)


def check_read(path):
    content = read_torch_weights(path)
    check_same(content, torch.load(path, map_location="cpu", weights_only=True))
    return content


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_of_all_types(save, dtype):
    values = torch.linspace(-3, 100, 24).to(dtype)
    check_read(save({"model": {"x": values, "y": values.reshape(2, 3, 4), "z": values[5]}}))


def test_bits_of_nan_and_of_zeros_are_kept(save):
    bits = torch.tensor([0x7FC00001, -0x400000, -0x80000000, 1], dtype=torch.int32)
    check_read(save({"model": bits.view(torch.float32)}))


def test_views_of_shared_data(save):
    x = torch.arange(24.0)
    content = {"x": x, "part": x[3:9], "step": x[1::5], "matrix": x.reshape(4, 6).T[1:, ::2]}
    content |= {"empty": x[5:5], "none": torch.empty(0, 3), "twice": x}
    read = check_read(save(content))
    assert read["x"] is read["twice"]
    read["x"][3] = -1
    assert read["part"][0] == -1
    assert read["matrix"].untyped_storage().data_ptr() == read["x"].untyped_storage().data_ptr()


def test_parameters_and_gradients(save):
    content = {
        "learnt": torch.nn.Parameter(torch.ones(2, 3)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "tensor": torch.ones(3, requires_grad=True),
    }
    read = check_read(save(content))
    assert isinstance(read["learnt"], torch.nn.Parameter)


def test_states_of_modules_and_optimizers(save):
    module = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.randn(4, 2, 9)).sum().backward()
    optimizer.step()
    content = {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "iteration": 3}
    read = check_read(save(content))
    assert read["model"]._metadata["1"] == {"version": 2}
    module.load_state_dict(read["model"])
    optimizer.load_state_dict(read["optimizer"])
    check_read(save(module.state_dict()))


def test_plain_data(save):
    shared = [1, "x"]
    content = {
        "numbers": [0, -1, 255, 2**16, -(2**31), 2**40, -(2**70), 1.5, np.inf, np.nan],
        "others": (None, True, False, "", "Bälle \U0001f3b5", (), [], {}, (1,), (1, 2, 3, 4)),
        "many": list(range(3000)),
        3: collections.OrderedDict(a=1, b={"c": [{}]}),
        "shared": [shared, (shared, shared)],
    }
    read = check_read(save(content))
    first, (second, third) = read["shared"]
    assert first is second is third


def test_exponentially_many_paths_take_no_time(save):
    content = ["x"]
    for _ in range(15):
        content = [content] * 1000
    inner = read_torch_weights(save({"model": {}, "x": content}))["x"]
    for _ in range(15):
        assert len(inner) == 1000
        inner = inner[-1]
    assert inner == ["x"]


NUMPY = {
    "array": np.arange(3),
    "empty": np.zeros((0, 2)),
    "scalar": np.float32(3),
    "bool": np.bool_(True),
    "objects": np.array(["a", {"b": [None]}], dtype=object),
    "strings": np.array(["a", "b"]),
    "records": np.zeros(2, dtype=[("a", "f4"), ("b", "i8")]),
    "dtype": np.dtype("float64"),
    "nested": {"indexes": [np.arange(2), np.arange(3)], "pointer": 0},
}


@pytest.mark.parametrize("name", NUMPY)
def test_objects_of_numpy_beside_the_model_are_left_out(save, name):
    state = {"x": torch.arange(3.0)}
    path = save({"iteration": 1, "sampler": NUMPY[name], "model": state, "y": torch.ones(2)})
    read = read_torch_weights(path)
    assert list(read) == ["iteration", "model", "y"]
    check_same(read["model"], state)
    for content in ({"model": {"x": NUMPY[name]}}, {"x": NUMPY[name]}):
        with pytest.raises(ValueError, match=r"x\.pt'.*Python object '.*' among its weights"):
            read_torch_weights(save(content))


@pytest.mark.parametrize("write", [write_archive, write_legacy])
def test_numpy_before_its_version_2_and_after(write, tmp_path):
    path = tmp_path / "x.pt"
    for scalar in (SCALAR, SCALAR.replace(b"numpy.core", b"numpy._core")):
        assert scalar.startswith((b"cnumpy.core.multi", b"cnumpy._core.multi"))
        write(path, under_model(tensor(), text("x") + scalar + b"s"))
        assert list(read_torch_weights(path)) == ["model"]


def test_nothing_of_numpy_is_called(save, monkeypatch):
    path = save({"model": {}, "x": NUMPY})
    monkeypatch.setattr(np._core.multiarray, "_reconstruct", None)
    monkeypatch.setattr(np, "dtype", None)
    assert read_torch_weights(path) == {"model": {}}


def test_arrays_of_numpy_may_be_larger_than_what_else_a_pickle_holds(save):
    read = read_torch_weights(save({"model": {}, "indexes": np.arange(2**20), "x": 1}))
    assert read == {"model": {}, "x": 1}


def test_tensors_beside_numpy_are_accounted_for(save):
    path = save({"model": torch.ones(2), "x": [torch.zeros(3), np.arange(3)]})
    check_same(read_torch_weights(path), {"model": torch.ones(2)})


def test_views_of_early_versions(tmp_path):
    data = np.arange(4, dtype="<f4").tobytes()
    parts = (
        storage(4, view=view("a", 1, 3)),
        storage(4, view=view("b", 0, 1)),
        storage(4, view=view("a", 1, 3)),
        storage(4),
    )
    tensors = [
        tensor((1,), (1,), offset, part) for offset, part in zip((2, 0, 0, 1), parts, strict=True)
    ]
    legacy(under_model(b"(" + b"".join(tensors) + b"t"), {"0": (4, data)})(tmp_path / "x.pt")
    read = check_read(tmp_path / "x.pt")
    assert [float(x) for x in read["model"]] == [3, 0, 1, 1]


def test_archives_of_pytorch_before_2_1_say_no_byte_order(tmp_path):
    path = tmp_path / "x.pt"
    write_archive(path, under_model(tensor()), byteorder=None)
    assert read_torch_weights(path)["model"].tolist() == [0]


def test_published_file(shared_data):
    path = shared_data.parent / "models" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip("needs the published weights")
    assert len(check_read(path)) == 312


def test_tensors_do_not_depend_on_the_file(save):
    path = save({"model": torch.ones(1000)})
    read = read_torch_weights(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert (read["model"] == 1).all()


def test_checkpoints_are_told_from_other_pickles(save, tmp_path):
    assert is_checkpoint(save({"x": 1}))
    path = tmp_path / "y"
    for content in (b"", b"\x80\x02", pickle.dumps({"x": 1}, protocol=2)):
        path.write_bytes(content)
        assert not is_checkpoint(path)
    with pytest.raises(ValueError, match=r"looks like a pickle, which joblib\.load reads"):
        WALNetTagger.load(path)


def test_weights_of_another_program(save):
    state = padertorch_state(n_events=2, sample_rate=8000, n_fft=512)
    path = save({"model": state, "sampler": {"pointer": 3, "indexes": np.arange(9)}})
    arguments = {"classes": ["a", "b"], "sample_rate": 8000, "stft": STFT(n_fft=512)}
    tagger = WALNetTagger.from_padertorch(path, **arguments)
    for key, weight in tagger.module_.state_dict().items():
        assert torch.equal(weight, state[key])


def damaged(content, rng):
    """Change, cut out, or put in a few bytes, or cut the end off."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        place = rng.integers(len(content))
        n_cut = rng.choice([0, 1, 4, len(content)], p=[0.1, 0.7, 0.1, 0.1])
        content[place : place + n_cut] = rng.bytes(rng.choice([0, 1, n_cut if n_cut < 9 else 1]))
        if not content:
            break
    return bytes(content)


def test_damaged_file_is_read_as_torch_does_or_named(save):
    state = collections.OrderedDict(x=torch.arange(6.0).reshape(2, 3), y=torch.ones(2).bool())
    path = save({"model": state, "epoch": 3, "history": [{"loss": 0.5}]})
    whole, original = path.read_bytes(), read_torch_weights(path)
    rng, n_read = np.random.default_rng(0), 0
    for _ in range(1000):
        path.write_bytes(damaged(whole, rng))
        try:
            read = read_torch_weights(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        n_read += 1
        if whole.startswith(b"PK"):  # which has checksums; torch.load does not compare them
            check_same(read, original)
        else:
            check_same(read, torch.load(path, map_location="cpu", weights_only=True))
    assert n_read > 0
