"""Checkpoints of earlier formats, written as the versions of sktagger wrote them that used them.

The code of format 2 is a copy from the last version that wrote it; do not change it. Its record of
the training is what that version noted for :func:`format_2_training`, word for word.
"""

import os

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback

SETTINGS_2 = {"sample_rate": 2000, "batch_size": 3, "max_epochs": 3, "random_state": 0}
_RECORD_2 = {
    "settings": {
        "batch_size": 3,
        "class_weight": None,
        "fmin": 50.0,
        "freeze": None,
        "gradient_clip": 60.0,
        "loss": "auto",
        "lr": 0.002,
        "max_epochs": 3,
        "max_iterations": None,
        "patience": None,
        "pooling": "linear_softmax",
        "precision": "auto",
        "sample_rate": 2000,
        "sampler": None,
        "schedule": "one_cycle",
        "validate_every": None,
        "validation_fraction": None,
        "weight_decay": 0.01,
        "stft": {"hop_length": 40, "n_fft": 128, "win_length": 80, "window": "blackman"},
        "augmentation": {
            "gain_limit": 3.0,
            "gain_mean": 0.0,
            "gain_std": 1.0,
            "mel_mask": 20,
            "mixup_delay": 0,
            "mixup_max_length": 15.0,
            "mixup_overlap": 0.8,
            "mixup_prob": 0.5,
            "refine": 0.2,
            "roll_prob": 1.0,
            "stretch": 0.5,
            "time_mask": 0.2,
            "time_mask_frames": 70,
            "warp_std": 0.07,
        },
        "init_from": None,
    },
    "seed": 209652396,
    "began": 0,
    "events": ["rain", "siren"],
    "events_dtype": "object",
    "multilabel": True,
}
_DIGESTS_2 = [
    [-8869441361303565795, 8926514249538358573],
    [-992659261391286028, -4516391431033248641],
    [-6899248788658819757, 7366943070567701668],
    [8054029001345456821, 8926514249538358573],
    [6780548784913018516, -4516391431033248641],
    [-5498724231443498064, 7366943070567701668],
]


def format_2_training():
    """Give clips and events of the training of the record: to train on, and to validate on."""
    X = ((np.arange(6 * 2000) * 7919 % 1009) / 504 - 1).astype(np.float32).reshape(6, 2000)
    Y = pd.DataFrame([[1, 0], [0, 1], [1, 1]] * 2, columns=["rain", "siren"])
    return X, Y, X[:4], Y[:4]


class WriteFormat2(Callback):
    """Writes ``latest.pt`` and ``best.pt`` of format 2; raises KeyboardInterrupt after an epoch."""

    def __init__(self, dirname, *, last_epoch, validated=True):
        self.dirname = dirname
        self.last_epoch = last_epoch
        self.validated = validated

    def on_epoch_end(self, net, dataset_train, **kwargs):
        row = net.history[-1]
        if not row["n_iterations"]:
            return
        clips = {"training": torch.tensor(_DIGESTS_2)}
        if self.validated:
            clips["validation"] = torch.tensor(_DIGESTS_2[:4])
        plan = dataset_train.plan
        latest = {
            "format": 2,
            "model": net.module_.state_dict(),
            "n_iterations": row["n_iterations"],
            "training": {**_RECORD_2, "clips": clips},
        }
        if row.get("valid_mAP_best", True):
            torch.save(latest, os.path.join(self.dirname, "best.pt"))
        latest |= {
            "optimizer": net.optimizer_.state_dict(),
            "plan": {
                "seed": plan.seed,
                "epoch": plan.epoch,
                "step": plan.step,
                "iteration": plan.iteration,
            },
            "history": [self._plain(row) for row in net.history],
            "n_clips": len(dataset_train.dataset),
            "ended": dataset_train.n_left == 0,
        }
        torch.save(latest, os.path.join(self.dirname, "latest.pt"))
        if row["n_epochs"] == self.last_epoch:
            raise KeyboardInterrupt

    def _plain(self, row):
        values = {key: x.item() if isinstance(x, np.generic) else x for key, x in row.items()}
        kept = {key: x for key, x in values.items() if isinstance(x, str | int | float | None)}
        return {**kept, "batches": []}


def as_format_1(path):
    """Rewrite a checkpoint of format 2 as one of format 1, which had no record and no seed."""
    checkpoint = torch.load(path, weights_only=True)
    for key in ("training", "n_clips", "ended"):
        checkpoint.pop(key, None)
    if "plan" in checkpoint:
        del checkpoint["plan"]["seed"]
    torch.save(checkpoint | {"format": 1}, path)
