"""What control groups leave a job."""

import sys

import pytest

from napari_tileseg.engine.control_groups import left_of_job


def _group(folder, limit, use, reclaimable=0, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        names, line = ("memory.max", "memory.current"), "inactive_file"
    else:
        names, line = ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"
    for name, value in zip(names, (limit, use), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{line} {reclaimable}\n")


@pytest.fixture
def process(tmp_path):
    return tmp_path / "cgroup"


def test_the_group_above_may_leave_less(tmp_path, process):
    process.write_text("0::/slurm/job_7/step_0\n")
    _group(tmp_path / "slurm" / "job_7" / "step_0", "max", 300)
    _group(tmp_path / "slurm" / "job_7", 1000, 400)
    _group(tmp_path / "slurm", 10_000, 9000)
    assert left_of_job(process, tmp_path) == 600


def test_memory_of_files_that_were_read_is_not_lost(tmp_path, process):
    process.write_text("0::/\n")
    _group(tmp_path, 1000, 990, reclaimable=800)
    assert left_of_job(process, tmp_path) == 810


def test_groups_of_the_first_version(tmp_path, process):
    process.write_text("12:cpu,cpuacct:/job\n5:memory:/job\n1:name=systemd:/user\n")
    _group(tmp_path / "memory" / "job", 1000, 600, 50, version=1)
    assert left_of_job(process, tmp_path) == 450


def test_nothing_is_limited_where_there_are_no_groups(tmp_path, process):
    assert left_of_job(process, tmp_path) == sys.maxsize
    process.write_text("0::/a/b\n")  # of which a container sees nothing
    assert left_of_job(process, tmp_path) == sys.maxsize
