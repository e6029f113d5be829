"""A method that stands on another run, for tests."""

SHIFT = '''"""What the run below reconstructs, and a constant."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

from latent_anatomy.training.method import MethodParams, Schedules


class Method(nn.Module):
    ON = ("reconstruct", "encode")

    class Params(MethodParams):
        epochs: int = 1
        batch_size: int = 128

    def __init__(self, params, shape, on):
        super().__init__()
        self.params, self.on = params, on
        self.shift = nn.Parameter(torch.randn(()) / 100)

    def optimisers(self):
        return {"all": Adam(self.parameters(), lr=1e-2)}

    def schedules(self, optimisers, steps_per_epoch):
        return Schedules()

    def training_step(self, batches, update):
        images = batches["train"].images
        loss = F.mse_loss(self.reconstruct(images), images)
        update("all", loss)
        return {"loss": loss}

    def reconstruct(self, images):
        return self.on.reconstruct(images) + self.shift

    def encode(self, images):
        return self.on.encode(images)
'''
