"""`metis export`: files for others are, text by text, what they were when frozen."""

import re

import pytest

from tests.golden import subjects
from tests.golden.frozen import check_text

TABLE = """node,Redis,MMS,Checksum,YCSB-A,YCSB-B,SceneDetect,ISR
alpha,1,1,0,1,0,0,0
beta,0,0,2,0,1,0,1
gamma,0,1,0,0,0,1,0
"""
FORMATS = {"swarm": "export-swarm.yaml", "kubernetes": "export-kubernetes.yaml", "csv": "export-csv.csv"}


@pytest.mark.parametrize("kind", FORMATS)
def test_export(kind, tmp_path):
    plan, out = tmp_path / "plan.csv", tmp_path / "out"
    plan.write_text(TABLE, encoding="utf-8")
    words = ["apps=seven", "cluster.slots=4", f"placement={plan}", f"tracking.path={tmp_path / 'runs'}"]
    assert subjects.main(["export", *words, f"format={kind}", f"out={out}"]) == 0
    # a tag is a digest of the workload's sources, comments included
    check_text(
        FORMATS[kind], re.sub(r"(metis/[\w-]+):[0-9a-f]+", r"\1:DIGEST", out.read_text(encoding="utf-8"))
    )
