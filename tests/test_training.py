"""The loop: same seed same bits, exact resume, selection, early stop, clear ends."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from training_runs import Interrupted, same, stop_after

from latent_anatomy.methods.unoranic import Method, Params
from latent_anatomy.training.loop import Loop, TrainingParams, train
from latent_anatomy.training.method import Data, MethodParams, Schedules, Selection, Shape, Stream
from latent_anatomy.training.state import TrainingState, only_one

FP32 = TrainingParams()
SHAPE = Shape(channels=1, height=28, width=28, classes=2)


def images(count: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    stored = torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return Data(stored, torch.arange(count) % 2)


def unoranic(seed: int = 3, **changed) -> Method:
    torch.manual_seed(seed)
    return Method(Params(epochs=2, batch_size=8, width=4, latent=8, **changed), SHAPE)


class Line(nn.Module):
    """A method small enough to reason about: one weight, pulled to zero by noisy gradients."""

    selection = None

    def __init__(self, epochs: int = 4, values: list[float] | None = None, fail_at: int | None = None):
        super().__init__()
        self.params = MethodParams(epochs=epochs, batch_size=4)
        self.weight = nn.Parameter(torch.ones(()))
        self.values, self.fail_at, self.calls, self.seen = values or [], fail_at, 0, []

    def optimisers(self):
        return {"all": torch.optim.SGD(self.parameters(), lr=0.1)}

    def schedules(self, optimisers, steps_per_epoch):
        return Schedules(per_step=[torch.optim.lr_scheduler.ExponentialLR(optimisers["all"], 0.9)])

    def training_step(self, batches, update):
        self.calls += 1
        if self.calls == self.fail_at:
            raise Interrupted
        self.seen.append({name: len(batch.images) for name, batch in batches.items()})
        loss = (self.weight * torch.randn(())).square()
        update("all", loss)
        return {"loss": loss}

    def validate(self, data):
        epoch = sum(1 for _ in self.seen) // 2 - 1
        return {"score": torch.tensor(self.values[epoch] if self.values else float(self.weight))}


def run(method, scratch, **changed):
    settings = {"seed": 1, "settings": FP32, "scratch": scratch, **changed}
    return train(method, images(8), images(4, seed=1), **settings)


def saved_often(method, scratch):
    settings = {"seed": 1, "settings": FP32, "scratch": scratch, "save_every_seconds": 0}
    return train(method, images(12), images(4), **settings)


def test_same_seed_gives_same_bits_and_another_seed_does_not(tmp_path):
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        method = unoranic()
        run(method, tmp_path / name, seed=seed)
        states.append(method.state_dict())
    assert same(states[0], states[1]) and not same(states[0], states[2])


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_run_stopped_after_any_step_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, steps):
    whole, stopped = unoranic(), unoranic()
    history = saved_often(whole, tmp_path / "whole")
    stop_after(stopped, steps - 1)
    with pytest.raises(Interrupted):
        saved_often(stopped, tmp_path / "killed")
    resumed = unoranic(seed=99)  # other initial weights: the saved ones must replace them
    if steps == 1:  # nothing was saved, so a new run starts from its own initial weights
        resumed = unoranic()
    assert saved_often(resumed, tmp_path / "killed") == history
    assert same(whole.state_dict(), resumed.state_dict())


def test_kill_minus_nine_resumes_to_the_same_bits(tmp_path):
    program = textwrap.dedent("""
        import sys, torch
        from pathlib import Path
        sys.path.insert(0, {tests!r})
        from test_training import FP32, images, unoranic
        from latent_anatomy.training.loop import train
        method = unoranic()
        step = method.training_step
        def slow(*arguments):
            print("step", flush=True)
            return step(*arguments)
        method.training_step = slow
        scratch = Path(sys.argv[1])
        train(method, images(32), images(4), seed=1, settings=FP32, scratch=scratch, save_every_seconds=0)
        torch.save(method.state_dict(), sys.argv[2])
    """).format(tests=str(os.path.dirname(__file__)))
    command = [sys.executable, "-c", program, str(tmp_path / "killed"), str(tmp_path / "out.pt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out.pt").exists()
    assert (tmp_path / "killed" / "state.pt").exists()
    subprocess.run(command, check=True, capture_output=True)
    whole = unoranic()
    train(whole, images(32), images(4), seed=1, settings=FP32, scratch=tmp_path / "whole")
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert same(whole.state_dict(), found)


def test_a_loss_that_is_not_finite_stops_with_its_epoch_and_step(tmp_path):
    method = Line()
    step = method.training_step

    def exploding(batches, update):
        losses = step(batches, update)
        return {"loss": losses["loss"] * float("nan")} if method.calls == 4 else losses

    method.training_step = exploding
    with pytest.raises(FloatingPointError, match="epoch 2, step 2"):
        run(method, tmp_path)


def test_the_best_epoch_is_kept_and_the_first_of_equals_wins(tmp_path):
    method = Line(values=[0.1, 0.9, 0.9, 0.2])
    method.selection = Selection("score", "max")
    weights = []
    validate = method.validate
    method.validate = lambda data: (weights.append(float(method.weight)), validate(data))[1]
    history = run(method, tmp_path)
    assert [row["val/score"] for row in history] == pytest.approx([0.1, 0.9, 0.9, 0.2])
    assert float(method.weight.detach()) == weights[1]


def test_patience_ends_training_and_without_restore_the_last_weights_stay(tmp_path):
    method = Line(epochs=10, values=[0.5, 0.4, 0.45, 0.46, 0.47, 0.48, 0.49, 0.5, 0.5, 0.5])
    method.selection = Selection("score", "min", patience=2, restore=False)
    assert len(run(method, tmp_path)) == 4


def test_a_short_stream_starts_again_until_the_longest_ends(tmp_path):
    method = Line(epochs=1)
    method.streams = lambda data: {"long": Stream(torch.arange(7), 2), "short": Stream(torch.arange(3), 2)}
    run(method, tmp_path)
    assert [seen["long"] for seen in method.seen] == [2, 2, 2, 1]
    assert [seen["short"] for seen in method.seen] == [2, 1, 2, 1]


def test_every_image_is_seen_once_an_epoch_in_an_order_that_changes(tmp_path):
    data = images(10)
    loop = Loop(Line(), data, data, {"train": Stream(torch.arange(10), 4)}, seed=5, settings=FP32)
    orders = [torch.cat(loop.orders(epoch)["train"]).tolist() for epoch in (0, 1)]
    assert [sorted(order) for order in orders] == [list(range(10))] * 2
    assert orders[0] != orders[1]


def test_two_runs_of_the_same_job_at_once_are_refused(tmp_path):
    with only_one(tmp_path), pytest.raises(BlockingIOError, match="another run"):
        run(Line(), tmp_path)


def test_a_damaged_or_foreign_state_is_refused(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "state.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="damaged"):
        run(Line(), tmp_path / "damaged")
    (tmp_path / "foreign").mkdir()
    TrainingState(unoranic(), tmp_path / "foreign" / "state.pt", 1).save()
    with pytest.raises(ValueError, match="another's"):
        run(Line(), tmp_path / "foreign")


def test_bf16_trains_close_to_fp32(tmp_path):
    losses = []
    for precision in ("fp32", "bf16"):
        method = unoranic()
        history = run(method, tmp_path / precision, settings=TrainingParams(precision=precision))
        assert all(parameter.dtype == torch.float32 for parameter in method.parameters())
        losses.append(history[-1]["train/loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_in_bf16_the_second_update_of_a_step_sees_what_the_first_has_changed(tmp_path):
    class Twice(Line):
        def __init__(self):
            super().__init__(epochs=1)
            self.layer, self.found = nn.Linear(4, 4), []

        def training_step(self, batches, update):
            for _ in range(2):
                self.found.append(self.layer(torch.ones(2, 4)))
                update("all", self.found[-1].float().sum())
            return {"loss": self.found[-1].float().sum()}

    method = Twice()
    run(method, tmp_path, settings=TrainingParams(precision="bf16"))
    assert method.found[0].dtype == torch.bfloat16
    assert not torch.equal(method.found[0], method.found[1])
