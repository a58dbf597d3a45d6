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
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of, with_moves
from metis.problem.worth import Worth
from metis.program.colocation_program import ROUNDING, relative_gap, solve_colocation_program
from metis.program.exchange_sweeps import exchange_in_sweeps
from metis.program.generation import BoundKind
from metis.program.moves_needed import needed_moves
from metis.program.moves_relaxation import FEASIBLE, MoveRelaxation, Relaxed
from metis.program.moves_rounding import Whole, round_to_whole

GAP = 2e-4  # share of the bound at which a plan counts as good enough
TIME_LIMIT = 60.0  # seconds for one number of moves
SATURATED = 1e-4  # share of the unlimited bound that is as good as all of it
NEAR_TOP = 2e-3  # share of the unlimited bound below which the optimum from nothing says something
POINTS = 12  # of a frontier whose numbers of moves are not given
CEILING_LIMIT = 20.0  # seconds for the optimum from nothing
HURRIED = 0.2  # share of the time limit that is left for the best moves, where a search does not end before
BEND = 1.6  # the first moves gain most: the points of a frontier lie denser there

Report = Callable[[int, int], None]
BoolArray = NDArray[np.bool_]


class Prices(NamedTuple):
    """The prices of a program of moves.

    Attributes:
        container: of placing one container on a node of each kind, float64 [kinds, apps]: what the room is
            worth that it takes.
        move: what one move more would gain, 0 or more.
        node: what a node of each kind adds beyond its containers' prices, float64 [kinds].
    """

    container: FloatArray
    move: float
    node: FloatArray


class NoWorth:
    """The worth of co-locations where only moves count."""

    def of(self, colocations: IntArray) -> FloatArray:
        """Return 0 for each of `colocations` [n, apps], float64 [n]."""
        return np.zeros(len(colocations))


@dataclass(frozen=True)
class MovePlan:
    """What runs in the end, reached by a limited number of moves.

    Attributes:
        placement: containers on every node in the end, int [nodes, apps].
        budget: moves allowed; None for any number.
        moves: moves made: containers that leave a node for another one.
        value: of the placement by the objective, the cost of moves not subtracted.
        cost: of the moves made.
        bound: no plan whose moves cost as much has a larger value, as far as `bound_kind` goes.
        bound_kind: `proven`, or `estimated` where co-locations were searched and not all looked at.
        gap: what is missing to the bound, as a share of it.
        prices: of containers, moves and kinds of nodes.
        kind_of: kind of every node, int [nodes], by which `prices.node` is numbered.
        seconds: wall time.
        cpu_seconds: processor time.
        ended: whether the search of co-locations ended in time; if not, the estimated bound is too low.
    """

    placement: IntArray
    budget: int | None
    moves: int
    value: float
    cost: float
    bound: float
    bound_kind: BoundKind
    gap: float
    prices: Prices
    kind_of: IntArray
    seconds: float
    cpu_seconds: float
    ended: bool = True


class MoveProgram:
    """A running cluster, to be improved by moves; what one number of moves found helps the next.

    Args:
        worth: of co-locations, a table [space.size] or an oracle; always maximised.
        cluster: nodes, what runs there, and what rules and capacities admit. A node that holds what they
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
        worth: FloatArray | Worth,
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
        self._fixed: BoolArray = np.isposinf(each)
        self._each = np.where(self._fixed, 0.0, each)
        self._worth, self._cluster = worth, cluster
        self._gap, self._time_limit, self._tight = gap, time_limit, tight
        self._demand = self._checked_demand()
        self._stays = cluster.existing * self._fixed
        problem, self._kind_of = problem_of(
            self._demand - self._stays.sum(axis=0),
            replace(cluster, existing=self._stays),
            worth,
            cluster.existing - self._stays,
        )
        self._relaxation = MoveRelaxation(replace(problem, move_cost=self._each))
        self._found: dict[int, Whole] = {}  # by the number of containers that may leave their node
        self._ceiling: float | None = None
        self._top: float | None = None

    def plan(self, moves: int | None) -> MovePlan:
        """Return the best plan of at most so many moves; of any number for None.

        Raises:
            InputError: what arrives cannot be placed with so few moves; says with how many it can.
            SolverError: no plan was found within the time limit.
        """
        wall, cpu = perf_counter(), process_time()
        left = self._left()
        budget = self._leavers(moves)
        spare = 0.0 if self._relaxation.whole else HURRIED * self._time_limit
        relaxed = self._relaxation.solve(budget, lambda: left() - spare)
        whole = None
        if relaxed.short <= FEASIBLE:
            tight = self._tight and self._from_nothing() and self._near_top(relaxed)
            ceiling = self._optimum_bound() if tight else np.inf
            known = None if self._relaxation.whole else self._known(budget)
            if spare and left() <= spare:
                known = self._best_moves(budget, known, perf_counter() + left() - spare / 4)
            whole = round_to_whole(self._relaxation, relaxed, budget, self._gap, left, ceiling, known)
        if whole is None:
            if relaxed.short <= FEASIBLE and left() <= 0:
                raise SolverError(f"no plan was found in {self._time_limit:g} s: raise rebalance.time_limit")
            self._refuse(moves)
        whole = needed_moves(self._relaxation, relaxed, whole, int(self._leaving.sum()), left)
        self._found[budget] = whole
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
            NoWorth(),
            self._cluster,
            arriving=self._arriving,
            leaving=self._leaving,
            cost=np.where(self._fixed, np.inf, 1.0),
            gap=0.0,
            time_limit=self._time_limit,
        )
        budget, left = counted._leavers(None), self._left()
        relaxed = counted._relaxation.solve(budget, left)
        if relaxed.short > FEASIBLE:
            return None
        whole = round_to_whole(counted._relaxation, relaxed, budget, 0.0, left)
        return None if whole is None else round(-whole.value) - int(self._leaving.sum())

    def most_moves(self) -> int:
        """Return how many moves are as good as any number, by the bound."""
        least = int(self._leaving.sum())
        top = self._unlimited()
        few, many = least, int(self._cluster.existing.sum())
        while few < many:
            middle = (few + many) // 2
            relaxed = self._relaxation.solve(middle, self._left())
            enough = relaxed.short <= FEASIBLE and relaxed.bound >= top - SATURATED * abs(top)
            few, many = (few, middle) if enough else (middle + 1, many)
        return many - least

    def _left(self) -> Callable[[], float]:
        """Return what returns the seconds that are left of the time limit, which begins now."""
        begun = perf_counter()
        return lambda: self._time_limit - (perf_counter() - begun)

    def _known(self, budget: int) -> Whole | None:
        """Return the best plan that is known of no more containers that leave their node."""
        fewer = [whole for found, whole in self._found.items() if found <= budget]
        return max(fewer, key=lambda whole: whole.value, default=Whole.unmoved(self._relaxation))

    def _best_moves(self, budget: int, known: Whole | None, until: float) -> Whole | None:
        """Return a plan of the best moves or swaps, one after another, or the known one if it is better."""
        problem = with_moves(self._relaxation.problem, budget)
        if problem.origin is None or Whole.unmoved(self._relaxation) is None:
            return known  # something arrives or leaves
        origin = problem.origin[self._kind_of]
        steps = int(origin.sum())
        placed = exchange_in_sweeps(problem, self._kind_of, origin, steps, 1e-12, until=until, few=True)[0]
        found = float(self._relaxation.net_worth(self._kind_of, placed).sum())
        if known is not None and known.value >= found:
            return known
        return Whole(self._kind_of, placed, found, np.inf)

    def choices(self, node: int) -> tuple[IntArray, FloatArray]:
        """Return what a node may end up with, as far as it was looked at: co-locations [n, apps], worth [n].

        What it holds comes first.
        """
        relaxation, kind = self._relaxation, int(self._kind_of[node])
        columns, origin = relaxation.pools[kind].columns, relaxation.problem.origin
        assert origin is not None
        others = (columns.added != origin[kind]).any(axis=1)
        added = np.concatenate([origin[kind][None], columns.added[others]])
        worth = np.append(relaxation.own_worth[kind], columns.worth[others])
        return added + self._stays[node], worth

    def _leavers(self, moves: int | None) -> int:
        """How many containers may leave their node: those that leave the cluster do, too."""
        any_number = int(self._cluster.existing.sum())
        return any_number if moves is None else min(moves + int(self._leaving.sum()), any_number)

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

    def _checked_demand(self) -> IntArray:
        apps, running = self._cluster.space.apps, self._cluster.existing.sum(axis=0)
        for a in np.flatnonzero(self._leaving > running):
            raise InputError(f"{self._leaving[a]} containers of {apps[a]} cannot leave: {running[a]} run")
        demand = np.asarray(running + self._arriving - self._leaving)
        stated = self._cluster.stated
        if stated is not None:
            stated.check_demand(demand, running - self._leaving)
        slots = self._cluster.free_slots + int(running.sum())
        if demand.sum() > slots:
            each = f" of {self._cluster.space.slots} slots" if stated is None else ""
            raise InputError(
                f"{self._arriving.sum()} containers do not fit at any number of moves: "
                f"{self._cluster.nodes} nodes{each} hold {slots} containers, "
                f"{running.sum() - self._leaving.sum()} run"
            )
        for a in np.flatnonzero(self._fixed & (self._leaving > 0)):
            raise InputError(f"{self._leaving[a]} containers of {apps[a]} leave, none of which may move")
        return demand

    def _unlimited(self) -> float:
        """The linear program's bound for any number of moves."""
        if self._top is None:
            self._top = self._relaxation.solve(self._leavers(None), self._left()).bound
        return self._top

    def _near_top(self, relaxed: Relaxed) -> bool:
        """Whether more moves would gain next to nothing."""
        top = self._unlimited()
        return relaxed.bound >= top - NEAR_TOP * abs(top)

    def _from_nothing(self) -> bool:
        """Whether placing all from nothing gives a bound: nodes are alike, and none breaks a rule."""
        cluster = self._cluster
        tabulated = isinstance(self._worth, np.ndarray) and cluster.stated is None
        return tabulated and bool(cluster.admits(cluster.existing).all())

    def _optimum_bound(self) -> float:
        """The bound of placing all from nothing; see `_from_nothing`."""
        if self._ceiling is None:
            cluster, worth = self._cluster, self._worth
            self._ceiling = np.inf
            if isinstance(worth, np.ndarray) and self._demand.any():
                empty = Cluster(cluster.space, cluster.nodes, allowed=cluster.allowed)
                try:
                    found = solve_colocation_program(
                        worth, self._demand, empty, mip_rel_gap=self._gap / 4, time_limit=CEILING_LIMIT
                    )
                    self._ceiling = found.bound
                except SolverError:
                    self._ceiling = np.inf  # not in time: then it says nothing
        return self._ceiling

    def _refuse(self, moves: int | None) -> NoReturn:
        arriving = int(self._arriving.sum())
        least = self.least_moves() if moves is not None else None
        if least is None:
            stay = [app for app, stays in zip(self._cluster.space.apps, self._fixed, strict=True) if stays]
            reason = f"while containers of {', '.join(stay)} may not move" if stay else "the rules forbid it"
            raise InputError(f"{arriving} containers that arrive fit at no number of moves: {reason}")
        raise InputError(
            f"{arriving} containers that arrive do not fit with moves={moves}: at least {least} are needed"
        )

    def _as_plan(self, whole: Whole, relaxed: Relaxed, budget: int | None) -> MovePlan:
        cluster, problem, solution = self._cluster, self._relaxation.problem, relaxed.solution
        placement = np.zeros_like(cluster.existing)
        # nodes of a kind hold the same, so which becomes which makes no difference in moves
        placement[np.argsort(self._kind_of, kind="stable")] = whole.added[
            np.argsort(whole.kind, kind="stable")
        ]
        reached = problem.value(self._kind_of, placement)
        placement = placement + self._stays
        left = np.maximum(cluster.existing - placement, 0).sum(axis=0)
        bound = max(whole.bound + float(left @ self._each), reached)
        containers = np.stack([problem.prices_in(k, solution.duals) for k in range(problem.kinds)])
        return MovePlan(
            placement=placement,
            budget=budget,
            moves=int(left.sum() - self._leaving.sum()),
            value=reached,
            cost=float((left - self._leaving) @ self._each),
            bound=bound,
            bound_kind=relaxed.bound_kind,
            ended=relaxed.ended,
            gap=relative_gap(reached, bound),
            prices=Prices(containers, float(solution.tolls[-1]), solution.kinds),
            kind_of=self._kind_of,
            seconds=0.0,
            cpu_seconds=0.0,
        )
