"""Images that an engine builds: what their history shows."""

from dataclasses import replace

from cluster.images.build import build
from cluster.images.catalog import read_workload
from cluster.provision.lab.image import LAB_BUILD

CANARY = "canary-7781"
DOCKERFILE = """
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE} AS fetch
ARG TOKEN
RUN echo "${TOKEN}" | sha256sum > /made
FROM ${BASE_IMAGE}
COPY --from=fetch /made /made
"""


def test_a_secret_of_an_earlier_stage_is_in_no_history(engine, tmp_path):
    (tmp_path / "secretive").mkdir()
    (tmp_path / "secretive" / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "mine.yaml").write_text("name: Mine\nfolder: secretive\ndescribe: Mine.\n")
    settings = replace(LAB_BUILD, arguments={"TOKEN": CANARY})
    (image,) = build([read_workload(tmp_path / "mine.yaml")], settings, load=False)
    try:
        known = [one["Id"] for one in engine.api.images(all=True)]
        assert image.id in known
        assert not [one for one in known if CANARY in str(engine.api.history(one))]
    finally:
        engine.api.remove_image(image.tag)
