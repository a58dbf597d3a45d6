"""The check of a problem (group, nodes, rules, what runs) before anything long is done for it."""

from pathlib import Path

from baselines.registry import check_name, check_wide
from flows.configuration.objects import (
    app_names,
    chosen_colocations,
    make_cluster,
    make_groups,
    make_oracle,
    make_testbed,
    onto_profile,
)
from flows.configuration.settings import Settings
from metis.errors import InputError
from metis.problem.groups import check_group
from metis.problem.space import ColocationSpace
from metis.program.contradiction import check_rules

OPTIMUM = "optimum"


def check_problem(settings: Settings) -> None:
    """Refuse a group that cannot be placed, before minutes of exploring and training for it.

    Args:
        settings: of the command, with files where ids of MLflow runs were (see `flows.placing.given`).

    Raises:
        InputError: unknown applications, rules or existing containers that do not fit, a group of more
            containers than there are free slots, or rules that no placement of it satisfies.
    """
    space = known_space(settings)
    if space is None:
        return
    cluster = make_cluster(settings, space)
    for group in make_groups(settings, space.apps):
        check_group(group, cluster)
        check_rules(group, cluster)


def check_scheduler(settings: Settings, name: str) -> None:
    """Refuse a scheduler that cannot place under these settings, before anything is made for it.

    Raises:
        InputError: there is none of that name, or it needs a table or nodes that are alike, and lists the
            others; or it goes through all columns, and these are too many.
    """
    if not settings.by_oracle:
        check_name(name)
        return
    check_wide(name, stated=settings.stated and not settings.wide)
    space = known_space(settings) if name.split("+")[0] == OPTIMUM else None
    if space is not None:
        from metis.program.kinds_program import check_enumerable

        cluster = make_cluster(settings, space)
        for group in make_groups(settings, space.apps):
            check_enumerable(group, cluster)


def check_table(settings: Settings) -> None:
    """Refuse `simulator=table` where what will be measured cannot be every co-location.

    A file of measurements is left to the stage that reads it: that takes no measuring.

    Raises:
        InputError: says how many there are, how many will be measured at most, and by which setting.
    """
    if settings.simulator.kind != "table" or settings.profile.path is not None:
        return
    space = known_space(settings)
    if space is None:
        return
    if settings.profile.explored:
        known, by = settings.explore.budget, f"explore.budget={settings.explore.budget}"
    else:
        chosen = "share" if settings.profile.choose == "share" else "choose"
        known, by = _to_measure(settings, space), f"profile.{chosen}={getattr(settings.profile, chosen)}"
    if known < space.size - 1:
        raise InputError(
            f"simulator=table needs every co-location measured, all {space.size - 1:,}: {by} measures "
            f"{known:,} at most; use simulator=ensemble, the best for few rows, or profile=all"
        )


def _to_measure(settings: Settings, space: ColocationSpace) -> int:
    """Return how many co-locations a profile will hold."""
    onto = onto_profile(settings, space)
    return len(chosen_colocations(settings, space, onto)) + (0 if onto is None else len(onto))


def known_space(settings: Settings) -> ColocationSpace | None:
    """Return applications and slots as the settings alone tell them; None where a stage finds out.

    A profile that cannot be read is the stage's to report, which records it.
    """
    if settings.profile.path is None and settings.testbed.kind == "swarm":
        names, slots = app_names(settings), settings.cluster.slots
        return ColocationSpace(names, slots) if names and slots else None
    try:
        if settings.profile.path is None:
            return make_oracle(settings).space if settings.wide else make_testbed(settings).space
        from metis.measure.profile_files import load_profile

        return load_profile(Path(settings.profile.path), app_names(settings), settings.cluster.slots).space
    except InputError:
        return None
