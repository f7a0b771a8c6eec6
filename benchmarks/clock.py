"""Clocks that measure the time and memory of a function: `CudaClock` by CUDA events, `CpuClock` by the host's clock.

Times are in seconds, one per run, in the order of the runs.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch


def quantiles(times):
    """The 20 %, 50 % and 80 % quantiles."""
    return dict(zip(("q20", "median", "q80"), np.quantile(times, (0.2, 0.5, 0.8)).tolist(), strict=True))


@dataclass
class CudaClock:
    device: torch.device
    seconds: float = 0.3  # total time of the runs of one measurement
    replayed_calls: int = 100  # in one graph
    host_calls: int = 50  # between two readings of the clock

    def __post_init__(self):
        l2 = torch.cuda.get_device_properties(self.device).L2_cache_size
        self.flushed = torch.empty(4 * l2, dtype=torch.uint8, device=self.device)

    def cold(self, function):
        """Times calls whose data is not in the L2 cache: a buffer larger than the cache is written before each call."""
        for _ in range(3):
            function()
        (estimate,) = self._between_events(function, 1)
        return self._between_events(function, min(max(int(self.seconds / estimate), 10), 100))

    def _between_events(self, function, runs, flush=True):
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
        for start, end in events:
            if flush:
                self.flushed.zero_()
            start.record()
            function()
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) / 1e3 for start, end in events]

    def replayed(self, function):
        """Times calls inside a CUDA graph, without the host.  A graph has many calls, since its launch takes time."""
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                function()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(self.replayed_calls):
                function()
        graph.replay()
        return [t / self.replayed_calls for t in self._between_events(graph.replay, 30, flush=False)]

    def host(self, function):
        """Times a call on the host, which issues many calls and waits for none."""
        times = []
        for _ in range(20):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(self.host_calls):
                function()
            times.append((time.perf_counter() - start) / self.host_calls)
        torch.cuda.synchronize()
        return times[2:]  # the first ones warm up

    def peak(self, function):
        """The peak of the bytes that a call allocates, including its results."""
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        function()
        return torch.cuda.max_memory_allocated(self.device) - before

    def launches(self, function):
        """The number of kernels, copies and fills that a call launches on the device."""
        function()
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            function()
            torch.cuda.synchronize()
        events = (event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA)
        return sum(event.name != "Context Sync" for event in events)


@dataclass
class CpuClock:
    """The same measurements without a GPU; None for those that need a GPU."""

    device: torch.device
    runs: int = 1

    def cold(self, function):
        times = []
        for _ in range(self.runs):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return times

    replayed = host = cold

    def peak(self, function):
        return None

    launches = peak
