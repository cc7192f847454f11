"""What a whole process shares, and library code leaves alone; imports nothing of sktagger."""

import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy as np
import sklearn
import torch
from threadpoolctl import threadpool_info
from tqdm import TMonitor


def global_state():
    root, own = logging.getLogger(), logging.getLogger("sktagger")
    matplotlib = sys.modules.get("matplotlib")
    return {
        "threads of PyTorch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "threads of libraries": {
            library["filepath"]: library["num_threads"] for library in threadpool_info()
        },
        # tqdm has a monitor of all bars of a process
        "threads of Python": [t.name for t in threading.enumerate() if not isinstance(t, TMonitor)],
        "default dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "PyTorch's random numbers": torch.get_rng_state().tolist(),
        "NumPy's random numbers": repr(np.random.get_state(legacy=False)),  # noqa: NPY002
        "Python's random numbers": random.getstate(),
        "flags of PyTorch": (
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.enabled,
            torch.backends.mkldnn.enabled,
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
        ),
        "NumPy's errors": np.geterr(),
        "scikit-learn's settings": sklearn.get_config(),
        "warnings": list(warnings.filters),
        "logging": [(log.level, list(log.handlers), log.propagate) for log in (root, own)],
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "search path": list(sys.path),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "backend": matplotlib and matplotlib.rcParams._get("backend"),
    }
