"""What unORANIC and the auto-encoder that it is compared with share: their released configuration."""

from pydantic import Field
from torch.optim import Optimizer

from latent_anatomy.networks.strided import Decoder, Encoder
from latent_anatomy.training.method import MethodParams, Schedules, Shape
from latent_anatomy.training.optimisers import Adam
from latent_anatomy.training.schedules import Cyclic

SIZE = 28  # pixels a side of the images that the four halvings bring down to one


class StridedParams(MethodParams):
    """Parameters of both; the defaults are those of the released configuration."""

    epochs: int = Field(1001, ge=1, description="Passes over the training images.")
    batch_size: int = Field(64, ge=2, description="Images per step, each with all its views.")
    latent: int = Field(256, ge=1, description="Dimensions of an embedding.")
    width: int = Field(32, ge=1, description="Channels after the first strided block.")
    slope: float = Field(1.0, description="Negative slope in the strided blocks. Printed: leaky, so 0.01.")
    corruption_probability: float = Field(0.25, ge=0, le=1, description="Chance of each of 12 corruptions.")
    betas: tuple[float, float] = Field((0.95, 0.999), description="Adam's decay rates.")
    cycle: Cyclic = Field(Cyclic(), description="Cyclic learning rate.")

    def encoder(self, shape: Shape) -> Encoder:
        """Of images (N, C, 28, 28) to an embedding (N, latent); ValueError for another size."""
        if (shape.height, shape.width) != (SIZE, SIZE):
            found = f"{shape.height}x{shape.width}"
            raise ValueError(f"expected images of {SIZE}x{SIZE} pixels, found {found}: choose other data")
        return Encoder(shape.channels, latent=self.latent, width=self.width, slope=self.slope)

    def decoder(self, shape: Shape, embeddings: int = 1) -> Decoder:
        """Of so many embeddings side by side, (N, embeddings latent), to images."""
        latent = embeddings * self.latent
        return Decoder(shape.channels, latent=latent, width=self.width, slope=self.slope)


class CyclicAdam:
    """One Adam of all parameters of a method, whose rate goes in the cycles of its `params`."""

    def optimisers(self) -> dict[str, Optimizer]:
        params = self.params
        return {"all": Adam(self.parameters(), lr=params.cycle.base, betas=params.betas, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.cycle.schedules(optimisers["all"], steps_per_epoch, self.params.epochs)
