"""Let all threads of a process use the same CUDA graphs of compiled code.

PyTorch keeps its CUDA graphs for each thread. Up to version 2.12 compiled code fails in a thread that Python started,
unless it is the one that loaded the compiler; later versions record each graph, and take its memory, once for each
thread. The shards of a run are drawn in turn by several threads, never at the same time, so one set of graphs serves
all. See https://github.com/pytorch/pytorch/issues/123177.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import Any

import torch

logger = logging.getLogger(__name__)

_shared: dict[str, Any] = {"tree_manager_containers": {}, "tree_manager_locks": defaultdict(threading.Lock)}
_is_shared = threading.local()


def share_cuda_graphs(device: torch.device) -> None:
    """Let this thread use the graphs that all threads share; only CUDA has any.

    The threads that run the way back of a training take what the thread that starts them has.
    """
    if device.type != "cuda" or getattr(_is_shared, "done", False):
        return
    _is_shared.done = True
    try:
        share_with_this_thread()
    except (ImportError, AttributeError) as error:  # a version of PyTorch that keeps them in another way
        logger.debug("this thread has CUDA graphs of its own: %s", error)


def share_with_this_thread() -> None:
    """Give this thread the graphs that all threads share."""
    from torch._inductor import cudagraph_trees

    if getattr(cudagraph_trees.local, "tree_manager_containers", None):
        return  # it has graphs already, of other code
    for name, value in _shared.items():
        setattr(cudagraph_trees.local, name, value)
        torch._C._stash_obj_in_tls(name, value)
