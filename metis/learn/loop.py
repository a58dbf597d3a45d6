"""The one training loop: steps, budget, learning curve, checkpoints, and a stop at the first NaN."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SurroundingsError
from metis.files import load_arrays, save_arrays

Progress = Callable[[Mapping[str, Any]], None]


class Learner(Protocol):
    """Anything that learns by repeated steps and can be saved and restored whole."""

    def step(self) -> dict[str, float]:
        """Run one iteration; return its metrics, at least `loss` and `episodes` (of this step)."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything needed to go on: weights, optimiser, replay, random generator. Plain arrays."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned."""
        ...


@dataclass(frozen=True)
class Budget:
    """When to stop: at the first limit reached. Steps give the same result on every run; seconds do not.

    Attributes:
        steps: at most so many steps; None for no limit.
        seconds: at most so many seconds of wall time, in all sittings together; None for no limit.
        cpu_seconds: the same of CPU time, all threads of this process together.
    """

    steps: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None

    def __post_init__(self) -> None:
        limits = (self.steps, self.seconds, self.cpu_seconds)
        if not any(limits) or any(limit is not None and limit <= 0 for limit in limits):
            raise InputError(
                f"training budget of {self.steps} steps, {self.seconds} seconds, {self.cpu_seconds} CPU "
                "seconds: give one of them, and all that are given must be positive"
            )

    def share(self, steps: int, seconds: float, cpu_seconds: float) -> float:
        """Return how much of the budget is spent, 0 to 1."""
        pairs = ((steps, self.steps), (seconds, self.seconds), (cpu_seconds, self.cpu_seconds))
        return min(1.0, max(spent / limit for spent, limit in pairs if limit is not None))


def train(
    learner: Learner,
    budget: Budget,
    *,
    key: str = "",
    checkpoint: Path | None = None,
    checkpoint_every: float = 10.0,
    judge: Callable[[], Mapping[str, float]] | None = None,
    judge_every: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train `learner` until `budget` is spent; return the learning curve, one dict per step.

    Each row holds the step's metrics, `episodes` so far, and `seconds` (wall time) and `cpu_seconds` (all
    threads of this process) since the training began, in all sittings together.

    Args:
        learner: what learns; changed in place.
        budget: when to stop.
        key: what is being trained (settings and seed); a checkpoint of another key is not taken up.
        checkpoint: file to resume from and to save to, left in place at the end; None to keep nothing.
        checkpoint_every: seconds between saves, hence the most that an interruption loses.
        judge: measures the learner on held-out groups; its metrics join the curve.
        judge_every: steps between calls of `judge`; 0 for the last step only.
        progress: called after every step with the step's metrics, `step`, `steps` and `share` of the budget.

    Raises:
        SurroundingsError: a loss is not finite; names the step, and the last good checkpoint stays.
    """
    curve = _resume(learner, checkpoint, key)
    wall0 = curve[-1]["seconds"] if curve else 0.0
    cpu0 = curve[-1]["cpu_seconds"] if curve else 0.0
    episodes = curve[-1]["episodes"] if curve else 0.0
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    saved_at = wall_start

    def wall() -> float:
        return wall0 + time.perf_counter() - wall_start

    def cpu() -> float:
        return cpu0 + time.process_time() - cpu_start

    try:
        while budget.share(len(curve), wall(), cpu()) < 1:
            metrics = learner.step()
            if not np.isfinite(metrics["loss"]):
                kept = f"; the last good checkpoint is {checkpoint}" if checkpoint else ""
                raise SurroundingsError(f"training step {len(curve) + 1}: loss {metrics['loss']}{kept}")
            episodes += metrics["episodes"]
            row = metrics | {
                "episodes": episodes,
                "seconds": wall(),
                "cpu_seconds": cpu(),
            }
            last = len(curve) + 1 == budget.steps
            if judge and (last or (judge_every and (len(curve) + 1) % judge_every == 0)):
                row |= judge()
            curve.append(row)
            if progress:
                share = budget.share(len(curve), row["seconds"], row["cpu_seconds"])
                progress(row | {"step": len(curve), "steps": budget.steps, "share": share})
            if checkpoint and time.perf_counter() - saved_at >= checkpoint_every:
                _save(learner, checkpoint, key, curve)
                saved_at = time.perf_counter()
    except KeyboardInterrupt:
        if checkpoint:
            _save(learner, checkpoint, key, curve)
        raise
    if checkpoint:
        _save(learner, checkpoint, key, curve)
    return curve


def _save(learner: Learner, path: Path, key: str, curve: list[dict[str, float]]) -> None:
    state = {f"state/{name}": value for name, value in learner.state().items()}
    save_arrays(path, state | {"key": np.array(key), "curve": np.array(json.dumps(curve))})


def _resume(learner: Learner, path: Path | None, key: str) -> list[dict[str, float]]:
    if path is None or not path.exists():
        return []
    try:
        stored = load_arrays(path)
        if str(stored["key"]) != key:
            return []
        curve: list[dict[str, float]] = json.loads(str(stored["curve"]))
    except (InputError, KeyError, ValueError):
        return []  # an unreadable checkpoint costs the training, never the run
    learner.restore({name[6:]: value for name, value in stored.items() if name.startswith("state/")})
    return curve
