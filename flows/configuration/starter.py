"""The files of a case of one's own: settings, measurements and groups, with comments."""

import shlex
from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

import yaml

SETTINGS, MEASUREMENTS, GROUPS = "experiment/mine.yaml", "measurements.csv", "groups.csv"
EXAMPLE_APPS, EXAMPLE_SLOTS, EXAMPLE_NODES = ("web", "db", "cache"), 4, 6

YAML = """# @package _global_
# A case of your own. Everything that metis reads is set here; `metis config` lists all settings there are.
#
#   metis place   --config-dir {folder} experiment=mine out=plan.json
#   metis explain --config-dir {folder} experiment=mine placement=plan.json
#   metis compare --config-dir {folder} experiment=mine schedulers=[optimum,greedy,spread]
#   metis run     --config-dir {folder} experiment=mine
#
# Paths are relative to where metis is started.

# The applications, in the order in which counts are printed: letters, digits, dots, hyphens and _.
apps:
  names: [{apps}]

# The nodes: how many, and how many containers each of them holds.
cluster:
  nodes: {nodes}
  slots: {slots}

# What was measured: see the comments in that file. `metis import-profile {measurements}` checks it.
profile:
  kind: file
  path: {measurements}

# What predicts the co-locations that were not measured. Of few rows `ensemble` makes the most; `boosted` is
# faster for hundreds; `table` predicts nothing and needs every co-location.
simulator:
  kind: ensemble

# The containers to place: the first row of that file, or all rows with `compare` and `run`. On the command
# line 'group.counts={{{counts}}}' places another group.
groups:
  path: {groups}

# Rules that every placement keeps. Take the # away to set one.
rules:
  never_together: []            # pairs that share no node, such as [[{first}, {second}]]
  # at_most: {{{second}: 2}}       # containers of an application on one node
  # only_beside: {{{first}: [{last}]}}    # an application only where at least one of others is

# What already runs and stays: a table with a column per application and a row per node, or a plan of `place`.
# existing: {folder}/existing.csv

# The exact optimum takes seconds for a few applications; `metis` learns where there are many.
scheduler: optimum
schedulers: [optimum, greedy+local_search, greedy, spread]

# What a placement is worth: the mean RPS as a share of stand-alone; see conf/objective for others.
objective:
  kind: rps
"""

MEANING = """\
# A row per run: how many containers of each application shared one node, then the RPS of ONE container of
# each (rps_), and its 99th percentile of latency in seconds (p99_, may be left out). Where an application was
# absent, its cells stay empty. Each application needs a row in which one container of it is alone: RPS are
# divided by that. Measure pairs next, then full nodes; repeat rows at will, their median counts.
"""
INVENTED = "# Every number below is invented: put your own in its place.\n"
TO_FILL = "# Fill in what you measure, take away rows that you do not: metis says which cell is missing.\n"

# of a web server that a cache helps, and of a database that disturbs it and itself
EXAMPLE = """\
web,db,cache,rps_web,rps_db,rps_cache,p99_web,p99_db,p99_cache
1,0,0,800,,,0.12,,
0,1,0,,95,,,0.31,
0,0,1,,,5200,,,0.009
2,0,0,738,,,0.13,,
0,2,0,,70,,,0.421,
0,0,2,,,4599,,,0.0102
1,1,0,683,86.9,,0.14,0.339,
1,0,1,926,,4771,0.104,,0.00981
0,1,1,,90.9,4889,,0.324,0.00957
3,0,0,674,,,0.142,,
1,1,1,800,83.5,4628,0.12,0.352,0.0101
1,1,1,807,84.5,4649,0.119,0.349,0.0101
2,0,1,829,,4537,0.116,,0.0103
1,2,0,589,66.8,,0.163,0.441,
0,2,1,,69.1,4747,,0.426,0.00986
4,0,0,582,,,0.165,,
0,4,0,,41.7,,,0.706,
0,0,4,,,3610,,,0.013
2,1,1,723,76.7,4355,0.133,0.384,0.0107
2,2,0,536,62.5,,0.179,0.471,
3,0,1,749,,4306,0.128,,0.0109
1,2,1,695,63.1,4396,0.138,0.467,0.0106
"""
GROUPS_MEANING = "# A row per group: how many containers of each application are to be placed together.\n"


def starter(folder: Path, apps: Sequence[str] | None, nodes: int | None, slots: int | None) -> dict[str, str]:
    """The texts of a starter by path within its folder.

    Args:
        folder: as it will be named on the command line; paths in the settings begin with it.
        apps: names of one's own: the table of measurements is to be filled in; None for an example that
            places as it is.
        nodes: of the cluster; None for an example.
        slots: of a node; None for an example.
    """
    names = tuple(apps or EXAMPLE_APPS)
    held = slots or EXAMPLE_SLOTS
    many = nodes or EXAMPLE_NODES
    groups = _groups(len(names), many * held)
    settings = YAML.format(
        folder=shlex.quote(folder.as_posix()),
        apps=", ".join(_scalar(name) for name in names),
        nodes=many,
        slots=held,
        measurements=_scalar((folder / MEASUREMENTS).as_posix()),
        groups=_scalar((folder / GROUPS).as_posix()),
        counts=",".join(f"{app}:{count}" for app, count in zip(names, groups[0], strict=True)),
        first=names[0],
        second=names[1 % len(names)],
        last=names[-1],
    )
    example = apps is None and held >= EXAMPLE_SLOTS
    table = INVENTED + EXAMPLE if example else TO_FILL + _to_fill(names, held)
    rows = [",".join(map(str, row)) for row in groups]
    return {
        SETTINGS: settings,
        MEASUREMENTS: MEANING + table,
        GROUPS: GROUPS_MEANING + "\n".join([",".join(names), *rows, ""]),
    }


def _scalar(text: str) -> str:
    """A text as YAML reads it back: in quotes where it would be a number, a truth value or a comment."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).partition("\n")[0]


def _groups(apps: int, room: int) -> list[list[int]]:
    """Two groups that leave room: alike in all applications, and mostly of the first."""
    each = max(room * 2 // 3 // apps, 1)
    return [[each] * apps, [min(each * 2, room // 2) or 1] + [max(each // 2, 1)] * (apps - 1)]


def _to_fill(apps: Sequence[str], slots: int) -> str:
    """The table of measurements without RPS: alone, in pairs, full nodes of one application."""
    columns = [*apps, *(f"rps_{app}" for app in apps), *(f"p99_{app}" for app in apps)]
    every = range(len(apps))
    chosen = [[a] for a in every]
    if slots > 1:
        chosen += [list(pair) for pair in combinations_with_replacement(every, 2)]
    if slots > 2:
        chosen += [[a] * slots for a in every]
    rows = [[str(held.count(a)) for a in every] + [""] * (2 * len(apps)) for held in chosen]
    return "\n".join([",".join(columns), *(",".join(row) for row in rows), ""])


# a problem folder: see docs/problems.md
PROBLEM = {
    "nodes.csv": """\
# A row for several nodes alike (type, count), or for each node (node, and type if you like). A column for
# each resource, which apps.csv has, too. These may be left out: slots, the containers that such a node holds;
# labels, by which rules name nodes, between |; the fault domains zone and rack: of nodes alike, a|b deals
# them in turn. Quantities as Kubernetes writes them: 16, 500m, 64Gi.
type,count,slots,cpu,memory,labels,zone
small,6,4,8,32Gi,,a|b
large,2,8,32,128Gi,ssd,a|b
""",
    "apps.csv": """\
# A row for each application: how many containers are to be placed, and what one of them takes.
app,count,cpu,memory
web,12,500m,2Gi
search,4,4,16Gi
batch,6,2,8Gi
""",
    "rules.yaml": """\
# Rules that every placement keeps. Take the # away to set one.
never_together: []              # pairs that share no node, such as [[web, batch]]
# at_most: {search: 1}            # containers of an application on one node
# only_beside: {web: [search]}    # an application only where at least one of others is
# most_beside: [[web, batch, 1]]  # where web is, at most one of batch
# eligible: {search: [ssd]}       # only on nodes of these types, labels or names
# spread: {web: {zone: 0.5}}      # a zone holds at most half of them; 3: at most three
# Rules that may be broken: for a penalty, in the RPS of one container, or for a share of all containers.
# soft:
#   - {never_together: [[search, batch]], penalty: 0.1}
#   - {eligible: {batch: [small]}, share: 0.05}
""",
}
