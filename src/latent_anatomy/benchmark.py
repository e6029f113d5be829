"""Images per second of loading, augmentation, the bare step and the whole loop.

Medians over repetitions, on synthetic images: speed does not depend on what an image shows. The step
includes its augmentation; the whole loop adds loading, logging, orders and the saved state, and next to
no validation (one image of each class), whose cost depends on the data set.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from latent_anatomy import methods
from latent_anatomy.corruptions.augment import augment
from latent_anatomy.jobs.inputs import choose_device, device_name
from latent_anatomy.methods.contract import Data, Shape
from latent_anatomy.training import TrainingParams, train
from latent_anatomy.training_state import TrainingState

WARM_UP = 3
CLASSES = 2


def run(name: str, channels: int, steps: int, device: str) -> None:
    """Print a table: what, milliseconds per step, images per second, share of the bare step.

    `steps` repetitions of each, and as many steps in the loop, at 28x28 pixels and the method's own
    batch size.
    """
    torch_device = choose_device(device)
    method_class = methods.load(name).Method
    required = {"task": "disease"} if "task" in method_class.Params.model_fields else {}
    params = method_class.Params(epochs=1, **required)
    torch.manual_seed(0)
    method = method_class(params, Shape(channels, 28, 28, CLASSES)).to(torch_device).train()
    data = synthetic(steps * params.batch_size, channels, torch_device)
    indices = torch.arange(params.batch_size, device=torch_device)
    batch = data.batch(indices)
    views = batch.images.repeat(getattr(params, "views", 1), 1, 1, 1)

    state = TrainingState(method, Path("unused"), 1)

    def update(optimiser: str, loss: torch.Tensor) -> None:
        state.optimisers[optimiser].zero_grad(set_to_none=True)
        loss.backward()
        state.optimisers[optimiser].step()

    times = {
        "loading": timed(lambda: data.batch(indices), steps, torch_device),
        "augmentation": timed(lambda: augment(views), steps, torch_device),
        "bare step": timed(lambda: method.training_step({"train": batch}, update), steps, torch_device),
    }
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        train(method, data, first(data, CLASSES), seed=0, settings=TrainingParams(),
              scratch=Path(folder), label="whole loop")  # fmt: skip
        synchronise(torch_device)
        times["whole loop"] = (perf_counter() - start) / steps

    print(f"{name}, {channels} x 28 x 28, batch {params.batch_size}, {views.shape[0]} views,", end=" ")
    print(f"{device_name(torch_device)}, {torch.get_num_threads()} threads")
    print(f"{'':14}{'ms/step':>10}{'images/s':>12}{'of bare step':>14}")
    for what, seconds in times.items():
        share = seconds / times["bare step"]
        print(f"{what:14}{seconds * 1e3:10.2f}{params.batch_size / seconds:12.0f}{share:14.1%}")


def synthetic(count: int, channels: int, device: torch.device) -> Data:
    """Uniform random images (count, channels, 28, 28) uint8 and alternating labels."""
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (count, channels, 28, 28), generator=generator, dtype=torch.uint8)
    return Data(stored.to(device), (torch.arange(count) % CLASSES).to(device))


def first(data: Data, size: int) -> Data:
    """The first `size` items."""
    return Data(data.stored[:size], data.labels[:size])


def timed(work: Callable[[], object], repetitions: int, device: torch.device) -> float:
    """Median seconds of `work`, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP + repetitions):
        synchronise(device)
        start = perf_counter()
        work()
        synchronise(device)
        seconds.append(perf_counter() - start)
    return median(seconds[WARM_UP:])


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
