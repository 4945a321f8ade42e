"""Set the processor and the allocator up: no denormal numbers, large pages of memory, and little of it kept."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Count numbers below 1.2e-38 as 0 inside this block, as a GPU does; outside, the thread's own way stays.

    A gradient that flows back over 200 words fades into such numbers, which take a processor up to 100 times as long.
    They are too small to move any weight: Adam adds 1e-8 to what it divides them by. Threads that torch starts inside
    take this on for good; those that it has started before keep to their own way.
    """
    before = _flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def set_up_for_training() -> None:
    """Set the allocator of this process up for a training, before its first tensor."""
    use_huge_pages()
    keep_few_kernels()
    give_back_large_arrays()


def use_huge_pages() -> None:
    """Ask Linux for pages of 2 MiB under every large tensor of this process, if it has not made one yet.

    The arrays of a step are large and fetched anew at every step; in pages of 4 KiB that takes a fifth of the time.
    torch reads its own switch for this when it makes its first tensor. Elsewhere than on Linux it means nothing.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_few_kernels() -> None:
    """Have oneDNN keep what it compiled for the last 128 shapes of batches, not for 1,024, if it was not used yet.

    Every length and number of reviews is a shape of its own: a process that answers or validates for long would grow
    by 0.1 (float32) to 0.3 MB (bfloat16) with each. 128 are enough for all `LENGTHS` of a trial on short reviews.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")


def give_back_large_arrays() -> None:
    """Have glibc give arrays of 12 MiB and more a place of their own, which is the system's again once they are freed.

    By itself it raises that size to 32 MiB, and the arrays of a step below it tear the heap into pieces that the next
    step's do not fit into: 80 MB at the course's setting on IMDB (see benchmarks/RESULTS.md), at the same speed.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, 12 * 2**20)
        set_option(_M_TRIM_THRESHOLD, 64 * 2**20)  # what glibc takes by itself, if it is not told of the other


def give_back_memory() -> None:
    """Hand what the last trial freed back to the system."""
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Hand what was freed back to the system; glibc would keep it, in pieces that the next batch does not fit into."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def _flushes_denormals() -> bool:
    return bool(torch.full((1,), 1e-40) == 0)
