"""What is known of nodes that differ: use by type and domain, broken soft rules, what more would be worth."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.placing.wide import Bound
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.use import Broken, TypeUse, broken_rules, use_by_domain, use_by_type
from metis.problem.worth import Worth

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
    """

    types: list[TypeUse]
    domains: dict[str, dict[str, int]]
    broken: list[Broken]
    prices: "ShadowPrices | None"

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        found: dict[str, Any] = {
            "types": {one.name: one.document() for one in self.types},
            "domains": self.domains,
            "broken": [one.document() for one in self.broken],
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
        """Return a line for each fault domain, and for each soft rule that is broken."""
        found = []
        for domain, held in self.domains.items():
            shown = [f"{name} {count}" for name, count in list(held.items())[:FEW]]
            more = f", and {len(held) - FEW} more" if len(held) > FEW else ""
            found.append(f"containers by {domain}: {', '.join(shown)}{more}")
        for one in self.broken:
            cost = "within its share" if one.penalty is None else f"at {one.penalty:g} each"
            containers = "container" if one.containers == 1 else "containers"
            found.append(f"soft rule broken: {one.rule} by {one.containers} {containers}, {cost}")
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
    placement: IntArray, group: IntArray, cluster: Cluster, worth: FloatArray | Worth, bound: Bound
) -> Stated | None:
    """Return what is said of a placement on nodes that differ; None where they are alike.

    Args:
        placement: new containers, int [nodes, apps].
        group: containers to place, int [apps].
        cluster: where to.
        worth: of co-locations.
        bound: with its duals, if any.
    """
    if cluster.stated is None:
        return None
    prices = None
    if bound.duals is not None:
        from metis.program.shadow_prices import shadow_prices

        problem, _ = problem_of(group, cluster, worth)
        prices = shadow_prices(problem, bound.duals)
    held = placement + cluster.existing
    return Stated(
        types=use_by_type(cluster.stated, held),
        domains=use_by_domain(cluster.stated, held),
        broken=broken_rules(cluster.stated, held, cluster.space),
        prices=prices,
    )


def _short(amount: float) -> str:
    """Return an amount in few digits, large ones in binary units as memory is counted."""
    for power, unit in ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi")):
        if amount >= power:
            return f"{amount / power:.4g}{unit}"
    return f"{amount:.4g}"
