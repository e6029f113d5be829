"""Learning-rate schedules that two or more methods share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR

from latent_anatomy.training.method import Schedules


class Cyclic(BaseModel):
    """Triangular cycles whose amplitude halves each time (Smith 2017; "triangular2").

    unORANIC's released code counts the ramp in batches but steps the schedule once per epoch, so that
    the ramp takes `ramp_epochs` x batches per epoch *epochs*; `stepping="step"` steps per batch as
    the paper suggests. The cycle is scaled with the length of training, `epochs / full_epochs`, so
    that a shortened run goes through the same part of the cycle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: float = Field(1e-4, gt=0, description="Lowest learning rate.")
    peak: float = Field(1e-2, gt=0, description="Learning rate at the first peak.")
    ramp_epochs: int = Field(5, ge=1, description="Length of the upward ramp, in epochs' worth of batches.")
    stepping: Literal["epoch", "step"] = Field("epoch", description="As released: epoch. As printed: step.")
    full_epochs: int = Field(1001, ge=1, description="Epochs of the released configuration.")

    def schedules(self, optimiser: Optimizer, steps_per_epoch: int, epochs: int) -> Schedules:
        """The schedule for a training of `epochs`; full length gives the released schedule exactly."""
        ramp = max(1, round(self.ramp_epochs * steps_per_epoch * epochs / self.full_epochs))
        scheduler = CyclicLR(
            optimiser, self.base, self.peak, step_size_up=ramp, mode="triangular2", cycle_momentum=False
        )
        return Schedules(**{f"per_{self.stepping}": [scheduler]})
