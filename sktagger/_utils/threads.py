"""Call a function in threads, ahead of the consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    n_threads: int,
    *,
    initializer: Callable[[], object] | None = None,
    size: Callable[[Item], float] | None = None,
    max_size: float = np.inf,
) -> Iterator[Result]:
    """Call a function on items in threads, ahead of the consumer.

    Parameters
    ----------
    function : callable
        Called with one item at a time.
    items : iterable
        Consumed lazily, at most as many items ahead as there are threads.
    n_threads : int
        Number of threads, at least 1.
    initializer : callable or None, default=None
        Called once in each thread.
    size : callable or None, default=None
        Returns the size of an item. None: every size is 0.
    max_size : float, default=inf
        Maximum total size of the items that are being processed or waiting. A single item may
        be larger.

    Yields
    ------
    object
        ``function(item)``, in the order of `items`. If the next item raises an error, it is raised
        after the results for the earlier ones.
    """
    with ThreadPoolExecutor(n_threads, "sktagger-loader", initializer) as pool:
        futures, sizes = deque(), deque()
        failure, items = None, iter(items)
        try:
            while True:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
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
            if failure is not None:
                raise failure
        finally:
            for future in futures:
                future.cancel()
