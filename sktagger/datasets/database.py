"""Read databases of audio clips and their events into ``X`` and ``Y``.

The format is that of padertorch [1]_::

    {"datasets": {"eval": {"clip_7": {"audio_path": "eval/7.wav",
                                      "audio_length": 10.0,
                                      "events": ["Rain", "Siren"]}}}}

A Parquet file can contain the same, see :func:`load_database`. Audio files are not opened, except
for their headers if a length is needed that the database does not state, or a section is in
seconds.

References
----------
.. [1] J. Ebbers et al., padertorch, ``contrib/examples/sound_recognition/audio_tagging``.
   https://github.com/fgnt/padertorch
"""

from __future__ import annotations

import os

from sktagger.datasets._check import check_content, check_inside
from sktagger.datasets._database import Database
from sktagger.datasets._reading import load_content

__all__ = ["Database", "load_database"]


def load_database(
    path: str | os.PathLike[str],
    *,
    training_set: str = "balanced_train",
    root: str | os.PathLike[str] | None = None,
) -> Database:
    """Read and check a database of clips and events, in JSON or Parquet.

    A JSON file contains ``{"datasets": {name: {example_id: example}}}`` in UTF-8. The keys of an
    example:

    ``audio_path`` : str
        The audio file, relative to the folder of the database file, or absolute. A URI, a path with
        ``~``, and a Windows path on another system are errors, unless a file has this name.
    ``events`` : list of distinct str of 1 to 999 characters
        The events in the clip. The list may be empty.
    ``audio_length`` : number above 0, optional
        Length of the clip in seconds. If given, it is trusted and the header of the file is not
        read.
    ``audio_start_samples``, ``audio_stop_samples`` : integers, optional
        The clip is this section of the file, with ``0 <= start < stop``, in samples at the sample
        rate of the file. The default of start is 0, the default of stop is the end of the file.
    ``audio_start``, ``audio_stop`` : numbers, optional
        The same in seconds, instead of samples. They are rounded to the nearest sample. A section
        that ends up to 10 ms after its file, because seconds were rounded, ends with the file.
    any other key
        Kept, see :meth:`Database.table`.

    An optional key may be ``null``, which has the same effect as leaving it out.

    A Parquet file, as :meth:`Database.save` writes it, has one row per clip with the columns
    ``dataset``, ``example_id`` and the keys above, which are null where a clip lacks them.

    Parameters
    ----------
    path : str or PathLike
        The JSON file, or a Parquet file whose name ends with ``.parquet`` or ``.pq``; ``~`` is
        expanded. The audio files may be missing.
    training_set : str, default="balanced_train"
        Name of the data set that a tagger is trained on. Its events are the columns of ``Y`` for
        all sets. The database may lack this set.
    root : str, PathLike or None, default=None
        Folder that must contain all audio files, after following symbolic links; ``~`` is
        expanded. Use it for databases from others, which could otherwise name any file on this
        machine. Links are followed when the database is read. None: files may be anywhere.

    Returns
    -------
    Database
        The database, with absolute audio paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no such folder `root`.
    ValueError
        If the file is not such a database. The message names the place, or the format that the
        file seems to have (JSON Lines, CSV, Excel, Parquet, YAML, ...). Also if a key occurs
        twice, a number is NaN or does not fit into 64 bits, or an audio file lies outside `root`.
    TypeError
        If `path` or `root` is not a path.
    ImportError
        If it is a Parquet file, and pyarrow is not installed.

    See Also
    --------
    sktagger.datasets.make_scenes : Write a database of synthetic scenes.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> clip = {"audio_path": "eval/7.wav", "audio_length": 10.0, "events": ["Rain", "Siren"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "scenes.json")
    ...     _ = file.write_text(json.dumps({"datasets": {"eval": {"clip_7": clip}}}))
    ...     db = load_database(file)
    >>> db
    <Database scenes.json, clips: 1 in eval>
    >>> X, Y = db.to_xy("eval")
    >>> Y
                Rain  Siren
    example_id
    clip_7         1      1
    """
    path, content = load_content(path)
    sets = check_content(path, content)
    if root is not None:
        check_inside(path, sets, root)
    return Database(path, sets, training_set)
