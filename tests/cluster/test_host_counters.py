"""What two readings of a host say about the time between, whatever of them can be read."""

import subprocess
import sys

import pytest

from cluster.host_counters import HostCounters, between, read_host, script_for

FIRST = """Cpus_allowed_list:\t0,2-3
uptime 1000.00
cpu  9999 0 0 9999 0 0 0 0 0 0
cpu0 100 0 0 1000 0 0 0 0 0 0
cpu1 100 0 0 1000 0 0 0 0 0 0
cpu2 100 0 0 1000 0 0 0 0 0 0
cpu3 100 0 0 1000 0 0 0 0 0 0
load 3.0
MemTotal:       1000 kB
MemAvailable:   900 kB
pressure cpu 5000000
pressure memory 0
container a measured
usage_nsec 1000000000
nr_periods 5
throttled_time 0
container s support
usage_nsec 500000000
throttled_time 0
"""
# ten seconds of three cores are 30 s: 12 busy, 3 stolen; ours 6 and 1
SECOND = (
    FIRST.replace("1000.00", "1010.00")
    .replace("cpu0 100 0 0 1000 0 0 0 0", "cpu0 700 0 0 1400 0 0 0 0")
    .replace("cpu1 100", "cpu1 9100")
    .replace("cpu2 100 0 0 1000 0 0 0 0", "cpu2 600 0 100 1400 0 0 0 0")
    .replace("cpu3 100 0 0 1000 0 0 0 0", "cpu3 100 0 0 1700 0 0 0 300")
    .replace("load 3.0", "load 6.0")
    .replace("900 kB", "250 kB")
    .replace("pressure cpu 5000000", "pressure cpu 10000000")
    .replace("usage_nsec 1000000000", "usage_nsec 7000000000")
    .replace("usage_nsec 500000000", "usage_nsec 1500000000")
    .replace("throttled_time 0\ncontainer s", "throttled_time 2500000000\ncontainer s")
)


def test_what_others_took_is_what_is_neither_idle_nor_ours():
    found = between(read_host(FIRST), read_host(SECOND))
    assert found.busy == pytest.approx(12 / 30)
    assert found.stolen == pytest.approx(3 / 30)
    assert found.taken == pytest.approx((12 + 3 - 6 - 1) / 30)
    assert (found.load_before, found.load) == (1.0, 2.0)
    assert found.stalled == pytest.approx(0.5)
    assert found.starved == 0.0
    assert found.throttled == pytest.approx(0.25)  # of the measured container, not of the support
    assert found.memory == pytest.approx(0.25)
    assert found.missing == ()
    assert found.as_dict()["taken"] == pytest.approx(0.2667)
    assert "waited" not in found.as_dict()  # the disk's pressure was not there


def test_a_counter_seen_by_two_paths_counts_once_and_both_versions_of_cgroups_are_read():
    twice = "uptime 5\ncontainer a measured\nusage_nsec 2000000000\nusage_nsec 2000000000\n"
    assert read_host(twice).used["a"].cpu == 2.0
    newer = "uptime 5\ncontainer a measured\nusage_usec 2000000\nthrottled_usec 500000\n"
    assert (read_host(newer).used["a"].cpu, read_host(newer).used["a"].throttled) == (2.0, 0.5)


def test_what_is_not_there_is_named_and_fails_nothing():
    bare = "\n".join(line for line in FIRST.splitlines() if line.split()[0] not in ("pressure", "container"))
    found = between(read_host(bare), read_host(bare.replace("1000.00", "1010.00")))
    assert found.missing == ("/proc/pressure", "the containers' cgroups", "/proc/stat")  # no tick has passed
    assert found.taken != found.taken
    nothing = between(HostCounters(), read_host("junk\ncpu\nload x\n"))
    assert set(nothing.missing) == {
        "/proc/pressure",
        "the containers' cgroups",
        "/proc/stat",
        "/proc/meminfo",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_command_runs_in_a_shell_without_docker():
    run = subprocess.run(
        ["sh", "-c", script_for("it's", "s")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nowhere"},
    )
    found = read_host(run.stdout)
    assert found.uptime > 0
    assert found.ticks
    assert 0 < found.memory <= 1
    assert not found.used
