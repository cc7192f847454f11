"""Checkpoints: written whole or not at all, read without running code, checked before use."""

import io
import math

import torch

from sktagger._utils.files import expand_path, replacing
from sktagger.networks import check_state
from sktagger.training._checkpoint_file import check_checkpoint_file
from sktagger.training._file_kinds import is_safetensors
from sktagger.training._record import check_record, differences, upgrade_record

CHECKPOINT_FORMAT = 3
_UNTOLD = 1  # the format that did not say which training a checkpoint belongs to


def save_checkpoint(checkpoint: dict, path) -> None:
    """Write a checkpoint; an interruption leaves an earlier one whole.

    Parameters
    ----------
    checkpoint : dict
        Tensors, numbers, strings, and lists and dicts of them.
    path : str or PathLike
    """
    content = io.BytesIO()  # PyTorch's own errors of a full disk name neither disk nor file
    torch.save(checkpoint, content)
    with replacing(path) as file:
        file.write(content.getbuffer())


def load_checkpoint(path) -> dict:
    """Read a checkpoint; nothing in it is executed.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : str or PathLike
        A file that PyTorch 1.6 or later wrote.

    Returns
    -------
    dict
        On the CPU. Only that it holds tensors and plain data is known of it, not which.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds anything but tensors and plain data.
    """
    path = expand_path(path)
    if path.is_dir():
        raise ValueError(
            f"Checkpoint {str(path)!r} is a directory. WALNetTagger.load reads that of an "
            "experiment; give one of its files here."
        )
    if not path.is_file():
        raise FileNotFoundError(f"Checkpoint {str(path)!r} does not exist.")
    if is_safetensors(path):
        raise ValueError(
            f"{str(path)!r} is no checkpoint, but looks like a saved tagger: WALNetTagger.load or "
            "TunedThresholdTagger.load read it."
        )
    try:
        with open(path, "rb") as file:
            check_checkpoint_file(file)
            file.seek(0)
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(checkpoint, dict):
                raise ValueError(f"it holds no dict, but a {type(checkpoint).__name__}")
            return checkpoint
    except Exception as error:
        what, *_ = str(error).splitlines() or ["no reason given"]
        raise ValueError(
            f"Checkpoint {str(path)!r} cannot be read as tensors and plain data "
            f"({type(error).__name__}: {what}). It is damaged, or holds what is refused because "
            "loading it could run code, or fill the memory. Save it anew, as a dict of tensors, "
            "numbers and strings, from a program that you trust with it."
        ) from error


def find_record(checkpoint: dict, source: str, *, of: dict | None = None) -> dict | None:
    """Give the record of the training that a checkpoint belongs to, checked.

    Parameters
    ----------
    checkpoint : dict
        What :func:`load_checkpoint` gave.
    source : str
        The file, for messages.
    of : dict or None, default=None
        Record of the training that it must belong to, if it tells one.

    Returns
    -------
    dict or None
        None: an earlier version of sktagger wrote it, which did not note it.

    Raises
    ------
    ValueError
        If it is of another format, has no such record, or that of another training.
    """
    require = _requirements(source)
    version = checkpoint.get("format")
    require(
        _is_count(version) and 0 < version <= CHECKPOINT_FORMAT,
        "format",
        f"1 to {CHECKPOINT_FORMAT}, those that this version of sktagger reads",
    )
    require(_is_count(checkpoint.get("n_iterations")), "n_iterations", "an integer from 0 up")
    if version == _UNTOLD:
        return None
    record = checkpoint.get("training")
    if version == 2:
        record = upgrade_record(record)
    check_record(record, require)
    if of is not None:
        others = "; ".join(differences(of, record))
        require(not others, "training", f"the training of latest.pt (they differ: {others})")
    return record


def check_resumable(checkpoint: dict, net, source: str, *, validated: bool) -> None:
    """Check all that continuing a training takes from a checkpoint.

    Parameters
    ----------
    checkpoint : dict
        What :func:`load_checkpoint` gave, after :func:`find_record`.
    net : skorch.NeuralNet
        Initialised; it is not changed.
    source : str
        The file, for messages.
    validated : bool
        Whether the training validates.

    Raises
    ------
    ValueError
        If something is missing, of a wrong type or out of range, or a tensor does not fit or
        holds NaN or infinity; the message names file and place.
    """
    require = _requirements(source)
    plan = checkpoint.get("plan")
    require(
        isinstance(plan, dict)
        and plan.keys() | {"seed"} == {"seed", "epoch", "step", "iteration"}
        and all(map(_is_count, plan.values())),
        "plan",
        "seed, epoch, step and iteration, integers from 0 up",
    )
    n_clips = checkpoint.get("n_clips")  # which the first checkpoints lack
    require(n_clips is None or _is_count(n_clips), "n_clips", "an integer from 0 up")
    rows = checkpoint.get("history")
    require(
        isinstance(rows, list) and all(_is_row(row, validated) for row in rows),
        "history",
        "a list of rounds with n_epochs, n_iterations and, in a training that validates, valid_mAP "
        "and valid_loss",
    )
    require(
        not validated or any(row["valid_mAP_best"] for row in rows),
        "history",
        "a round with the best valid_mAP",
    )
    check_state(checkpoint.get("model"), net.module_.state_dict(), source)
    _check_optimizer(checkpoint.get("optimizer"), net.optimizer_, source, require)


def _requirements(source):
    """Make the function that raises unless something holds at a place of a checkpoint."""

    def require(holds, place, allowed):
        if not holds:
            raise ValueError(
                f"{source}, at {place}: allowed is {allowed}. The file is no checkpoint of this "
                "training, or is damaged: take it away to start anew."
            )

    return require


def _check_optimizer(given, optimizer, source, require):
    own = optimizer.state_dict()
    groups = given.get("param_groups") if isinstance(given, dict) else None
    require(
        isinstance(groups, list)
        and len(groups) == len(own["param_groups"])
        and all(map(_is_like_group, groups, own["param_groups"]))
        and isinstance(given.get("state"), dict),
        "optimizer",
        "the state of AdamW for these weights",
    )
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for index, averages in given["state"].items():
        require(_is_count(index) and index < len(weights), "optimizer", "state of these weights")
        weight = weights[index]
        expected = {"step": torch.tensor(0.0), "exp_avg": weight, "exp_avg_sq": weight}
        check_state(averages, expected, f"{source}, at optimizer, weight {index}")


def _is_like_group(group, own):
    """Say whether settings of an optimiser are its own, but for the values of numbers."""
    if not isinstance(group, dict) or not own.keys() <= group.keys():
        return False
    for name, value in group.items():
        if type(own.get(name, 0)) in (int, float):
            if not (type(value) in (int, float) and 0 <= value < math.inf):
                return False
        elif type(value) is not type(own[name]) or value != own[name]:
            return False
    return True


def _is_row(row, validated):
    return (
        isinstance(row, dict)
        and _is_count(row.get("n_epochs"))
        and _is_count(row.get("n_iterations"))
        and row.get("batches") == []
        and (not validated or type(row.get("valid_mAP")) is float)
        and (not validated or type(row.get("valid_loss")) is float)
        and (not validated or type(row.get("valid_mAP_best")) is bool)
    )


def _is_count(value):
    return type(value) is int and 0 <= value < 2**63
