"""Result files of Locust, k6 and hey: what each calls RPS, latencies, requests and failures.

A request that failed counts towards none of the RPS here: profiles hold the RPS of what succeeded.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.inputs.documents import read_json, read_text
from metis.inputs.sheet import Sheet, is_sheet, read_sheet

Result = dict[str, float]  # rps in 1/s, p50 and p99 in s, requests, failures; NaN where the tool has none

MS = 1e-3
LOCUST_ROW = ("Name", "Aggregated")
# column of `PREFIX_stats.csv` -> measure
LOCUST = {
    "Requests/s": "rps",
    "Failures/s": "failed rps",
    "50%": "p50",
    "99%": "p99",
    "Request Count": "requests",
    "Failure Count": "failures",
}
# metric and value of the summary -> measure
K6 = {
    ("http_reqs", "rate"): "rps",
    ("http_reqs", "count"): "requests",
    ("http_req_duration", "med"): "p50",
    ("http_req_duration", "p(99)"): "p99",
}
K6_FAILED = ("http_req_failed", ("value", "rate"))  # of `--summary-export`, of `handleSummary`
# column of `hey -o csv`, a row per request
HEY = {"response-time": "latency", "offset": "begun", "status-code": "status"}
HEY_RPS = re.compile(r"Requests/sec:\s+([\d.]+)")
HEY_LATENCY = re.compile(r"^\s+(50|99)%%? in ([\d.]+) secs", re.MULTILINE)
HEY_STATUS = re.compile(r"^\s+\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
HEY_ERRORS = re.compile(r"^\s+\[(\d+)\]\s+(?!\d+ responses)", re.MULTILINE)
FAILED_FROM = 400


def read_result(path: Path) -> Result:
    """Read what a load generator wrote about one run.

    Formats: `PREFIX_stats.csv` of Locust; the JSON of k6's `--summary-export` or `handleSummary`; the
    report of hey, or its `-o csv`.

    Raises:
        InputError: unreadable, of none of these, or without an RPS; names the file.
    """
    if path.suffix.lower() == ".json":
        found = _k6(path)
    elif is_sheet(path) and "Requests/sec:" not in read_text(path):
        sheet = read_sheet(path)
        if set(HEY) <= set(sheet.header):
            found = _hey_requests(sheet)
        elif {"Requests/s", LOCUST_ROW[0]} <= set(sheet.header):
            found = _locust(sheet)
        else:
            raise InputError(
                f"{path}: is no result of Locust (PREFIX_stats.csv) or hey; its columns are "
                f"{', '.join(sheet.header[:6])}"
            )
    else:
        found = _hey_report(path)
    if not (np.isfinite(found["rps"]) and found["rps"] >= 0):
        raise InputError(f"{path}: holds no RPS")
    return found


def _locust(sheet: Sheet) -> Result:
    column, name = LOCUST_ROW
    total = [i for i, cell in enumerate(sheet.texts(column)) if cell == name]
    missing = [one for one in LOCUST if one not in sheet.header]
    if len(total) != 1 or missing:
        what = f"lacks the column {missing[0]!r}" if missing else f"has {len(total)} rows called {name!r}"
        raise InputError(f"{sheet.name}: {what}; give PREFIX_stats.csv as `locust --csv PREFIX` writes it")
    values = sheet.take(total).numbers(list(LOCUST))[0].tolist()
    found = dict(zip(LOCUST.values(), values, strict=True))
    found["rps"] -= found.pop("failed rps")
    return found | {"p50": found["p50"] * MS, "p99": found["p99"] * MS}


def _k6(path: Path) -> Result:
    document = read_json(path)
    metrics = document.get("metrics") if isinstance(document, Mapping) else None
    if not isinstance(metrics, Mapping) or "http_reqs" not in metrics:
        raise InputError(f"{path}: is no summary of k6: it has no metrics.http_reqs")

    def value(metric: str, *names: str) -> float:
        held: Any = metrics.get(metric)
        held = held.get("values", held) if isinstance(held, Mapping) else None
        if not isinstance(held, Mapping):
            return float("nan")
        given = next((held[name] for name in names if name in held), None)
        return float(given) if isinstance(given, int | float) else float("nan")

    found = {measure: value(metric, name) for (metric, name), measure in K6.items()}
    failed = np.nan_to_num(value(K6_FAILED[0], *K6_FAILED[1]))
    return {
        "rps": found["rps"] * (1 - failed),
        "p50": found["p50"] * MS,
        "p99": found["p99"] * MS,
        "requests": found["requests"],
        "failures": float(np.round(found["requests"] * failed)),
    }


def _hey_requests(sheet: Sheet) -> Result:
    latency, begun, status = sheet.numbers(list(HEY)).T
    if len(sheet) < 2 or np.isnan(latency + begun + status).any():
        raise InputError(f"{sheet.name}: give two requests or more, each with {', '.join(HEY)}")
    good = status < FAILED_FROM
    seconds = (begun + latency).max() - begun.min()
    if not good.any() or not seconds > 0:
        raise InputError(f"{sheet.name}: no request succeeded")
    p50, p99 = np.quantile(latency[good], [0.5, 0.99]).tolist()
    failures = float((~good).sum())
    return {
        "rps": float(good.sum() / seconds),
        "p50": p50,
        "p99": p99,
        "requests": float(len(sheet)),
        "failures": failures,
    }


def _hey_report(path: Path) -> Result:
    text = read_text(path)
    rps = HEY_RPS.search(text)
    if rps is None:
        raise InputError(f"{path}: is no result of Locust, k6 or hey")
    latency = {share: float(seconds) for share, seconds in HEY_LATENCY.findall(text)}
    responses = [(int(status), int(number)) for status, number in HEY_STATUS.findall(text)]
    good = sum(number for status, number in responses if status < FAILED_FROM)
    bad = sum(number for status, number in responses if status >= FAILED_FROM)
    errors = text.partition("Error distribution:")[2]
    bad += sum(int(number) for number in HEY_ERRORS.findall(errors))
    if not good:
        raise InputError(f"{path}: no request succeeded")
    return {
        "rps": float(rps.group(1)) * good / (good + bad),
        "p50": latency.get("50", float("nan")),
        "p99": latency.get("99", float("nan")),
        "requests": float(good + bad),
        "failures": float(bad),
    }
