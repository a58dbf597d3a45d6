"""Secrets among the build arguments: refused where an image would keep them."""

import pytest

from cluster.images.build import build
from cluster.images.catalog import read_workload
from cluster.images.secrets import refuse_kept, secret_arguments
from cluster.settings import BuildSettings
from metis.errors import InputError

CANARY = "canary-7781"
EARLIER = "FROM base AS fetch\nARG TOKEN\nRUN fetch\nFROM base\nCOPY --from=fetch /x /x\n"


def context(folder, dockerfile):
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM base\nARG TOKEN\nRUN fetch\n",
        "FROM base AS one\nFROM base\narg token=none\nARG TOKEN\n",
        "FROM --platform=linux/amd64 base AS Fetch\nARG TOKEN\nFROM other\nFROM fetch as last\nRUN x\n",
    ],
)
def test_a_secret_of_the_last_stage_is_refused_by_name(tmp_path, dockerfile):
    folder = context(tmp_path / "mine", dockerfile)
    with pytest.raises(InputError, match=r"images\.arguments\.TOKEN: looks like a secret.*COPY --from") as no:
        refuse_kept(folder, BuildSettings(arguments={"TOKEN": CANARY}))
    assert CANARY not in str(no.value)


def test_a_secret_of_an_earlier_stage_and_what_is_no_secret_pass(tmp_path):
    folder = context(tmp_path / "mine", EARLIER)
    refuse_kept(folder, BuildSettings(arguments={"TOKEN": CANARY}))
    context(folder, "FROM base\nARG MODEL_URL\nARG MODEL_SHA256\n")
    plain = {"MODEL_URL": "https://example.com/m?v=2", "MODEL_SHA256": "ab", "TOKEN": CANARY}
    refuse_kept(folder, BuildSettings(arguments=plain))  # TOKEN is not declared, and so not given


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hush@example.com/m",
        "https://example.com/m?X-Amz-Signature=ab",
        "https://a/m?v=1&access_token=b",
    ],
)
def test_a_url_that_opens_something_is_a_secret(tmp_path, url):
    folder = context(tmp_path / "mine", "FROM base\nARG MODEL_URL\n")
    assert secret_arguments(folder, BuildSettings(arguments={"MODEL_URL": url})) == ["MODEL_URL"]


def test_nothing_is_built_where_one_image_would_keep_a_secret(tmp_path, monkeypatch):
    context(tmp_path / "mine", "FROM base\nARG API_KEY\n")
    (tmp_path / "mine.yaml").write_text("name: Mine\nfolder: mine\ndescribe: Mine.\n")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")  # not even looked for
    with pytest.raises(InputError, match="API_KEY"):
        build([read_workload(tmp_path / "mine.yaml")], BuildSettings(arguments={"API_KEY": CANARY}))
