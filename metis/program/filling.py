"""Filling: containers placed one at a time by an oracle, each on the node where it is worth most."""

import numpy as np

from metis.errors import PlacementError
from metis.problem.counts import FloatArray, IntArray, hash_keys
from metis.problem.kinds import Problem
from metis.program.growth import growing_worth, room_for_one_more, worth_of_one_more

MANY = 200_000  # nodes x applications from which the gains of all are kept, rather than asked for in turn
AT_ONCE = 600  # nodes for each container of an application that joins at once, where those gains are kept
HASTY = 60  # the same of a placement that is improved anyway: a fifth of the time, and as good thereafter


def fill(
    problem: Problem, kind_of: IntArray, placement: IntArray, left: IntArray, *, hasty: bool = False
) -> IntArray:
    """Add containers to a placement, applications in order, each where the value rises most.

    Where nodes differ, the applications that have the fewest places come first. Ties go to the first node. An
    application that no node admits yet waits for those after it.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers so far, int [nodes, apps].
        left: containers to add, int [apps].
        hasty: whether on thousands of nodes ten times as many containers may join at once.

    Returns:
        The whole placement, int [nodes, apps].

    Raises:
        PlacementError: no node admits a container; names its application.
    """
    many = placement.size > MANY and all(growing_worth(problem, kind) for kind in range(problem.kinds))
    filling = (_GrownFilling if many else _Filling)(problem, kind_of, placement)
    filling.at_once = HASTY if hasty else AT_ONCE
    waiting = [app for app in scarcest_first(problem) if left[app]]
    remaining = left.copy()
    while waiting:
        for app in waiting:
            remaining[app] -= filling.add(app, int(remaining[app]))
        still = [app for app in waiting if remaining[app]]
        if remaining[still].sum() and still == waiting and not filling.progress:
            app = still[0]
            raise PlacementError(f"no node admits another container of {problem.apps[app]} under the rules")
        waiting, filling.progress = still, False
    return filling.placement


def scarcest_first(problem: Problem) -> list[int]:
    """Return the applications, where nodes differ those first whose containers have the fewest places."""
    apps = len(problem.apps)
    if problem.most is None:
        return list(range(apps))
    hard = np.isinf(problem.limit_penalty)
    room = np.stack([problem.room(kind) for kind in range(problem.kinds)])
    places = np.zeros(apps)
    for app in range(apps):
        own = hard & problem.limit_where[:, :, app].any(axis=1)
        free = ~problem.limit_where[own][:, :, app].any(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            request = problem.requests[app]
            fits = np.floor(np.where(request > 0, room / request, np.inf).min(axis=1, initial=1e9))
        each = problem.nodes * np.minimum(problem.most[:, app], np.maximum(fits, 0))
        places[app] = each[free].sum() + problem.limit_most[own].sum()
    return [int(app) for app in np.argsort(places / np.maximum(problem.demand, 1), kind="stable")]


class _Filling:
    """A placement that grows, and what its nodes are worth."""

    def __init__(self, problem: Problem, kind_of: IntArray, placement: IntArray) -> None:
        self.placement = placement.copy()
        self.progress = False
        self.at_once = AT_ONCE
        self._problem, self._kind_of = problem, kind_of
        self._room = np.stack([problem.room(kind) for kind in kind_of.tolist()])
        self._room -= placement @ problem.requests
        self._worth = np.empty(len(placement))
        for kind in range(problem.kinds):
            nodes = np.flatnonzero(kind_of == kind)
            self._worth[nodes] = problem.worth_of(kind, placement[nodes])
        self._left = problem.limit_most - problem.used(kind_of, placement)

    def add(self, app: int, count: int) -> int:
        """Add up to `count` containers of `app`; how many found a node."""
        gains = np.full(len(self.placement), -np.inf)
        for kind in range(self._problem.kinds):
            nodes = np.flatnonzero(self._kind_of == kind)
            gains[nodes] = self._gains(kind, nodes, app)
        tolls = self.tolls(app)
        for done in range(count):
            node = int((gains - tolls).argmax()) if tolls is not None else int(gains.argmax())
            if gains[node] == -np.inf or (tolls is not None and tolls[node] == np.inf):
                return done
            self.placement[node, app] += 1
            self._room[node] -= self._problem.requests[app]
            self._worth[node] += gains[node]
            self.progress = True
            if tolls is not None:
                self._left -= self._problem.limit_where[:, self._kind_of[node], app]
                tolls = self.tolls(app)
            gains[node] = self._gains(int(self._kind_of[node]), np.array([node]), app)[0]
        return count

    def tolls(self, app: int) -> FloatArray | None:
        """Return what limits take for one more container of `app` on each node; None where none is on it."""
        problem = self._problem
        own = np.flatnonzero(problem.limit_where[:, :, app].any(axis=1))
        if not len(own):
            return None
        penalty = np.where(self._left[own] < 1, problem.limit_penalty[own], 0.0)
        by_kind = np.where(problem.limit_where[own][:, :, app], penalty[:, None], 0.0).sum(axis=0)
        return np.asarray(by_kind[self._kind_of])

    def _gains(self, kind: int, nodes: IntArray, app: int) -> FloatArray:
        after = self.placement[nodes]
        after[:, app] += 1
        fits = (self._problem.requests[app] <= self._room[nodes]).all(axis=1)
        fits[fits] = self._problem.admitted(kind, after[fits])
        gains = np.full(len(nodes), -np.inf)
        gains[fits] = self._problem.worth_of(kind, after[fits]) - self._worth[nodes[fits]]
        return gains


class _GrownFilling(_Filling):
    """The same, which keeps every node's gain by one more container of each application.

    On thousands of nodes several containers join at once, each another node.
    """

    def __init__(self, problem: Problem, kind_of: IntArray, placement: IntArray) -> None:
        super().__init__(problem, kind_of, placement)
        self._kept = np.empty(placement.shape, dtype=np.float32)
        for kind in range(problem.kinds):
            nodes = np.flatnonzero(kind_of == kind)
            # nodes that hold the same gain the same: at first there are few different ones
            first, back = np.unique(
                placement[nodes] @ hash_keys(len(problem.apps)), return_index=True, return_inverse=True
            )[1:]
            self._kept[nodes] = self._gained(kind, nodes[first])[back]

    def add(self, app: int, count: int) -> int:
        """See `_Filling.add`."""
        gains = self._kept[:, app].astype(np.float64)
        tolls = self.tolls(app)
        done = 0
        while done < count:
            # with limits one by one, since each container may use them up
            best = gains if tolls is None else gains - tolls
            most = min(max(1, len(best) // self.at_once) if tolls is None else 1, count - done)
            nodes = np.argpartition(-best, most - 1)[:most]
            nodes = np.sort(nodes[best[nodes] > -np.inf])
            if not len(nodes):
                return done
            for kind in np.unique(self._kind_of[nodes]).tolist():
                own = nodes[self._kind_of[nodes] == kind]
                after = self.placement[own]
                after[:, app] += 1
                admitted = self._problem.admitted(kind, after)  # with what they hold now
                gains[own[~admitted]] = -np.inf
                taken = own[admitted]
                self.placement[taken] = after[admitted]
                self._worth[taken] += gains[taken]
                self._kept[taken] = self._gained(kind, taken)
                gains[taken] = self._kept[taken, app]
                done += len(taken)
                self.progress |= bool(len(taken))
                if tolls is not None:
                    self._left -= len(taken) * self._problem.limit_where[:, kind, app]
                    tolls = self.tolls(app)
        return done

    def _gained(self, kind: int, nodes: IntArray) -> FloatArray:
        """Return what nodes of a kind gain by one more of each application, -inf where it does not fit."""
        rows = self.placement[nodes]
        gains = worth_of_one_more(self._problem, kind, rows) - self._worth[nodes][:, None]
        return np.where(room_for_one_more(self._problem, kind, rows), gains, -np.inf)
