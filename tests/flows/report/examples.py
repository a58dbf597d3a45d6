"""Results and reports that the tests of the page share."""

from dataclasses import replace

import numpy as np
import pandas as pd

from flows.report import ReportData

APPS = ("store", "web", "codec")
EVIL = '<script>window.hacked=1</script><img src="http://127.0.0.1:9/x" onerror="window.hacked=2">"\'&'


def rows_of(values, *, true=None, seconds=0.01, bound=1.2):
    """Results from scheduler -> RPS per group; the objective is the RPS itself."""
    rows = [
        {
            "scheduler": name,
            "group": group,
            "rps": rps,
            "value": rps,
            "bound": bound,
            "ratio": rps / bound,
            "gap": 1 - rps / bound,
            "seconds": seconds * (1 + len(name)),
            "free_nodes": len(name) % 4,
            "slo_0.90": 0.9,
            "slo_1.00": rps / 2,
        }
        | ({} if true is None else truly(true[name], group, bound))
        for name, several in values.items()
        for group, rps in enumerate(several)
    ]
    return pd.DataFrame(rows)


def truly(rps, group, best):
    """What the testbed knows of a placement: `rps` of all groups, or a list of one per group."""
    own = rps[group] if isinstance(rps, list) else rps
    known = {"true_rps": own, "true_value": own, "true_best": best, "true_ratio": own / best}
    return known | {"true_slo_0.90": own / 3, "true_slo_1.00": own / 4}


def report(results, nodes=12, seed=0, **changes):
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(results["scheduler"]))
    data = ReportData(
        title="A small comparison",
        subtitle="12 nodes of 4 slots",
        facts={"seed": "0", "profile": "embedded"},
        apps=APPS,
        results=results,
        placements={name: rng.integers(0, 3, (nodes, len(APPS))) for name in names},
        container_rps={name: [rng.uniform(0.3, 1.6, 40)] for name in names},
    )
    return replace(data, **changes)
