"""Made clips with two kinds of tones, and when they are heard."""

import numpy as np
import pandas as pd

RATE = 2000


def make_tones(n_clips=8, seed=0):
    """Clips of 1 s at 2 kHz, their weak labels, and a table of onsets and offsets."""
    rng = np.random.default_rng(seed)
    X, Y, rows = rng.normal(0, 0.1, (n_clips, RATE)), [], []
    time = np.arange(RATE) / RATE
    for clip in range(n_clips):
        Y.append([int(clip % 2 == 0), int(clip % 4 < 2)])
        for event, occurs, pitch in zip("ab", Y[-1], (200, 600), strict=True):
            if occurs:
                onset = round(float(rng.uniform(0, 0.5)), 2)
                inside = (time >= onset) & (time < onset + 0.4)
                X[clip, inside] += np.sin(2 * np.pi * pitch * time[inside])
                rows.append((clip, onset, onset + 0.4, event))
    events = pd.DataFrame(rows, columns=["clip", "onset", "offset", "event"])
    return X.astype(np.float32), pd.DataFrame(Y, columns=["a", "b"]), events
