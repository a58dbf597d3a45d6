"""The program of moves: improve what runs, place what arrives, with a proven bound for every number of moves.

    maximise   sum w(s) x[k,s]                     less what the moves cost
    s.t.       sum_s x[k,s] = N_k                  every node of kind k ends somehow
               sum s_a x[k,s] = demand_a           every container is placed
               sum moved(h_k, s) x[k,s] <= K       moves: containers that leave, sum_a max(0, h_ka - s_a)

Placing a group beside what runs is K = 0, rebalancing is K > 0 (DESIGN.md, "The problem"). The price of the
last row is what one move more would gain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import NoReturn

import numpy as np

from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.program.colocation_program import ROUNDING, relative_gap, solve_colocation_program
from metis.program.moves_columns import BoolArray, Kinds
from metis.program.moves_master import FEASIBLE, Master, Prices, Relaxed
from metis.program.moves_rounding import Whole, round_to_whole

GAP = 2e-4  # share of the bound at which a plan counts as good enough
TIME_LIMIT = 60.0  # seconds for one number of moves
SATURATED = 1e-4  # share of the unlimited bound that is as good as all of it
NEAR_TOP = 2e-3  # share of the unlimited bound below which the optimum from nothing says something
POINTS = 12  # of a frontier whose numbers of moves are not given
CEILING_LIMIT = 20.0  # seconds for the optimum from nothing
BEND = 1.6  # the first moves gain most: the points of a frontier lie denser there

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class MovePlan:
    """What runs in the end, reached by a limited number of moves.

    Attributes:
        placement: containers on every node in the end, int [nodes, apps].
        budget: moves allowed; None for any number.
        moves: moves made: containers that leave a node for another one.
        value: of the placement by the objective, the cost of moves not subtracted.
        cost: of the moves made.
        bound: no plan whose moves cost as much has a larger value.
        gap: what is missing to the bound, as a share of it.
        prices: of containers, moves and kinds of nodes.
        kind_of: kind of every node, int [nodes], by which `prices.node` is numbered.
        seconds: wall time.
        cpu_seconds: processor time.
    """

    placement: IntArray
    budget: int | None
    moves: int
    value: float
    cost: float
    bound: float
    gap: float
    prices: Prices
    kind_of: IntArray
    seconds: float
    cpu_seconds: float


class MoveProgram:
    """A running cluster, to be improved by moves; what one number of moves found helps the next.

    Args:
        worth: of every co-location, float64 [space.size]; always maximised.
        cluster: nodes, what runs there, and the co-locations that rules admit. A node that holds what they
            forbid may keep it unchanged; every other node ends up holding what they admit.
        arriving: containers to place besides, int [apps]; None for none.
        leaving: containers to remove, int [apps]; they are no moves. None for none.
        cost: of moving one container, by application, float64 [apps]; infinite for one that may not move.
            None: moves cost nothing.
        gap: share of the bound that a plan may miss.
        time_limit: seconds for one number of moves.
        tight: whether the optimum from nothing may tighten the bound where more moves gain next to nothing;
            it takes longer than a plan does.

    Raises:
        InputError: more containers than slots, or more leave than run.
    """

    def __init__(
        self,
        worth: FloatArray,
        cluster: Cluster,
        *,
        arriving: IntArray | None = None,
        leaving: IntArray | None = None,
        cost: FloatArray | None = None,
        gap: float = GAP,
        time_limit: float = TIME_LIMIT,
        tight: bool = True,
    ) -> None:
        apps = len(cluster.space.apps)
        zero: IntArray = np.zeros(apps, dtype=np.int64)
        coming, going = zero if arriving is None else arriving, zero if leaving is None else leaving
        both = np.minimum(coming, going)  # one that arrives takes the place of one that leaves
        self._arriving, self._leaving = coming - both, going - both
        each = np.zeros(apps) if cost is None else np.asarray(cost, dtype=np.float64)
        fixed: BoolArray = np.isposinf(each)
        self._each = np.where(fixed, 0.0, each)
        self._worth, self._cluster = worth, cluster
        self._gap, self._time_limit, self._tight = gap, time_limit, tight
        self._demand = self._checked_demand(fixed)
        kinds = Kinds.of(cluster, self._demand, fixed)
        self._scale = float(np.abs(worth).max()) or 1.0
        self._master = Master(kinds, worth[kinds.ids] / self._scale, self._each / self._scale, self._demand)
        self._ceiling: float | None = None
        self._top: float | None = None

    def plan(self, moves: int | None) -> MovePlan:
        """Return the best plan of at most so many moves; of any number for None.

        Raises:
            InputError: what arrives cannot be placed with so few moves; says with how many it can.
            SolverError: no plan was found within the time limit.
        """
        wall, cpu = perf_counter(), process_time()

        def left() -> float:
            return self._time_limit - (perf_counter() - wall)

        # containers that leave the cluster also leave their node
        budget = None if moves is None else float(moves + self._leaving.sum())
        relaxed = self._master.solve(budget)
        whole = None
        if relaxed.short <= FEASIBLE:
            ceiling = self._optimum_bound() if self._tight and self._near_top(relaxed) else np.inf
            whole = round_to_whole(self._master, relaxed, budget, self._gap, left, ceiling)
        if whole is None:
            if relaxed.short <= FEASIBLE and left() <= 0:
                raise SolverError(f"no plan was found in {self._time_limit:g} s: raise rebalance.time_limit")
            self._refuse(moves)
        plan = self._as_plan(whole, relaxed, moves)
        return replace(plan, seconds=perf_counter() - wall, cpu_seconds=process_time() - cpu)

    def frontier(self, moves: Sequence[int] | None = None, report: Report | None = None) -> list[MovePlan]:
        """Return a plan for each number of moves, in ascending order; for chosen ones where none are given.

        None is worth less than one of fewer moves.
        """
        points = sorted(set(moves)) if moves is not None else self._points()
        plans: list[MovePlan] = []
        for i, budget in enumerate(points):
            plan = self.plan(budget)
            if plans and plans[-1].value - plans[-1].cost >= plan.value - plan.cost - ROUNDING:
                # within the gap of the same bound, and no worse
                last, bound = plans[-1], plan.bound - plan.cost + plans[-1].cost
                plan = replace(
                    plan,
                    placement=last.placement,
                    moves=last.moves,
                    value=last.value,
                    cost=last.cost,
                    bound=bound,
                    gap=relative_gap(last.value, bound),
                )
            plans.append(plan)
            if report is not None:
                report(i + 1, len(points))
        return plans

    def least_moves(self) -> int | None:
        """Return the fewest moves with which everything can be placed; None where no number is enough."""
        counted = MoveProgram(
            np.zeros(len(self._worth)),
            self._cluster,
            arriving=self._arriving,
            leaving=self._leaving,
            cost=np.where(self._master.kinds.fixed, np.inf, 1.0),
            gap=0.0,
            time_limit=self._time_limit,
        )
        relaxed = counted._master.solve(None)
        if relaxed.short > FEASIBLE:
            return None
        start = perf_counter()
        whole = round_to_whole(
            counted._master, relaxed, None, 0.0, lambda: self._time_limit - (perf_counter() - start)
        )
        return None if whole is None else round(-whole.value) - int(self._leaving.sum())

    def most_moves(self) -> int:
        """Return how many moves are as good as any number, by the bound."""
        master, least = self._master, int(self._leaving.sum())
        top = self._unlimited()
        few, many = least, int(self._cluster.existing.sum())
        while few < many:
            middle = (few + many) // 2
            relaxed = master.solve(float(middle))
            enough = relaxed.short <= FEASIBLE and relaxed.bound >= top - SATURATED * abs(top)
            few, many = (few, middle) if enough else (middle + 1, many)
        return many - least

    def _points(self) -> list[int]:
        """Numbers of moves from the fewest possible to as many as help."""
        least = 0
        if self._arriving.any():
            found = self.least_moves()
            if found is None:
                self._refuse(None)
            least = found or 0
        most = max(self.most_moves(), least)
        shares = np.linspace(0, 1, POINTS) ** BEND
        return sorted({least + round(float(share) * (most - least)) for share in shares})

    def _checked_demand(self, fixed: BoolArray) -> IntArray:
        apps, running = self._cluster.space.apps, self._cluster.existing.sum(axis=0)
        for a in np.flatnonzero(self._leaving > running):
            raise InputError(f"{self._leaving[a]} containers of {apps[a]} cannot leave: {running[a]} run")
        demand = np.asarray(running + self._arriving - self._leaving)
        slots = self._cluster.nodes * self._cluster.space.slots
        if demand.sum() > slots:
            raise InputError(
                f"{self._arriving.sum()} containers do not fit at any number of moves: "
                f"{self._cluster.nodes} nodes of {self._cluster.space.slots} slots hold {slots} containers, "
                f"{running.sum() - self._leaving.sum()} run"
            )
        for a in np.flatnonzero(fixed & (self._leaving > 0)):
            raise InputError(f"{self._leaving[a]} containers of {apps[a]} leave, none of which may move")
        return demand

    def _unlimited(self) -> float:
        """The linear program's bound for any number of moves, scaled."""
        if self._top is None:
            self._top = self._master.solve(None).bound
        return self._top

    def _near_top(self, relaxed: Relaxed) -> bool:
        """Whether more moves would gain next to nothing."""
        top = self._unlimited()
        return relaxed.bound >= top - NEAR_TOP * abs(top)

    def _optimum_bound(self) -> float:
        """The bound of placing everything from nothing, scaled; infinite where a node breaks a rule."""
        if self._ceiling is None:
            cluster = self._cluster
            kept = cluster.allowed[cluster.space.index(cluster.existing)].all()
            empty = Cluster(cluster.space, cluster.nodes, allowed=cluster.allowed)
            self._ceiling = np.inf
            if kept and self._demand.any():
                try:
                    found = solve_colocation_program(
                        self._worth, self._demand, empty, mip_rel_gap=self._gap / 4, time_limit=CEILING_LIMIT
                    )
                    self._ceiling = found.bound / self._scale
                except SolverError:
                    self._ceiling = np.inf  # not in time: then it says nothing
        return self._ceiling

    def _refuse(self, moves: int | None) -> NoReturn:
        arriving = int(self._arriving.sum())
        least = self.least_moves() if moves is not None else None
        if least is None:
            fixed = self._master.kinds.fixed
            stay = [app for app, stays in zip(self._cluster.space.apps, fixed, strict=True) if stays]
            reason = f"while containers of {', '.join(stay)} may not move" if stay else "the rules forbid it"
            raise InputError(f"{arriving} containers that arrive fit at no number of moves: {reason}")
        raise InputError(
            f"{arriving} containers that arrive do not fit with moves={moves}: at least {least} are needed"
        )

    def _as_plan(self, whole: Whole, relaxed: Relaxed, budget: int | None) -> MovePlan:
        kinds, cluster = self._master.kinds, self._cluster
        placement = np.zeros_like(cluster.existing)
        # nodes of a kind hold the same, so which becomes which makes no difference in moves
        placement[np.argsort(kinds.kind_of, kind="stable")] = kinds.counts[
            whole.reached[np.argsort(whole.rows, kind="stable")]
        ]
        left = np.maximum(cluster.existing - placement, 0).sum(axis=0)
        reached = value(placement - cluster.existing, cluster, self._worth)
        bound = max(whole.bound * self._scale + float(left @ self._each), reached)
        prices = relaxed.prices
        return MovePlan(
            placement=placement,
            budget=budget,
            moves=int(left.sum() - self._leaving.sum()),
            value=reached,
            cost=float((left - self._leaving) @ self._each),
            bound=bound,
            gap=relative_gap(reached, bound),
            prices=Prices(
                prices.container * self._scale, prices.move * self._scale, prices.node * self._scale
            ),
            kind_of=kinds.kind_of,
            seconds=0.0,
            cpu_seconds=0.0,
        )
