"""ComBat: location and scale of each setting, shrunk by empirical Bayes over the features.

Johnson, Li, Rabinovic: Adjusting batch effects in microarray expression data using empirical Bayes methods.
Biostatistics 8(1), 2007, section 3, parametric priors; for images Fortin et al., NeuroImage 167, 2018. Of
row j of setting i and feature g, without covariates,

    z_ijg  = (y_ijg - alpha_g) / sigma_g       alpha: grand mean; sigma^2: mean squared residual
    gamma*_ig = (n_i tau_i^2 g_ig + d*_ig gamma_i) / (n_i tau_i^2 + d*_ig)
    delta*_ig = (theta_i + sum_j (z_ijg - gamma*_ig)^2 / 2) / (n_i / 2 + lambda_i - 1)

with g_ig the mean of z, gamma_i and tau_i^2 its mean and variance over features, and lambda_i, theta_i by the
moments of the variances over features; the two in turn until neither changes by more than 1e-4 of itself.
What is left is sigma_g (z - gamma*) / sqrt(delta*) + alpha_g.
"""

import torch
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.training.harmonisers import MOST, Harmoniser, HarmoniserParams, moments
from latent_anatomy.training.method import Shape

ENOUGH, ITERATIONS = 1e-4, 1000  # change of an estimate, relative to it; iterations


class Method(Harmoniser):
    """Capability `represent`."""

    def __init__(self, params: HarmoniserParams, shape: Shape, on: nn.Module):
        super().__init__(params, shape, on)
        self.room("alpha sigma", self.width)
        self.room("gamma delta", MOST, self.width)

    def learn(self, latents: Tensor, setting: Tensor) -> None:
        alpha, sigma, gamma, delta = combat(latents, setting)
        self.alpha.copy_(alpha)
        self.sigma.copy_(sigma)
        self.gamma[: len(gamma)], self.delta[: len(delta)] = gamma, delta

    def harmonised(self, latents: Tensor, setting: Tensor) -> Tensor:
        return self.adjusted(latents, setting) * self.sigma + self.alpha

    def adjusted(self, latents: Tensor, setting: Tensor) -> Tensor:
        """The same in units of sigma, alpha being 0: (n, d)."""
        z = (latents - self.alpha) / self.sigma
        return (z - self.gamma[setting]) / self.delta[setting].sqrt()


def combat(latents: Tensor, setting: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """alpha, sigma (d,) and gamma*, delta* (S, d) of latents (N, d) and settings (N,).

    A feature that is the same in all rows stays; ValueError for one that varies only between settings.
    """
    count = int(setting.max()) + 1
    rows, mean, _ = moments(latents, setting, count)
    alpha = (rows / rows.sum()) @ mean
    sigma = (latents - mean[setting]).square().mean(0).sqrt()
    still = sigma == 0
    if (still & (mean != mean[0]).any(0)).any():
        feature = int(torch.nonzero(still & (mean != mean[0]).any(0))[0])
        raise defect(f"feature {feature}", "one that varies within settings", "none", "leave it out")
    sigma = torch.where(still, 1.0, sigma)
    z = (latents - alpha) / sigma
    gamma, delta = torch.zeros_like(mean), torch.ones_like(mean)
    for index in range(count):
        part = z[setting == index][:, ~still]
        means, variances = part.mean(0), part.var(0)
        beliefs = means.mean(), means.var(), *inverse_gamma(variances.mean(), variances.var())
        gamma[index, ~still], delta[index, ~still] = shrunk(part, *beliefs)
    return alpha, sigma, gamma, delta


def inverse_gamma(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """lambda and theta of the inverse gamma distribution with these moments."""
    return (2 * variance + mean**2) / variance, (mean * variance + mean**3) / variance


def shrunk(z: Tensor, prior: Tensor, spread: Tensor, shape: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """gamma* and delta* (d,) of the rows of one setting (n, d).

    What is believed before: a mean is normal about `prior` with the variance `spread`, a variance inverse
    gamma with `shape` lambda and `scale` theta.
    """
    n, g = len(z), z.mean(0)
    gamma, delta = g, z.var(0)
    for _ in range(ITERATIONS):
        new = (n * spread * g + delta * prior) / (n * spread + delta)
        squares = (z - new).square().sum(0)
        other = (scale + squares / 2) / (n / 2 + shape - 1)
        change = max(
            float(((new - gamma).abs() / gamma.abs()).max()), float(((other - delta).abs() / delta).max())
        )
        gamma, delta = new, other
        if change <= ENOUGH:
            return gamma, delta
    raise defect("ComBat", f"estimates within {ITERATIONS} iterations", f"{change:.1g}", "check the latents")
