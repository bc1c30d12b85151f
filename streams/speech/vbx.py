"""The Bayesian HMM over x-vectors, VBx (Landini, Profant, Diez and Burget, Computer Speech & Language 71, 2022).

A state is a speaker. Speaker s is a point y_s ~ N(0, I) and says features x ~ N(V y_s, I), V the square root of the
variances between speakers. Where the call goes from one x-vector to the next, its speaker stays with probability
P_loop, else the next one is drawn by the speakers' priors. Variational Bayes finds the posterior of the y_s and of
who speaks in turn; priors of speakers that are not needed go to 0.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ITERATIONS = 40  #: at most
CONVERGED = 1e-6  #: growth of the ELBO under which it is done


@dataclass(frozen=True, slots=True)
class Settings:
    """The method's parameters, named as in the paper; as they are, those published for AMI's meetings."""

    threshold: float = -0.015  #: what is added to the similarity from which AHC joins, as the scores calibrate it
    smoothing: float = 5.0  #: how firmly the HMM starts from AHC's clusters
    fa: float = 0.3  #: F_A, what an x-vector counts: they overlap in time and are not independent
    fb: float = 17.0  #: F_B, how much a further speaker costs
    loop: float = 0.99  #: P_loop, that the speaker is still the same in the next x-vector

    def __post_init__(self) -> None:
        """ValueError where the HMM would not be one."""
        if not (0 < self.loop < 1 and self.fa > 0 and self.fb > 0):
            raise ValueError(f"fa {self.fa} and fb {self.fb} must be above 0, loop {self.loop} between 0 and 1")


MEETING = Settings()
#: Published for two- and more-party telephone calls at 8 kHz (VBx's recipe for CALLHOME).
TELEPHONE = Settings(smoothing=7.0, fa=0.4, loop=0.4)


@dataclass(frozen=True, slots=True)
class Paths:
    """The posterior of who speaks when."""

    responsibilities: Floats = field(repr=False)  #: (n, speakers), rows sum to 1
    entered: Floats  #: how often each speaker is expected to be drawn by the priors, (speakers,)
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found. `bounds` is the ELBO after each iteration; it never falls."""

    responsibilities: Floats = field(repr=False)  #: (n, speakers)
    priors: Floats  #: (speakers,)
    bounds: tuple[float, ...]


def fit(features: Floats, between: Floats, responsibilities: Floats, settings: Settings) -> Fit:
    """Fit speakers to features (n, dims), n >= 1, from responsibilities (n, speakers) to begin with."""
    priors = np.full(responsibilities.shape[1], 1 / responsibilities.shape[1])
    projected = features * np.sqrt(between)  # the paper's rho
    constant = (features**2).sum(axis=1, keepdims=True) + features.shape[1] * np.log(2 * np.pi)
    ratio, bounds = settings.fa / settings.fb, list[float]()
    while len(bounds) < ITERATIONS:
        spread = 1 / (1 + ratio * responsibilities.sum(axis=0)[:, None] * between)  # (speakers, dims), equation 17
        points = ratio * spread * (responsibilities.T @ projected)  # equation 16
        scores = settings.fa * (projected @ points.T - ((spread + points**2) @ between + constant) / 2)  # equation 23
        paths = forward_backward(scores, priors, settings.loop)
        bounds.append(paths.log_likelihood + settings.fb * _less_divergence(spread, points))
        responsibilities, priors = paths.responsibilities, paths.entered / paths.entered.sum()
        if len(bounds) > 1 and bounds[-1] - bounds[-2] < CONVERGED:
            break
    return Fit(responsibilities, priors, tuple(bounds))


def forward_backward(scores: Floats, priors: Floats, loop: float) -> Paths:
    """Posterior of the paths through log-likelihoods (n, speakers), n >= 1, in time linear in both."""
    with np.errstate(divide="ignore"):  # a prior of 0 is a speaker that is not needed
        drawn = np.log(priors)
    stay, draw = np.log(loop), np.log1p(-loop) + drawn
    forward, backward = _forward(scores, drawn, stay, draw), _backward(scores, stay, draw)
    total = np.logaddexp.reduce(forward[-1])
    before = np.logaddexp.reduce(forward[:-1], axis=1)[:, None]
    responsibilities = np.exp(forward + backward - total)
    entered = responsibilities[0] + np.exp(before + draw + scores[1:] + backward[1:] - total).sum(axis=0)
    return Paths(responsibilities, entered, float(total))


def _forward(scores: Floats, drawn: Floats, stay: float, draw: Floats) -> Floats:
    """Log-probability of the vectors up to each one and of its speaker."""
    forward = np.empty_like(scores)
    forward[0] = scores[0] + drawn
    for at in range(1, len(scores)):
        before = forward[at - 1]
        forward[at] = scores[at] + np.logaddexp(before + stay, np.logaddexp.reduce(before) + draw)
    return forward


def _backward(scores: Floats, stay: float, draw: Floats) -> Floats:
    """Log-probability of the vectors after each one, given its speaker."""
    backward = np.zeros_like(scores)
    for at in range(len(scores) - 2, -1, -1):
        after = scores[at + 1] + backward[at + 1]
        backward[at] = np.logaddexp(after + stay, np.logaddexp.reduce(after + draw))
    return backward


def _less_divergence(spread: Floats, points: Floats) -> float:
    """Minus the divergence of the speakers' posteriors from their priors (equation 25's second term)."""
    return float((np.log(spread) - spread - points**2 + 1).sum() / 2)
