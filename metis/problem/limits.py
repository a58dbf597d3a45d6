"""Limits that rules put on single nodes and fault domains, as the program and its schedulers keep them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.names import meant
from metis.problem.counts import IntArray
from metis.problem.node_types import DOMAIN_OF_ONE
from metis.problem.rules import RuleSet
from metis.problem.statement import Statement

ROUNDING = 1e-9  # of shares of containers


@dataclass(frozen=True)
class Limit:
    """At most so many containers of some applications on some nodes.

    Attributes:
        words: what it is, for people.
        parts: numbers of the applications, each with the nodes where its containers count, bool [nodes].
        most: containers, those that run already included.
        penalty: what each container beyond takes from the objective, in the RPS of one container; infinity
            for a hard limit.
    """

    words: str
    parts: tuple[tuple[int, NDArray[np.bool_]], ...]
    most: int
    penalty: float = np.inf

    @property
    def hard(self) -> bool:
        """Whether it may not be passed."""
        return bool(np.isinf(self.penalty))

    def used(self, held: IntArray) -> int:
        """Return how many containers of `held` [nodes, apps] count."""
        return sum(int(held[nodes, app].sum()) for app, nodes in self.parts)


def limits_of(statement: Statement, total: IntArray, twice: bool = False) -> list[Limit]:
    """Return the limits on more nodes than one; those that cannot bind are left out.

    Args:
        statement: nodes and rules.
        total: containers of each application that will run, int [apps].
        twice: whether each may run twice for a while, as where containers move.

    Raises:
        InputError: a rule names an unknown application, type, label, node or fault domain.
    """
    rules = statement.rules
    found = _spread(statement, rules, total, np.inf)
    for soft in rules.soft:
        penalty = np.inf if soft.penalty is None else soft.penalty
        found += _spread(statement, soft, total, penalty)
        elsewhere = tuple(
            (app_number(statement, app), ~named_nodes(statement, app, names))
            for app, names in soft.eligible.items()
        )
        if soft.share is None:
            found += [
                Limit(f"{statement.apps[a]}: only where it is eligible", ((a, nodes),), 0, penalty)
                for a, nodes in elsewhere
            ]
        elif elsewhere:
            most = int(soft.share * total.sum() + ROUNDING)
            words = f"{', '.join(soft.eligible)}: at most {most} where they are not eligible"
            found.append(Limit(words, elsewhere, most))
    there = 2 * total if twice else total
    return [one for one in found if one.most < sum(there[a] for a, nodes in one.parts if nodes.any())]


def eligible(statement: Statement) -> NDArray[np.bool_]:
    """Return whether the hard rules let an application use a node, bool [nodes, apps].

    Raises:
        InputError: a rule names an unknown application, type, label or node.
    """
    found = np.ones((len(statement.nodes), len(statement.apps)), dtype=bool)
    for app, names in statement.rules.eligible.items():
        found[:, app_number(statement, app)] = named_nodes(statement, app, names)
    return found


def most_on_one(statement: Statement, total: IntArray) -> IntArray:
    """Return how many containers of an application one node may hold by the hard rules, int [nodes, apps].

    Rules of eligibility, `at_most` and `spread` over single nodes count; capacity is another matter.
    """
    most = np.tile(total, (len(statement.nodes), 1))
    for app, limit in statement.rules.at_most.items():
        a = app_number(statement, app)
        most[:, a] = np.minimum(most[:, a], limit)
    for app, domains in statement.rules.spread.items():
        if DOMAIN_OF_ONE in domains:
            a = app_number(statement, app)
            most[:, a] = np.minimum(most[:, a], _number(domains[DOMAIN_OF_ONE], int(total[a])))
    return np.asarray(np.where(eligible(statement), most, 0))


def named_nodes(statement: Statement, app: str, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which nodes a rule means by names of types, labels or nodes, bool [nodes].

    Raises:
        InputError: a name is none of them.
    """
    known = {*statement.types, *statement.nodes, *(label for one in set(statement.labels) for label in one)}
    for name in names:
        if name not in known:
            listed = [*statement.types, *sorted(known - {*statement.types, *statement.nodes})]
            raise InputError(
                f"rules.eligible.{app}: {name!r} is no node type, label or node; {meant(name, listed)}"
            )
    wanted = set(names)
    of_type = np.array([name in wanted for name in statement.types])[statement.type_of]
    own = [
        node in wanted or bool(labels & wanted)
        for node, labels in zip(statement.nodes, statement.labels, strict=True)
    ]
    return np.asarray(of_type | np.array(own))


def app_number(statement: Statement, app: str) -> int:
    """Return the number of an application that a rule names.

    Raises:
        InputError: there is none of that name.
    """
    if app not in statement.apps:
        raise InputError(f"rules name the unknown application {app!r}; {meant(app, statement.apps)}")
    return statement.apps.index(app)


def _spread(statement: Statement, rules: RuleSet, total: IntArray, penalty: float) -> list[Limit]:
    found = []
    for app, domains in rules.spread.items():
        a = app_number(statement, app)
        for domain, given in domains.items():
            if domain == DOMAIN_OF_ONE:
                continue  # see `most_on_one`
            if domain not in statement.domains:
                known = [*statement.domains, DOMAIN_OF_ONE]
                raise InputError(
                    f"rules.spread.{app}: the nodes have no fault domain {domain!r}; {meant(domain, known)}"
                )
            most = _number(given, int(total[a]))
            within = np.array(statement.domains[domain])
            for name in dict.fromkeys(statement.domains[domain]):
                words = f"{app}: at most {most} in {domain} {name}"
                found.append(Limit(words, ((a, within == name),), most, penalty))
    return found


def _number(given: float, total: int) -> int:
    """Return how many containers a number, or below 1 a share of them, stands for: 1 at least."""
    return round(given) if given >= 1 else max(int(given * total + ROUNDING), 1)
