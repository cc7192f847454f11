"""Calling a function in threads, ahead of the consumer."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def prefetch(
    function, items, n_threads: int, *, initializer=None, size=None, max_size: float = np.inf
):
    """Call a function on items in threads, ahead of the consumer.

    Parameters
    ----------
    function : callable
    items : iterable
        Consumed lazily, only as far ahead as there are threads.
    n_threads : int
        Number of threads, at least 1.
    initializer : callable or None, default=None
        Called once in each thread.
    size : callable or None, default=None
        Gives the size of an item. None: all have a size of 0.
    max_size : float, default=inf
        Greatest size of all items at work or waiting together; a single one may be larger.

    Yields
    ------
    object
        ``function(item)`` in the order of `items`.
    """
    with ThreadPoolExecutor(n_threads, "sktagger-loader", initializer) as pool:
        futures, sizes = deque(), deque()
        try:
            for item in items:
                item_size = 0 if size is None else size(item)
                while futures and sum(sizes) + item_size > max_size:
                    sizes.popleft()
                    yield futures.popleft().result()
                futures.append(pool.submit(function, item))
                sizes.append(item_size)
                if len(futures) > n_threads:
                    sizes.popleft()
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()
