"""What is known of nodes that differ: use by type and domain, broken soft rules, what more would be worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Any

from flows.configuration.settings import Settings
from flows.placing.wide import Bound
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.kinds import problem_of
from metis.problem.oracle import Oracle, types_of, worth_of
from metis.problem.tables import Tables
from metis.problem.use import Broken, TypeUse, broken_rules, use_by_domain, use_by_type
from metis.wording import amount

if TYPE_CHECKING:
    from metis.program.shadow_prices import ShadowPrices

FEW = 6  # rules and domains that are shown of many


@dataclass(frozen=True)
class Stated:
    """A placement on nodes that differ.

    Attributes:
        types: what is used of each.
        domains: containers by fault domain.
        broken: soft rules that are.
        prices: what changes would be worth; None where the bound has no duals.
        measured: of each type the share of co-locations that were measured on it; empty where the profile
            does not distinguish types.
        doubt: `simulator.type_doubt`, by which the others are worse.
    """

    types: list[TypeUse]
    domains: dict[str, dict[str, int]]
    broken: list[Broken]
    prices: "ShadowPrices | None"
    measured: Mapping[str, float]
    doubt: float

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        types = {one.name: one.document() for one in self.types}
        for name, share in self.measured.items():
            types[name] |= {"measured": share}
        found: dict[str, Any] = {
            "types": types,
            "domains": self.domains,
            "broken": [one.document() for one in self.broken],
            **({"type_doubt": self.doubt} if self.measured else {}),
        }
        return found if self.prices is None else found | {"worth_of_one_more": self.prices.document()}

    @property
    def heads(self) -> list[str]:
        """The headings of `uses`."""
        return ["type", "nodes", "free", *self.types[0].used]

    def uses(self) -> list[list[str]]:
        """Return a row of texts for each type: nodes, free nodes, and of each resource what is used."""
        return [
            [
                one.name,
                str(one.nodes),
                str(one.free_nodes),
                *(f"{_short(one.used[name])} / {_short(one.capacity[name])}" for name in one.used),
            ]
            for one in self.types
        ]

    def lines(self) -> list[str]:
        """Return a line for each fault domain, each broken soft rule, each type that was not all measured."""
        found = []
        for domain, held in self.domains.items():
            shown = [f"{name} {count}" for name, count in list(held.items())[:FEW]]
            more = f", and {len(held) - FEW} more" if len(held) > FEW else ""
            found.append(f"containers by {domain}: {', '.join(shown)}{more}")
        for one in self.broken:
            cost = "within its share" if one.penalty is None else f"at {one.penalty:g} each"
            found.append(f"soft rule broken: {one.rule} by {amount(one.containers, 'container')}, {cost}")
        lower = f"{1 - exp(-self.doubt):.1%} worse (simulator.type_doubt={self.doubt:g})"
        for name, share in self.measured.items():
            if share == 0:
                found.append(f"type {name} was not measured: predicted by what others do, {lower}")
            elif share < 1:
                found.append(
                    f"type {name}: {share:.1%} of the co-locations were measured on it; the others are "
                    f"predicted with the help of other types, {lower}"
                )
        return found

    def gains(self) -> list[list[str]]:
        """Return rows of what more would be worth; none where no prices are known."""
        if self.prices is None:
            return []
        rows = [[f"one more node of type {name}", f"{gain:+.6f}"] for name, gain in self.prices.nodes.items()]
        for name, gains in self.prices.resources.items():
            for resource, gain in gains.items():
                more = "one more slot" if resource == "slots" else f"a tenth more {resource}"
                rows.append([f"{more} on a node of type {name}, at most", f"{gain:+.6f}"])
        dear = sorted(self.prices.rules.items(), key=lambda item: -item[1])
        return rows + [[f"one container more: {words}", f"{gain:+.6f}"] for words, gain in dear[:FEW]]


def stated_of(
    placement: IntArray,
    group: IntArray,
    cluster: Cluster,
    known: Tables | Oracle,
    bound: Bound,
    settings: Settings,
) -> Stated | None:
    """Return what is said of a placement on nodes that differ; None where they are alike.

    Args:
        placement: new containers, int [nodes, apps].
        group: containers to place, int [apps].
        cluster: where to.
        known: of co-locations, by tables or an oracle.
        bound: with its duals, if any.
        settings: objective and simulator.
    """
    if cluster.stated is None:
        return None
    prices = None
    if bound.duals is not None:
        from metis.program.shadow_prices import shadow_prices

        problem, _ = problem_of(group, cluster, worth_of(settings.objective, group, cluster, known))
        prices = shadow_prices(problem, bound.duals)
    held = placement + cluster.existing
    return Stated(
        types=use_by_type(cluster.stated, held),
        domains=use_by_domain(cluster.stated, held),
        broken=broken_rules(cluster.stated, held, cluster.space),
        prices=prices,
        measured=_measured(known, cluster.stated.types),
        doubt=settings.simulator.type_doubt,
    )


def _measured(known: Tables | Oracle, types: tuple[str, ...]) -> dict[str, float]:
    """Return the share of co-locations measured on each type; nothing where types are not distinguished."""
    by_type = types_of(known)
    return {name: by_type[name].measured if name in by_type else 0.0 for name in types if by_type}


def _short(amount: float) -> str:
    """Return an amount in few digits, large ones in binary units as memory is counted."""
    for power, unit in ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi")):
        if amount >= power:
            return f"{amount / power:.4g}{unit}"
    return f"{amount:.4g}"
