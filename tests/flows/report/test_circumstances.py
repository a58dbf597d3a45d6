"""The section on what else went on while measuring."""

from flows.report.circumstances import circumstances_section


def test_median_and_worst_are_shown_with_what_was_not_available():
    found = {"taken": [0.05, 0.4], "load": [0.8, 2.25], "disturbed": 2}
    html = circumstances_section(found, ["/proc/pressure"]).html
    assert "2 co-locations were disturbed" in html
    assert "<td>5.0 %</td><td>40.0 %</td>" in html
    assert "<td>0.80</td><td>2.25</td>" in html
    assert "Not available: /proc/pressure." in html


def test_an_undisturbed_profile_is_said_to_be_one():
    html = circumstances_section({"taken": [0.0, 0.01], "disturbed": 0}, ()).html
    assert "Nothing that is not ours disturbed" in html
    assert "Not available" not in html
