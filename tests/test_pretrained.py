"""The table of pretrained models, and fetching: from a server on loopback, never a real one."""

import errno
import hashlib
import json
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sktagger import pretrained
from sktagger.commands import main
from sktagger.pretrained import cache_dir, fetch, find_model, list_models
from sktagger.pretrained._models import _TABLE, MODELS

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4000  # 1.02 MB
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(server):
    server.content = CONTENT
    return server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder, which does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SKTAGGER_CACHE", str(folder))
    return folder


@pytest.fixture
def add_model(server, monkeypatch):
    """Return a function that adds the model "tiny" of the server to the table."""

    def add(path="tiny.pt", **changes):
        fields = {"name": "tiny", "url": server.address + path, "size": len(CONTENT)}
        model = find_model("mn10_as")._replace(**fields | {"checksum": SHA256} | changes)
        monkeypatch.setitem(MODELS, "tiny", model)
        return model

    return add


def visible(folder):
    """Give the names of files in a folder, without those of locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


# The table.


def count_efficientat(width, head="mlp", n_outputs=527, **_):
    """Count the trainable parameters of a network of EfficientAT, layer by layer."""

    def scaled(n):
        rounded = max(8, int(n + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * n else rounded

    blocks = [  # kernel size, expanded channels, output channels, squeeze and excitation
        (3, 16, 16, 0), (3, 64, 24, 0), (3, 72, 24, 0), (5, 72, 40, 1), (5, 120, 40, 1),
        (5, 120, 40, 1), (3, 240, 80, 0), (3, 200, 80, 0), (3, 184, 80, 0), (3, 184, 80, 0),
        (3, 480, 112, 1), (3, 672, 112, 1), (5, 672, 160, 1), (5, 960, 160, 1), (5, 960, 160, 1),
    ]  # fmt: skip
    last = scaled(16 * width)
    n = 9 * last + 2 * last
    for kernel, expanded, out, squeezed in blocks:
        wide, out = scaled(width * expanded), scaled(width * out)
        n += 0 if wide == last else last * wide + 2 * wide
        n += kernel**2 * wide + 2 * wide
        narrow = scaled(wide // 4)
        n += squeezed * (2 * wide * narrow + narrow + wide)
        n += wide * out + 2 * out
        last = out
    top = 6 * last
    n += last * top + 2 * top
    if head == "fully_convolutional":
        return n + top * n_outputs + 2 * n_outputs
    hidden = scaled(1280 * width)
    return n + (top + 1) * hidden + (hidden + 1) * n_outputs


def count_panns(variant, n_outputs=527, **_):
    channels = [64, 128, 256, 512]
    if variant.startswith("cnn14"):
        channels += [1024, 2048]
    kernel, n_convolutions = (5, 1) if variant == "cnn6" else (3, 2)
    n, last = 2 * 64, 1
    for out in channels:
        for _ in range(n_convolutions):
            n += kernel**2 * last * out + 2 * out
            last = out
    embedding = 2048 if variant.startswith("cnn14") else 512
    return n + (last + 1) * embedding + (embedding + 1) * n_outputs


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_numbers_of_parameters_are_those_of_the_networks(model):
    count = {"EfficientAT": count_efficientat, "PANNs": count_panns}[model.network]
    assert model.parameters == count(**model.settings)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_file_holds_the_parameters(model):
    """A file has 4 bytes per parameter, and less than 12 % (or 0.5 MB) of other content."""
    if model.size is not None:
        front_end = 4.4e6 if model.network == "PANNs" else 0
        other = model.size - 4 * model.parameters - front_end
        assert -0.2e6 < other < max(0.12 * model.size, 0.5e6)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_settings_are_those_of_the_name(model):
    settings = dict(model.settings)
    if model.network == "PANNs":
        rate = settings.pop("sample_rate", 32000)
        assert model.name == settings["variant"] + ("_16k" if rate == 16000 else "")
        return
    assert settings.pop("width") == int(model.name[2:4]) / 10
    if hop := re.search(r"_hop_(\d+)", model.name):
        assert settings.pop("hop_length") == int(hop[1]) * 32
    if mels := re.search(r"_mels_(\d+)", model.name):
        assert settings.pop("n_mels") == int(mels[1])
    if strides := re.search(r"_s(\d{4})", model.name):
        assert settings.pop("strides") == tuple(map(int, strides[1]))
    if "_fc" in model.name:
        assert settings.pop("head") == "fully_convolutional"
    assert settings == {}


def test_names_and_files_are_unique():
    assert len(MODELS) == len(_TABLE)
    assert len({model.file_name for model in _TABLE}) == len(_TABLE)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_entries_are_complete(model):
    sources = {
        "EfficientAT": ("https://github.com/fschmid56/EfficientAT/releases/", "MIT", "2211.04772"),
        "PANNs": ("https://zenodo.org/records/3987831/files/", "CC BY 4.0", "1912.10211"),
    }
    address, license_name, paper = sources[model.network]
    assert model.url.startswith(address)
    assert model.license == license_name
    assert model.citation.endswith(f"arXiv:{paper}")
    assert 0.29 < model.mAP < 0.49
    assert f"{model.mAP:.3f}"[2:] in model.file_name
    if model.checksum is not None:
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", model.checksum)


def test_names_of_files_are_decoded():
    assert find_model("cnn14_16k").file_name == "Cnn14_16k_mAP=0.438.pth"
    assert find_model("mn10_as").file_name == "mn10_as_mAP_471.pt"


def test_entry_of_mn04_is_that_of_the_file_at_hand(shared_data):
    path = shared_data.parent / "models" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip("no file of mn04_as")
    model, content = find_model("mn04_as"), path.read_bytes()
    assert model.file_name == path.name
    assert model.size == len(content)
    assert model.checksum == "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mn10", ValueError, "no pretrained model 'mn10'; nearest: .*'mn10_as'"),
        ("CNN14", ValueError, "'CNN14'; nearest: 'cnn14'"),
        ("yamnet!", ValueError, "there are 'mn01_as', .*'cnn6'.*list_models"),
        (None, TypeError, "got None, .* must be a string"),
    ],
)
def test_unknown_name_is_an_error(name, error, message):
    with pytest.raises(error, match=message):
        fetch(name)


def test_models_are_listed(cache, add_model):
    model = add_model()
    table = list_models()
    assert list(table.index) == list(MODELS)
    row = table.loc["tiny"]
    assert row["network"] == "EfficientAT(width=1.0)"
    assert row["path"] == str(cache / "tiny.pt")
    assert (row["size"], row["url"]) == (len(CONTENT), model.url)
    assert table["size"].isna()["mn40_as"]
    assert not table["cached"].any()
    fetch("tiny")
    assert list_models().query("cached").index.tolist() == ["tiny"]


def test_listing_writes_nothing(cache):
    list_models()
    assert not cache.exists()


# The cache folder.


def test_cache_folder_is_that_of_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SKTAGGER_CACHE", "~/models")
    assert cache_dir() == tmp_path / "models"
    monkeypatch.setenv("SKTAGGER_CACHE", "models")
    assert cache_dir() == Path.cwd() / "models"


@pytest.mark.parametrize("value", [None, ""])
def test_cache_folder_is_that_of_the_user_by_default(monkeypatch, tmp_path, value):
    if value is None:
        monkeypatch.delenv("SKTAGGER_CACHE", raising=False)
    else:
        monkeypatch.setenv("SKTAGGER_CACHE", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "sktagger"


def test_importing_is_quick(run_python):
    code = (
        "import sys, sktagger.pretrained\n"
        "heavy = {'torch', 'pooch', 'requests', 'platformdirs', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run_python(code) == "[]"


# Fetching.


def test_file_is_fetched_once(server, cache, add_model):
    add_model()
    assert fetch("tiny") == cache / "tiny.pt"
    assert (cache / "tiny.pt").read_bytes() == CONTENT
    assert visible(cache) == ["tiny.pt"]
    assert fetch("tiny") == cache / "tiny.pt"
    assert server.paths == ["/tiny.pt"]


def test_address_may_move(server, cache, add_model):
    """As the files of a GitHub release do."""
    add_model("moved/tiny.pt")
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.paths == ["/moved/tiny.pt", "/elsewhere"]


def test_server_is_told_who_asks(server, cache, add_model):
    add_model()
    fetch("tiny")
    assert server.headers[0]["User-Agent"].startswith("sktagger/")


@pytest.mark.parametrize("checksum", [SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest(), None])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_what_is_not_known_is_not_checked(cache, add_model, checksum, size):
    add_model(checksum=checksum, size=size)
    assert fetch("tiny").read_bytes() == CONTENT


def test_terminal_shows_a_bar(cache, add_model, monkeypatch, capsys):
    add_model()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch("tiny")
    bar = capsys.readouterr().err
    assert "Fetching tiny" in bar
    assert "2/2" in bar  # megabytes


def test_bar_can_be_left_out(cache, add_model, monkeypatch, capsys):
    add_model()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch("tiny", progress=False)
    assert capsys.readouterr().err == ""


def test_pipe_gets_lines(cache, add_model, monkeypatch, capsys):
    add_model()
    monkeypatch.setattr("sktagger._utils.progress.INTERVAL", 0)
    fetch("tiny")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Fetching tiny: 2 of 2 megabytes, ")


def test_file_put_there_by_hand_is_used(server, cache, add_model):
    add_model(size=None)
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(b"by hand")
    assert fetch("tiny").read_bytes() == b"by hand"
    assert server.paths == []
    assert [path.name for path in cache.iterdir()] == ["tiny.pt"]


def test_file_of_another_size_is_fetched_again(cache, add_model):
    add_model()
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(CONTENT[:1000])
    assert not list_models().loc["tiny", "cached"]
    assert fetch("tiny").read_bytes() == CONTENT


def break_off(server):
    server.missing = 1000


def send_a_page(server):
    server.content = b"<!DOCTYPE html><title>Log in to the network</title>"


def send_another_file(server):
    server.content = CONTENT[:-1] + b"?"


def send_more(server):
    server.content = CONTENT + b"more"


@pytest.mark.parametrize(
    ("fault", "changes", "cause"),
    [
        (break_off, {}, "cut off after .* of .* bytes|connection failed: .*1000 more expected"),
        (break_off, {"size": None, "checksum": None}, "cut off|1000 more expected"),
        (send_a_page, {}, "not a checkpoint; it begins with b'<!DOCTYPE html>"),
        (send_a_page, {"size": None, "checksum": None}, "not a checkpoint"),
        (send_another_file, {}, f"sha256 sum [0-9a-f]{{64}}, but the file has {SHA256[7:]}"),
        (send_more, {"checksum": None}, f"{len(CONTENT) + 4} bytes, .* has {len(CONTENT)}"),
        (lambda server: None, {"path": "nothing/tiny.pt"}, "the server answered 404 Not Found"),
    ],
)
def test_faulty_download_is_an_error_and_leaves_nothing(
    server, cache, add_model, fault, changes, cause
):
    fault(server)
    model = add_model(**changes)
    with pytest.raises(ConnectionError, match=cause) as caught:
        fetch("tiny")
    message = str(caught.value)
    assert message.startswith(f"'tiny' cannot be fetched from {model.url}: ")
    assert f"save it as {str(cache / 'tiny.pt')!r}; SKTAGGER_CACHE names" in message
    assert "\n" not in message
    assert visible(cache) == []


def test_file_is_kept_if_it_cannot_be_fetched_again(server, cache, add_model):
    break_off(server)
    add_model()
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(b"old")
    with pytest.raises(ConnectionError):
        fetch("tiny")
    assert (cache / "tiny.pt").read_bytes() == b"old"


def test_second_try_after_a_fault_succeeds(server, cache, add_model):
    add_model()
    break_off(server)
    with pytest.raises(ConnectionError):
        fetch("tiny")
    server.missing = 0
    assert fetch("tiny").read_bytes() == CONTENT


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/tiny.pt"


def test_no_connection_is_an_error(cache, add_model):
    add_model(url=closed_port())
    with pytest.raises(ConnectionError, match="the connection failed: Connection refused"):
        fetch("tiny")
    assert visible(cache) == []


def test_error_that_is_being_handled_is_not_the_cause(cache, add_model):
    add_model(url=closed_port())
    try:
        raise KeyError("of the user")
    except KeyError:
        with pytest.raises(ConnectionError, match="failed: Connection refused"):
            fetch("tiny")


def test_server_that_says_nothing_is_an_error(server, cache, add_model, monkeypatch):
    monkeypatch.setattr("sktagger.pretrained._fetching._TIMEOUT", 0.2)
    server.gate.clear()
    add_model()
    with pytest.raises(ConnectionError, match=r"the connection failed: .*timed out"):
        fetch("tiny")


def test_interruption_leaves_nothing(cache, add_model, monkeypatch):
    add_model()

    def interrupt(self, n):
        raise KeyboardInterrupt

    monkeypatch.setattr("sktagger._utils.progress.TaskProgress.update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny")
    assert visible(cache) == []


@pytest.mark.parametrize("folder", ["file", "file/cache"])
def test_cache_folder_that_cannot_be_made_is_an_error(tmp_path, monkeypatch, add_model, folder):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SKTAGGER_CACHE", str(tmp_path / folder))
    add_model()
    with pytest.raises(OSError, match=r"'tiny' cannot be saved in .*SKTAGGER_CACHE"):
        fetch("tiny")


def test_full_disk_is_an_error(cache, add_model, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sktagger._utils.files.os.fsync", fail)
    add_model()
    with pytest.raises(OSError, match=r"cannot be saved .*No space left on device\. Check"):
        fetch("tiny")
    assert visible(cache) == []


# Several at once.


def test_threads_fetch_once(server, cache, add_model, capfd):
    add_model()
    server.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        paths = [pool.submit(fetch, "tiny") for _ in range(4)]
        time.sleep(0.3)
        server.gate.set()
        assert {path.result().read_bytes() for path in paths} == {CONTENT}
    assert server.paths == ["/tiny.pt"]
    assert "Waiting for another process that fetches tiny.pt." in capfd.readouterr().err


def test_processes_fetch_once(server, cache, add_model, run_python):
    model = add_model()
    code = (
        "from sktagger import pretrained\n"
        "from sktagger.pretrained._models import MODELS, PretrainedModel\n"
        f"MODELS['tiny'] = PretrainedModel(*{tuple(model)!r})\n"
        "print(len(pretrained.fetch('tiny').read_bytes()))"
    )
    server.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        sizes = [pool.submit(run_python, code) for _ in range(2)]
        while not server.paths:
            time.sleep(0.05)
        threading.Timer(1.0, server.gate.set).start()
        assert [size.result() for size in sizes] == [str(len(CONTENT))] * 2
    assert server.paths == ["/tiny.pt"]
    assert visible(cache) == ["tiny.pt"]


def test_folder_without_locks_is_enough(cache, add_model, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("sktagger.pretrained._fetching.FileLock.acquire", refuse)
    add_model()
    assert fetch("tiny").read_bytes() == CONTENT


# The command.


def test_command_prints_a_table(cache, add_model, capsys):
    add_model()
    fetch("tiny")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "name", "network", "parameters", "mAP", "size", "license", "cached",
    ]  # fmt: skip
    assert len(lines) == len(MODELS) + 2
    rows = {line.split()[0]: re.split(r"\s\s+", line) for line in lines[1:-1]}
    assert rows["tiny"][2:] == ["4.88 M", "47.1", "1.0 MB", "MIT", "yes"]
    assert rows["cnn6"][2:] == ["4.84 M", "34.3", "?", "CC BY 4.0", "no"]
    assert lines[-1] == f"Cached files are in {cache}; SKTAGGER_CACHE names another folder."


def test_command_lists_the_named_models(cache, capsys):
    assert main(["models", "cnn6", "mn10_as", "cnn6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["cnn6", "mn10_as"]


@pytest.mark.parametrize("arguments", [["--fetch", "tiny"], ["tiny", "--fetch"]])
def test_command_fetches(server, cache, add_model, capsys, arguments):
    add_model()
    assert main(["models", *arguments]) == 0
    assert capsys.readouterr().out == f"{cache / 'tiny.pt'}\n"
    assert (cache / "tiny.pt").read_bytes() == CONTENT


def test_command_prints_json(cache, add_model, capsys):
    model = add_model()
    fetch("tiny")
    assert main(["models", "tiny", "mn40_as", "--json"]) == 0
    tiny, mn40 = json.loads(capsys.readouterr().out)
    assert tiny == {
        "name": "tiny",
        "network": "EfficientAT(width=1.0)",
        "parameters": 4876831,
        "mAP": 0.471,
        "size": len(CONTENT),
        "license": "MIT",
        "cached": True,
        "path": str(cache / "tiny.pt"),
        "url": model.url,
    }
    assert mn40["size"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mn10"], "no pretrained model 'mn10'; nearest:"),
        (["--fetch"], "--fetch: no model is named"),
        (["--fetch", "tiny"], "'tiny' cannot be fetched from http://127.0.0.1:"),
    ],
)
def test_command_reports_errors_in_one_line(cache, add_model, capsys, arguments, message):
    add_model(url=closed_port())
    assert main(["models", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("sktagger models: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_nothing_is_fetched_if_a_name_is_wrong(server, cache, add_model):
    add_model()
    assert main(["models", "--fetch", "tiny", "tini"]) == 1
    assert server.paths == []


def test_command_does_not_import_torch(run_python, cache):
    code = (
        "import sys; from sktagger.commands import main\n"
        "main(['models'])\n"
        "print({'torch', 'pooch'} & set(sys.modules))"
    )
    assert run_python(code).splitlines()[-1] == "set()"


def test_public_names():
    assert {getattr(pretrained, name).__name__ for name in pretrained.__all__} == set(
        pretrained.__all__
    )
