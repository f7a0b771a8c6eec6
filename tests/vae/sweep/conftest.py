"""A scheduler whose worker is a thread of the test process, so that what a test replaces is replaced for it, too."""

import pytest
from distributed import LocalCluster

from vae.sweep.engine import SILENT


@pytest.fixture
def scheduler():
    options = {"protocol": "tcp://", "dashboard_address": "127.0.0.1:0", "silence_logs": SILENT}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **options) as cluster:
        yield cluster.scheduler_address
