"""The report of a small chain: what reaches the page is what reached it when frozen."""

import re

from tests.golden import subjects
from tests.golden.frozen import check, stable

LEARNED = "metis"


def without_seconds(frame):
    kept = frame[[name for name in frame.columns if "seconds" not in name]]
    return kept.astype(object).where(kept.notna(), None).to_dict("records")


def split(rows):
    """The rows of schedulers that do not learn, and those of the one that does."""
    return [[row for row in rows if (row["scheduler"] == LEARNED) is wanted] for wanted in (False, True)]


def checked(name, rows):
    exact, learned = split(rows)
    check(f"report/{name}", exact)
    check(f"report/{name} of {LEARNED}", learned, learned=True)


def test_the_results(chain):
    checked("results", without_seconds(chain.data.results))


def test_the_summary(chain):
    checked("summary", without_seconds(subjects.summarise(chain.data.results)))


def test_the_placements_and_the_containers(chain):
    data = chain.data
    rows = [
        {"scheduler": name, "placement": data.placements[name], "containers": data.container_rps[name]}
        for name in data.placements
    ]
    checked("placements", rows)


def test_the_words(chain):
    data = chain.data
    facts = {key: value for key, value in data.facts.items() if "run" not in key.lower()}
    words = {"title": data.title, "subtitle": data.subtitle, "facts": facts, "apps": data.apps}
    check("report/words", words | {"columns": list(data.results.columns), "facts shown": list(data.facts)})


def test_the_sections(chain):
    found = [
        {
            "title": section.title,
            "text": re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", section.html)).strip(),
            "figure": section.figure_svg is not None,
        }
        for section in chain.data.sections
    ]
    check("report/sections", found, learned=True)


def test_the_page_has_the_same_headings(chain):
    page = (chain.outcome.folder("report") / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"<(h[1-4]|th|figcaption|summary|button)\b[^>]*>(.*?)</\1>", page, flags=re.DOTALL)
    told = [[tag, re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text)).strip()] for tag, text in found]
    check("report/page", stable(told))


def test_the_steps_and_their_files(chain):
    records = chain.outcome.records
    files = {
        step: sorted(
            str(path.relative_to(record.folder)) for path in record.folder.rglob("*") if path.is_file()
        )
        for step, record in records.items()
    }
    check("report/steps", {"done": chain.outcome.done, "files": files})
