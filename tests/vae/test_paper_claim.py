"""The paper's claim on real images, from the command line to the metrics: the dual reconstructs better than KL."""

import json

import pytest
import torch

from vae.train import main


@pytest.fixture
def one_thread():
    """Uses one thread, because on a busy machine two mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_the_dual_at_alpha_0_4_reconstructs_test_images_better_than_kl_after_2_epochs(tmp_path, one_thread):
    reconstruction = {}
    for divergence in ("kl-qp", "jsg-dual"):
        folder = tmp_path / divergence
        assert main(["--divergence", divergence, "--alpha", "0.4", "--epochs", "2", "--out", str(folder)]) == 0
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        test = [row["reconstruction"] for row in rows if row["split"] == "test"]
        assert test == sorted(test, reverse=True)  # every epoch learns, so early
        reconstruction[divergence] = test[-1]
    # 67.65 against 77.16 with this seed, 61.85 against 72.22 and 59.81 against 67.30 with seeds 1 and 2.
    assert reconstruction["jsg-dual"] < reconstruction["kl-qp"]
