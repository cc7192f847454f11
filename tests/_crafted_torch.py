"""Files of PyTorch that were made to do harm, byte by byte where pickle.dumps would not do so.

Most are pickles, which come in both layouts: zip archives, and the layout before PyTorch 1.6.
"""

import os
import pickle
import struct
import zipfile

SENTINEL = "code-was-run"  # a file that the code in the files would write


class Bomb:
    """Writes the sentinel where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (SENTINEL,)


GOOD = {"model": {"x": 1}, "epoch": 3}

# --- pickles


def dumps(content):
    return pickle.dumps(content, protocol=2)


def inner(content):
    """Give the pickle of a part."""
    return dumps(content)[2:-1]


def global_(name):
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def call(name, *arguments):
    return global_(name) + b"(" + b"".join(arguments) + b"tR"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


NO_VIEW = b"<no view>"  # None before PyTorch 1.6, nothing since


def storage(n_items=1, kind="torch FloatStorage", key="0", view=NO_VIEW):
    """Refer to a storage, as the writers below complete it."""
    parts = text("storage") + global_(kind) + text(key) + text("cpu") + integer(n_items)
    return b"(" + parts + view + b"tQ"


def view(key="v", first=0, n_items=1):
    return b"(" + text(key) + integer(first) + integer(n_items) + b"t"


HOOKS = call("collections OrderedDict")


def tensor(shape=(1,), strides=(1,), offset=0, data=None, grad=b"\x89", hooks=HOOKS):
    """Make a tensor; shape and strides are numbers, or pickles."""
    shape, strides = (x if isinstance(x, bytes) else integers(x) for x in (shape, strides))
    arguments = (data or storage()), integer(offset), shape, strides, grad, hooks
    return call("torch._utils _rebuild_tensor_v2", *arguments)


def under_model(value, beside=b""):
    """Make the pickle of {"model": value}; the keys and values beside it end by "s"."""
    return b"\x80\x02}" + text("model") + value + b"s" + beside + b"."


def with_state(state):
    return under_model(HOOKS + inner(state) + b"b")


DTYPE = call("numpy dtype", text("f4"), b"\x89", b"\x88")
BYTES = call("_codecs encode", text("a"), text("latin1"))
SCALAR = call("numpy.core.multiarray scalar", DTYPE, BYTES)


CODE = {
    "top": dumps(Bomb()),
    "value": dumps({"model": Bomb()}),
    "beside": dumps({"model": {"x": 1}, "sampler": Bomb()}),
    "nested": dumps({"model": {"x": [1, [2, (Bomb(), 3)]]}}),
    "key": dumps({Bomb(): 1}),
    "storage type": under_model(tensor(data=storage(kind="os mkdir"))),
    "persistent id": under_model(call("os mkdir", text(SENTINEL)) + b"Q"),
    "module": under_model(b"(" + text("module") + global_("os mkdir") + text("a") * 2 + b"tQ"),
    "storage key": under_model(
        b"(" + text("storage") + global_("torch FloatStorage") + inner(Bomb()) + b"00tQ"
    ),
    "new object": under_model(global_("subprocess Popen") + b"(" + text("true") + b"t\x81"),
    "set state": with_state({"a": 1}),
    "state of NumPy": under_model(b"N", text("x") + SCALAR + inner(Bomb()) + b"bs"),
    "argument of NumPy": under_model(
        b"N", text("x") + call("numpy.core.multiarray scalar", DTYPE, inner(Bomb())) + b"s"
    ),
    "other function of NumPy": under_model(b"N", text("x") + call("numpy load", text("x")) + b"s"),
    "rebuild from type": under_model(
        call("torch._tensor _rebuild_from_type_v2", global_("os mkdir"), global_("os mkdir"))
    ),
    "protocol 4": pickle.dumps({"model": Bomb()}, protocol=4),
}
REFUSED = "Python object|makes no tensor|sets attributes|protocol 4|other than the data of a tensor"
DEEP = "nested deeper than 20"
PICKLES = {
    **{f"code: {name}": (content, REFUSED) for name, content in CODE.items()},
    "bytearray": (under_model(call("builtins bytearray", integer(10**12))), "bytearray"),
    "storage call": (
        under_model(call("torch.storage UntypedStorage", integer(10**12))), "UntypedStorage"
    ),
    "call of a storage": (
        under_model(call("torch FloatStorage", integer(10**12))), "makes no tensor"
    ),
    "call with items": (under_model(call("collections OrderedDict", b"]")), "makes no tensor"),
    "call of a number": (under_model(b"K\1)R"), "makes no tensor"),
    "other operation": (under_model(b"N2\x86"), "the pickle operation DUP"),
    # tensors
    "many items": (
        under_model(tensor(data=storage(10**15))), "10{15} items for 4 bytes|another number of it"
    ),
    "few items": (
        under_model(tensor((0,), data=storage(0))), "0 items for 4 bytes|another number of items"
    ),
    "negative items": (under_model(tensor(data=storage(-1))), "other than the data of a tensor"),
    "items of a float": (
        under_model(tensor(data=storage().replace(integer(1), b"G?\xf0" + b"\0" * 6))),
        "other than the data of a tensor",
    ),
    "wide items": (under_model(tensor(data=storage(kind="torch DoubleStorage"))), "1 items"),
    "complex items": (
        under_model(tensor(data=storage(kind="torch ComplexFloatStorage"))), "'torch ComplexFloat"
    ),
    "two types": (
        under_model(tensor() + tensor(data=storage(kind="torch IntStorage")) + b"\x86"), "two ways"
    ),
    "two sizes": (under_model(tensor() + tensor(data=storage(0)) + b"\x86"), "in two ways"),
    "huge tensor": (under_model(tensor((10**9,))), r"shape \(10{9},\) for 1 items"),
    "huge stride": (under_model(tensor((1, 2), (1, 10**12))), "for 1 items"),
    "far offset": (under_model(tensor(offset=1)), "for 1 items"),
    "expanded": (under_model(tensor((10**9,), (0,))), "for 1 items"),
    "overflow": (under_model(tensor((2**62, 4), (1, 1))), "for 1 items"),
    "overflow of nothing": (under_model(tensor((2**62, 2**62, 0), (1, 1, 1))), "Error: "),
    "negative": (under_model(tensor((-1,))), "malformed tensor"),
    "negative stride": (under_model(tensor((2,), (-1,), 1)), "malformed tensor"),
    "negative offset": (under_model(tensor(offset=-1)), "malformed tensor"),
    "shape of floats": (under_model(tensor(b"G?\xf0" + b"\0" * 6 + b"\x85")), "malformed tensor"),
    "shape of a bool": (under_model(tensor(b"\x88\x85")), "malformed tensor"),
    "shape is a number": (under_model(tensor(b"K\1")), "malformed tensor"),
    "few strides": (under_model(tensor((1, 1))), "malformed tensor"),
    "many dimensions": (under_model(tensor((1,) * 17, (1,) * 17)), "malformed tensor"),
    "hooks": (under_model(tensor(hooks=inner({"x": 1}))), "malformed tensor"),
    "grad of a number": (under_model(tensor(grad=b"K\1")), "malformed tensor"),
    "grad of integers": (
        under_model(tensor(data=storage(kind="torch IntStorage"), grad=b"\x88")),
        "only Tensors of floating point",
    ),
    "tensor of a tensor": (under_model(tensor(data=tensor())), "malformed tensor"),
    "tensor of NumPy": (under_model(tensor(data=SCALAR)), "malformed tensor"),
    "few arguments": (under_model(call("torch._utils _rebuild_tensor_v2", storage())), "malformed"),
    "no arguments": (
        under_model(global_("torch._utils _rebuild_tensor_v2") + b"}R"), "malformed tensor"
    ),
    "parameter of a number": (
        under_model(call("torch._utils _rebuild_parameter", b"K\1", b"\x88", HOOKS)), "malformed"
    ),
    "parameter with hooks": (
        under_model(
            call("torch._utils _rebuild_parameter", tensor(), b"\x88", inner({"x": 1}))
        ),
        "malformed tensor",
    ),
    "no storage": (
        under_model(tensor(data=storage(key="1"))), "no data for one, at '1'|list of storages"
    ),
    "set storage": (under_model(tensor() + storage() + b"\x85b"), "sets attributes"),
    "device of a number": (
        under_model(tensor(data=storage().replace(text("cpu"), b"K\1"))), "other than the data"
    ),
    "bare storage": (under_model(storage()), "bare storage"),
    "bare storage beside": (under_model(b"N", text("x") + storage() + b"s"), "bare storage"),
    "class": (under_model(global_("torch FloatStorage")), "a Python class or function"),
    # depth, size and time
    "deep list": (under_model(b"]" * 10**5 + b"a" * (10**5 - 1)), "nested too deeply"),
    "deep tuple": (under_model(b")" + b"\x85" * 10**5), DEEP),
    "deep beside": (under_model(b"N", text("x") + b")" + b"\x85" * 10**5 + b"s"), DEEP),
    "deep key": (b"\x80\x02})" + b"\x85" * 10**5 + b"Ns.", "a key of type tuple"),
    "deep dict": (
        b"\x80\x02}q\x00" + (text("a") + b"}") * 9000 + b"s" * 9000 + b".", "nested too deeply"
    ),
    "deep versions": (with_state({"_metadata": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}), DEEP),
    # the first list holds all others, and each of these the one before
    "long chain": (
        under_model(b"](]q\x01" + b"]h\x01aq\x01" * 9000 + b"e"), DEEP
    ),
    "memo bomb": (under_model(b"]q\0" + b"h\0\x86q\0" * 10**5), DEEP),
    "holds itself": (under_model(b"]q\0h\0a"), DEEP),
    "holds the whole": (b"\x80\x02}q\0" + text("model") + b"h\0s.", DEEP),
    "many values": (b"\x80\x02(" + b"N" * 1_000_000 + b"t.", "nested too deeply"),
    "many lists": (b"\x80\x02]" + b"]a" * 10**5 + b".", "holds no dict, but a list"),
    "many operations": (b"\x80\x02]" + b"]a" * 600_000 + b".", "more than 1048576 operations"),
    "colliding keys": (
        under_model(b"}" + b"".join(integer(k * (2**61 - 1)) + b"Ns" for k in range(1, 4))),
        "it has the key 2305843009213693951",
    ),
    "negative key": (under_model(inner({-1: 1})), "it has the key -1"),
    "same key twice": (under_model(b"}" + (text("x") + b"Ns") * 2), "the key 'x' twice"),
    "model twice": (under_model(b"N", text("model") + inner({}) + b"s"), "the key 'model' twice"),
    "huge memo": (b"\x80\x02]r\xff\xff\xff\xff.", "holds no dict"),
    "unknown memo": (under_model(b"h\x07"), "KeyError"),
    "huge string": (b"\x80\x02X\xff\xff\xff\xff.", "expected 4294967295 bytes"),
    "huge integer": (under_model(b"\x8b\xff\xff\xff\x7f"), "to read long4"),
    "cut pickle": (dumps(GOOD)[:-9], "but only 2 remain|invalid start byte"),
    "unused objects": (b"\x80\x02NN.", "that it does not use"),
    "open mark": (b"\x80\x02N(N.", "that it does not use"),
    "empty stack": (b"\x80\x02\x85.", "IndexError"),
    "odd keys": (b"\x80\x02}(" + text("x") + b"u.", "shorter|longer"),
    "item of a string": (under_model(text("x") + b"Na"), "no list or dict"),
    "item of a tensor": (under_model(tensor() + b"Na"), "no list or dict"),
    "no dict": (dumps([1]), "holds no dict, but a list"),
    # NumPy
    "NumPy": (under_model(inner({}) + text("x") + SCALAR + b"s"), "scalar' among its weights"),
    "NumPy, nested": (under_model(SCALAR + b"\x85\x85"), "scalar' among its weights"),
    "NumPy, shared": (
        under_model(SCALAR + b"q\0", text("x") + b"h\0s"), "scalar' among its weights"
    ),
    "NumPy without a model": (b"\x80\x02}" + text("x") + SCALAR + b"s.", "among its weights"),
    "NumPy as versions": (
        b"\x80\x02" + HOOKS + text("model") + b"}s}" + text("_metadata") + SCALAR + b"sb.",
        "scalar' among its weights",
    ),
    "NumPy as key": (under_model(b"N", SCALAR + b"Ns"), "a key of type Foreign"),
    "NumPy alone": (b"\x80\x02" + SCALAR + b".", "holds no dict, but a Foreign"),
    "item of NumPy": (under_model(b"N", text("x") + SCALAR + b"Nas"), "no list or dict"),
    "bytes": (under_model(BYTES), "'_codecs encode' among its weights"),
}  # fmt: skip

# --- zip archives


def data_of(content):
    """Give the data of the storages that most pickles here refer to."""
    return {"0": b"\0" * 4} if b"Storage" in content and text("0") in content else {}


def write_archive(path, content, data=None, *, compress=zipfile.ZIP_STORED, before=(), **entries):
    """Write a zip archive; other entries come before or, by keywords, behind it (None: not)."""
    data = data_of(content) if data is None else data
    with zipfile.ZipFile(path, "w", compress) as file:
        for name in before:
            file.writestr(name, b"x")
        file.writestr("archive/data.pkl", content.replace(NO_VIEW, b""))
        for key, value in data.items():
            file.writestr(f"archive/data/{key}", value)
        for name, value in {"byteorder": "little", "version": "3\n", **entries}.items():
            if value is not None:
                file.writestr(f"archive/{name}", value)


def archive(content, data=None, **changes):
    return lambda path: write_archive(path, content, data, **changes)


def patched(before, after, last=False):
    """Make an archive, and change its bytes: the first or the last of some."""

    def make(path):
        write_archive(path, under_model(tensor()))
        content = path.read_bytes()
        assert before in content
        place = content.rindex(before) if last else content.index(before)
        path.write_bytes(content[:place] + after + content[place + len(before) :])

    return make


def in_directory(place, new):
    """Make an archive, and change what its directory says of the data of a tensor."""

    def make(path):
        write_archive(path, under_model(tensor()))
        content = bytearray(path.read_bytes())
        entry = content.rindex(b"archive/data/0") - 46
        content[entry + place : entry + place + len(new)] = new
        path.write_bytes(content)

    return make


def gap(n_bytes):
    """Make an archive with bytes between two entries, and a directory that knows of them."""

    def make(path):
        write_archive(path, under_model(tensor()))
        with zipfile.ZipFile(path, "a") as file:
            file.fp.seek(file.start_dir)
            file.fp.write(b"\0" * n_bytes)
            file.start_dir += n_bytes
            file.writestr("archive/more", b"x")

    return make


def overlapping(path):
    """Let the data of one entry hold the next entry."""
    entry = b"PK\3\4" + struct.pack("<5H3I2H", 20, 0, 0, 0, 33, 0, 0, 0, 14, 0) + b"archive/data/1"
    write_archive(path, under_model(tensor()), {"0": entry, "1": b""})
    content = bytearray(path.read_bytes())
    in_data = content.index(entry)
    second = content.rindex(b"archive/data/1") - 46
    content[second + 42 : second + 46] = struct.pack("<I", in_data)
    path.write_bytes(content)


def same_name_twice(path):
    write_archive(path, dumps(GOOD), {}, **{"data.pk_": dumps(Bomb())})
    path.write_bytes(path.read_bytes().replace(b"data.pk_", b"data.pkl"))


def with_comment(path):
    write_archive(path, dumps(GOOD))
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"x"


def changed(make, change):
    """Make a file, and change its bytes by a function."""

    def make_changed(path):
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return make_changed


GOOD_ARCHIVE = archive(under_model(tensor()))
ARCHIVES = {
    "empty pickle": (archive(b""), "pickle exhausted"),
    "six items": (archive(under_model(tensor(data=storage(view=b"N")))), "other than the data"),
    "more in the pickle": (archive(dumps(GOOD) + b"N."), "goes on behind its end"),
    "compressed": (archive(dumps(GOOD), compress=zipfile.ZIP_DEFLATED), "is compressed"),
    "zip bomb": (
        archive(b"\x80\x02]" + b"0" * 2**26, compress=zipfile.ZIP_DEFLATED), "is compressed"
    ),
    "encrypted": (in_directory(8, b"\1"), "compressed or encrypted"),
    "lying size": (in_directory(20, b"\xfe\xff\xff\xff" * 2), "declares more data than it has"),
    "two lengths": (in_directory(20, b"\1\0\0\0"), "declares more data than it has"),
    "short data": (archive(under_model(tensor()), {"0": b"\0" * 3}), "1 items for 3 bytes"),
    "long data": (archive(under_model(tensor()), {"0": b"\0" * 5}), "1 items for 5 bytes"),
    "more data": (archive(under_model(tensor()), {"0": b"\0" * 4, "1": b""}), "at '1'"),
    "checksum": (in_directory(16, b"\1"), "another checksum"),
    "checksum of the pickle": (patched(b"model", b"modem"), "CRC"),
    "far data": (in_directory(42, b"\xff\xff\0\0"), "overlap"),
    "data elsewhere": (in_directory(42, b"\0\0\0\0"), "no entry 'archive/data/0' where"),
    "other name": (patched(b"archive/data/0", b"archive/data/1"), "no entry 'archive/data/0'"),
    "overlapping": (overlapping, "overlap"),
    "data between": (gap(1), "overlap, or data between"),
    "data behind": (
        changed(GOOD_ARCHIVE, lambda content: content + b"PK\5\6" + b"\0" * 18),
        "data behind its entries",
    ),
    "junk behind": (changed(GOOD_ARCHIVE, lambda content: content + b"x" * 30), "data behind"),
    "data before the directory": (
        changed(
            GOOD_ARCHIVE,
            lambda content: content.replace(b"PK\1\2", b"x" * 30 + b"PK\1\2", 1),
        ),
        "no entry 'archive/data.pkl' where",
    ),
    "archive before archive": (
        changed(GOOD_ARCHIVE, lambda content: b"PK\3\4" + b"x" * 40 + content), "overlap"
    ),
    "comment": (with_comment, "a comment"),
    "same name twice": (same_name_twice, "entries of the same name"),
    "similar names": (archive(dumps(GOOD), **{"DATA.pkl": dumps(GOOD)}), "of the same name"),
    "zip slip": (archive(dumps(GOOD), before=[f"../{SENTINEL}"]), "no data.pkl"),
    "many entries": (
        archive(dumps(GOOD), before=[f"x/{k}" for k in range(20_000)]), "no data.pkl"
    ),
    "no data.pkl": (
        changed(GOOD_ARCHIVE, lambda content: content.replace(b"data.pkl", b"data.pk_")),
        "no data.pkl",
    ),
    "huge pickle": (archive(b"\x80\x02]" + b"0" * 2**26), "data.pkl is larger than 67108864"),
    "big-endian": (archive(dumps(GOOD), byteorder="big"), "another byte order"),
    "other byte order": (archive(dumps(GOOD), byteorder="middle"), "another byte order"),
    "no entries": (lambda path: zipfile.ZipFile(path, "w").close(), "no zip archive"),
    "cut archive": (changed(GOOD_ARCHIVE, lambda content: content[:-40]), "not a zip file"),
    "bare pickle": (lambda path: path.write_bytes(dumps(Bomb())), "no zip archive"),
    "pickle before archive": (
        changed(GOOD_ARCHIVE, lambda content: dumps(Bomb()) + content), "no zip archive"
    ),
    "empty": (lambda path: path.write_bytes(b""), "no zip archive"),
}  # fmt: skip

# --- the layout before PyTorch 1.6

MAGIC = dumps(0x1950A86A20F9469CFC6C)
PROTOCOL = dumps(1001)
SIZES = {"short": 2, "int": 4, "long": 4}
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": SIZES}


def write_legacy(
    path, content, data=None, *, magic=MAGIC, protocol=PROTOCOL, system=None, keys=None, end=b""
):
    """Write a file; `data` are the numbers of items and the bytes of each storage."""
    if data is None:
        data = {key: (1, value) for key, value in data_of(content).items()}
    pickles = magic, protocol, system or dumps(SYSTEM), content, keys or dumps(list(data))
    storages = (struct.pack("<q", n_items) + value for n_items, value in data.values())
    written = b"".join(pickles).replace(NO_VIEW, b"N")
    path.write_bytes(b"".join((written, *storages, end)))


def legacy(content=None, data=None, **changes):
    content = under_model(tensor()) if content is None else content
    return lambda path: write_legacy(path, content, data, **changes)


def viewed(*views, n_items=2):
    """Make tensors of views of one storage."""
    parts = [tensor(data=storage(n_items, view=part)) for part in views]
    return legacy(under_model(b"(" + b"".join(parts) + b"t"), {"0": (n_items, b"\0" * 4 * n_items)})


def cut(n_bytes):
    return changed(legacy(), lambda content: content[:n_bytes])


OF_TENSORS = "list of storages is not that of its tensors"
FILES = {
    "magic": (legacy(magic=dumps(0x1950A86A20F9469CFC6D)), "no zip archive"),
    "code as magic": (legacy(magic=dumps(Bomb())), "no zip archive"),
    "magic cut": (cut(14), "no zip archive"),
    "protocol": (legacy(protocol=dumps(1002)), "magic number or protocol"),
    "code as protocol": (legacy(protocol=dumps(Bomb())), "Python object"),
    "big-endian": (
        legacy(system=dumps(SYSTEM | {"little_endian": False})), "other type sizes"
    ),
    "type sizes": (
        legacy(system=dumps(SYSTEM | {"type_sizes": SIZES | {"long": 8}})), "other type sizes"
    ),
    "system, no dict": (legacy(system=dumps([1])), "other type sizes"),
    "system, deep": (
        legacy(system=b"\x80\x02}" + text("type_sizes") + b")" + b"\x85" * 10**5 + b"s."),
        "other type sizes",
    ),
    "code as system": (legacy(system=dumps(SYSTEM | {"x": Bomb()})), "Python object"),
    "empty pickle": (legacy(b""), "pickle exhausted"),
    "five items": (
        changed(legacy(), lambda content: content.replace(b"NtQ", b"tQ")), "other than the data"
    ),
    "code as keys": (legacy(keys=dumps([Bomb()])), "Python object"),
    "keys, no list": (legacy(keys=dumps({"0": 1})), "no list of storages"),
    "keys, tuple": (legacy(keys=dumps(("0",))), "no list of storages"),
    "keys, numbers": (legacy(keys=dumps([0])), "no list of storages"),
    "keys, deep": (legacy(keys=b"\x80\x02])" + b"\x85" * 10**5 + b"a."), "no list of storages"),
    "no keys": (legacy(keys=dumps([])), OF_TENSORS),
    "key twice": (legacy(keys=dumps(["0", "0"])), OF_TENSORS),
    "another key": (legacy(keys=dumps(["0", "1"])), OF_TENSORS),
    "other key": (legacy(keys=dumps(["1"])), OF_TENSORS),
    "tensor in the keys": (legacy(keys=b"\x80\x02]" + tensor() + b"a."), "other than the data"),
    "count": (legacy(data={"0": (2, b"\0" * 4)}), "another number of items for the storage '0'"),
    "negative count": (legacy(data={"0": (-1, b"\0" * 4)}), "another number of items"),
    "huge count": (legacy(data={"0": (2**62, b"\0" * 4)}), "another number of items"),
    "short data": (legacy(data={"0": (1, b"\0" * 3)}), "1 items, but is cut off"),
    "long data": (legacy(data={"0": (1, b"\0" * 5)}), "goes on for 1 bytes behind its end"),
    "junk behind": (legacy(end=b"x" * 100), "goes on for 100 bytes behind its end"),
    "twice": (changed(legacy(), lambda content: content * 2), "bytes behind its end"),
    "code behind": (legacy(end=dumps(Bomb())), "behind its end"),
    "pickle more": (legacy(dumps(GOOD) + dumps(GOOD)), "no list of storages"),
    "two storages cut": (
        legacy(
            under_model(tensor() + tensor(data=storage(key="1")) + b"\x86"),
            {"0": (1, b"\0" * 4), "1": (1, b"")},
        ),
        "1 items, but is cut off",
    ),
    "view, beyond": (viewed(view(first=2)), "from item 2 to 3 of a storage of 2 items"),
    "view, huge": (viewed(view(n_items=2**62)), "of a storage of 2 items"),
    "view, negative": (viewed(view(first=-1)), "other than the data"),
    "view, size": (viewed(view(n_items=-1)), "other than the data"),
    "view, key": (viewed(view(key="0")), "'0' in two ways"),
    "view, two ways": (viewed(view(), view(first=1)), "'v' in two ways"),
    "view of a view": (
        legacy(
            under_model(
                tensor(data=storage(view=view())) + tensor(data=storage(key="v")) + b"\x86"
            ),
            {"0": (1, b"\0" * 4), "v": (1, b"\0" * 4)},
        ),
        "'v' in two ways",
    ),
    "view, short": (viewed(integer(0) + b"\x85"), "other than the data"),
    "view, number": (viewed(integer(0)), "other than the data"),
    "view, tensor beyond": (
        legacy(
            under_model(tensor((2,), data=storage(2, view=view(first=1)))), {"0": (2, b"\0" * 8)}
        ),
        r"shape \(2,\) for 1 items",
    ),
    "huge pickle": (legacy(b"\x80\x02]" + text("x" * 2**26) + b"0."), "larger than 67108864"),
    "pickles cut": (cut(len(MAGIC + PROTOCOL) + 40), "remain|exhausted"),
    "system cut": (cut(len(MAGIC + PROTOCOL)), "exhausted"),
    "content cut": (cut(len(MAGIC + PROTOCOL + dumps(SYSTEM))), "exhausted"),
    "data cut": (cut(-1), "1 items, but is cut off"),
    "count cut": (cut(-10), "another number of items"),
}  # fmt: skip

CHECKPOINTS = {
    **{f"zip, {name}": (archive(content), fault) for name, (content, fault) in PICKLES.items()},
    **{f"zip, {name}": case for name, case in ARCHIVES.items()},
    **{f"legacy, {name}": (legacy(content), fault) for name, (content, fault) in PICKLES.items()},
    **{f"legacy, {name}": case for name, case in FILES.items()},
}
