"""Models that are trained as one program take the steps they take alone."""

import contextlib
import dataclasses
import io
import json
import math
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from tqdm import tqdm

import vae.model
import vae.sweep.stacked
import vae.training.steps
from jsgmath.torch import autograd
from vae.data import load
from vae.objective import prepare_backend
from vae.sweep.stacked import Stack, train_together
from vae.training.measure import evaluate, mean_terms
from vae.training.settings import Settings
from vae.training.steps import Batch, NotFinite, Recorded, train_epoch, train_step
from vae.training.training import Training, adam

# Every kind of objective, two of some kinds, in no order; skews, weights and seeds of their own.
CELLS = [
    {"divergence": "jsg", "alpha": 0.1},
    {"divergence": "mmd", "weight": 500.0},
    {"divergence": "jsg-dual", "alpha": 0.4, "seed": 5},
    {"divergence": "jsg", "alpha": 0.5, "learn_alpha": True},
    {"divergence": "kl-qp", "weight": 4.0, "seed": 7},
    {"divergence": "jsg-dual", "alpha": 0.3, "learn_alpha": True},
    {"divergence": "jsg", "alpha": 0.6, "learn_alpha": True, "seed": 5},
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The paper's network at an eighth of its width, a tenth of the work; test_sweep.py stacks the whole network."""
    monkeypatch.setattr(vae.model, "CHANNELS", 4)
    monkeypatch.setattr(vae.model, "HIDDEN", 32)


@pytest.fixture(scope="module")
def few():
    """Real images, but 18 + 50 of them: four whole batches of 4 and a part of one."""
    whole = load("fashion-mini")
    return dataclasses.replace(
        whole,
        train_images=whole.train_images[:18],
        test_images=whole.test_images[:50],
        test_labels=whole.test_labels[:50],
    )


@pytest.fixture
def start(tmp_path, few):
    """Starts the run of each cell; any of them may be started again, elsewhere."""
    with contextlib.ExitStack() as folders:

        def start(cells=CELLS, folder="together", **options):
            settings = [Settings(**({"batch_size": 4} | cell | options)) for cell in cells]
            return [
                folders.enter_context(
                    Training(dataclasses.replace(one, out=tmp_path / folder / str(index)), few, "eager")
                )
                for index, one in enumerate(settings)
            ]

        yield start


def double(batch):
    return Batch(batch.indices, batch.images.double(), batch.noise.double())


def relative(values, expected):
    return ((values - expected).abs() / expected.abs()).max().item()


BERNOULLI = [
    {"divergence": "mmd", "mmd_of": "posterior-parameters", "likelihood": "bernoulli", "weight": 500.0},
    {"divergence": "kl-pq", "likelihood": "bernoulli"},
]


@pytest.mark.parametrize("cells", [CELLS, BERNOULLI], ids=["gaussian", "bernoulli"])
def test_over_fifty_steps_each_model_of_a_stack_has_the_terms_of_a_single_run(start, cells):
    trainings = start(cells, lr=2e-4)
    for training in trainings:
        training.model.double()
        training.optimizer = adam([*training.model.parameters(), *training.objective.parameters()], 2e-4)
    stack = Stack(trainings)
    parts = stack.model, stack.optimizer, stack.objective
    for step in range(50):
        if step % 5 == 0:
            stack.batches.shuffle(step)
        together = train_step(*parts, double(stack.batches[step % 5]))
        for index, training in enumerate(stack.trainings):
            if step % 5 == 0:
                training.batches.shuffle(step)
            model, optimizer, objective = training.model, training.optimizer, training.objective
            alone = train_step(model, optimizer, objective, double(training.batches[step % 5]))
            # Measured: at most 6e-14, for six sets of seeds and at full width, too. The rest is for other processors.
            assert relative(together[:, index], alone) < 1e-12, (step, training.settings.title())


def test_a_stack_ends_like_single_runs_and_its_runs_can_continue_alone(start):
    together, alone = start(), start(folder="alone")
    for _ in range(2):  # epochs, each in a new stack, which starts with the moments of the runs
        for _, (_, error) in zip(together, train_together(list(together)), strict=False):
            assert error is None
    for training, other in zip(together, alone, strict=True):
        assert training.epoch == 2
        for _ in range(2):
            other.record(other.run_epoch(tqdm(disable=True)), 0.0)
        # In float32 a rounding soon flips a ReLU; after 10 steps errors and divergences differ in the fourth digit.
        for row, expected in zip(training.metrics, other.metrics, strict=True):
            assert list(row) == list(expected)
            for name in set(row) - {"epoch", "split", "images_per_second"}:
                assert row[name] == pytest.approx(expected[name], rel=2e-3), (training.settings.title(), name)
        # With its own moments it goes on as the other does; with none its steps would be several times as long.
        ended = [one.run_epoch(tqdm(disable=True))[1] for one in (training, other)]
        assert ended[0]["loss"] == pytest.approx(ended[1]["loss"], rel=2e-3), training.settings.title()


def test_a_stack_leaves_checkpoints_that_resume_alone(start, few):
    trainings = start(CELLS[:4])
    for _, _ in zip(range(4), train_together(list(trainings)), strict=False):
        pass
    for training in trainings:
        size = (training.folder.path / "checkpoint.pt").stat().st_size
        # Weights and two moments, four bytes each, and names; a view of the stack would bring four times as much.
        assert size < 2 * 3 * 4 * sum(parameter.numel() for parameter in training.model.parameters())
        training.folder.close()
        training.folder.close = lambda: None  # at the end of the test, too, it is closed
        settings = dataclasses.replace(training.settings, resume=True)
        with Training(settings, few, "eager") as resumed:
            assert resumed.epoch == 1
            for name, value in training.model.state_dict().items():
                assert torch.equal(resumed.model.state_dict()[name], value)
            state = zip(resumed.optimizer.state.values(), training.optimizer.state.values(), strict=True)
            for moments, expected in state:
                assert moments["step"] == 5
                assert all(torch.equal(moments[name], expected[name]) for name in expected)
            assert json.loads((settings.out / "run.json").read_text())["settings"]["alpha"] == settings.alpha


def test_runs_with_fewer_epochs_are_trained_first_and_then_all_together(start, monkeypatch):
    built = []
    monkeypatch.setattr(vae.sweep.stacked, "Stack", lambda trainings: built.append(len(trainings)) or Stack(trainings))
    first, second, third = start(CELLS[:3])
    second.record(second.run_epoch(tqdm(disable=True)), 0.0)
    going, order = [first, second, third], []
    for training, _ in train_together(going):
        order.append(([first, second, third].index(training), training.epoch))
        if training.epoch == 3:
            going.remove(training)
    assert sorted(order[:2]) == [(0, 1), (2, 1)]
    assert sorted(order[2:5]) == [(0, 2), (1, 2), (2, 2)]
    assert sorted(order[5:]) == [(0, 3), (1, 3), (2, 3)]
    assert built == [2, 3]  # each, on a GPU, to be recorded as a graph


def test_the_error_of_a_loss_that_is_not_finite_is_the_same_in_another_process():
    """Dask sends it with the `UserError` that names it, and cannot read the answer if it cannot make it again."""
    error = NotFinite([1.0, math.nan, math.nan], 4)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.step) == (str(error), 4) == ("divergence", 4)


def test_a_run_whose_loss_is_not_finite_stops_alone(start):
    cells = [{"divergence": "kl-qp"}, {"divergence": "kl-qp", "weight": 3e38, "seed": 3}, {"divergence": "jsg"}]
    trainings, alone = start(cells), start(cells, "alone")
    going, errors = list(trainings), {}
    for training, error in train_together(going):
        going.remove(training)
        errors[trainings.index(training)] = error
    assert errors[0] is None
    assert errors[2] is None
    assert "the loss is not finite at epoch 1, step 1 of 5" in str(errors[1])
    with pytest.raises(NotFinite):
        alone[1].run_epoch(tqdm(disable=True))
    saved, expected = (str(alone[1].stop(NotFinite([1.0, 1.0, math.inf], 0))), str(errors[1]))
    assert saved.partition(";")[0] == expected.partition(";")[0]
    files = [one.folder.path / "not_finite.safetensors" for one in (trainings[1], alone[1])]
    assert files[0].read_bytes() == files[1].read_bytes()
    for index in (0, 2):
        expected = alone[index].run_epoch(tqdm(disable=True))[1]["loss"]
        assert trainings[index].metrics[-1]["loss"] == pytest.approx(expected, rel=2e-3)  # as above


def test_weights_that_break_in_the_last_step_are_found_by_the_evaluation(start):
    # A learning rate that only one step survives: that step's losses are finite, the weights after it are not.
    trainings = start(CELLS[:2], lr=1e38, batch_size=18)
    for _, error in zip(trainings, train_together(list(trainings)), strict=False):
        assert "not finite at epoch 1, step 1 of 1" in str(error[1])


def test_evaluation_of_a_stack_is_that_of_each(start, few):
    stack = Stack(start())
    assert stack.objective.counts == [2, 2, 1, 1, 1]  # a call for each kind, not for each model
    for terms, training in zip(
        mean_terms(stack.model, stack.objective, few.test_images).T, stack.trainings, strict=True
    ):
        alone = evaluate(training.model, training.objective, few.test_images)
        # The same weights, so only float32 sums in another order.
        assert terms.tolist() == pytest.approx(list(alone.values()), rel=1e-5)


@pytest.fixture
def without_a_gpu(monkeypatch):
    """Replaces the recording and the replay of a CUDA graph by the step itself, which also warms up as on a GPU."""
    monkeypatch.setattr(vae.training.steps, "record_graph", lambda step: step)
    monkeypatch.setattr(vae.training.steps, "warm_up", lambda steps: [step() for step in steps * 3])


def tensors(*parts):
    states, _ = tree_flatten([part.state_dict() for part in parts])
    return [state for state in states if isinstance(state, torch.Tensor)]


@pytest.mark.parametrize("stacked", [False, True])
def test_recorded_steps_are_the_steps_of_the_epoch_to_the_last_bit(start, without_a_gpu, stacked):
    (one, *_), (other, *_) = ([Stack(start(folder=name))] if stacked else start(CELLS[3:4], name) for name in "ab")
    parts, others = ((each.model, each.optimizer, each.objective) for each in (one, other))
    one.batches.shuffle(1)
    recorded = Recorded(*parts, one.batches)
    for epoch in (1, 2):
        one.batches.shuffle(epoch)
        other.batches.shuffle(epoch)
        terms = recorded.epoch()
        plain = torch.stack([train_step(*others, other.batches[step]) for step in range(5)])
        assert torch.equal(terms, plain)
    for value, expected in zip(tensors(*parts), tensors(*others), strict=True):
        assert torch.equal(value, expected)
    if not stacked:
        other.batches.shuffle(3)
        one.batches.shuffle(3)
        with tqdm(file=io.StringIO()) as bar:
            assert torch.equal(recorded.epoch(), train_epoch(other.take_step, other.batches, bar))
        assert bar.n == 18


class NoLookAtTheHost(TorchDispatchMode):
    """Refuses operations that make the host wait for the device or copy between them; a graph cannot have these."""

    FORBIDDEN = (
        "_local_scalar_dense",
        "nonzero",
        "equal",
        "is_nonzero",
        "item",
        "_unique2",
        "masked_select",
        "lift_fresh",
    )
    allowed = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert self.allowed or name not in self.FORBIDDEN, name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("stacked", [False, True])
def test_no_step_of_a_recorded_epoch_waits_for_the_device(start, without_a_gpu, monkeypatch, stacked):
    module = autograd.load(f"{prepare_backend('auto', torch.device('cpu'))}.diagonal")
    rescaled = module.rescaled
    mode = NoLookAtTheHost()

    def with_its_look(*arguments, **options):  # only on a CPU, it looks whether there is anything to do
        mode.allowed = True
        try:
            return rescaled(*arguments, **options)
        finally:
            mode.allowed = False

    monkeypatch.setattr(module, "rescaled", with_its_look)
    for one in [Stack(start())] if stacked else start(CELLS[:4]):
        one.batches.shuffle(1)
        recorded = Recorded(one.model, one.optimizer, one.objective, one.batches)
        with mode:
            recorded.epoch()
