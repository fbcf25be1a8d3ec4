import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a benchmark with arguments, as its command does; gives its report."""

    def call(name, *arguments):
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--out", str(tmp_path / "report.json")])
        import_module(name).main()
        return json.loads((tmp_path / "report.json").read_text())

    return call


def test_the_comparison_gives_a_row_for_each_method(run):
    small = ("--networks", "quick", "--size", "32", "--window", "16", "--rounds", "1", "--here")
    methods = ("--dtypes", "float32", "--methods", "whole image", "MONAI 0.5", "engine, on demand")
    report = run("bench", *small, *methods)
    rows = {(row["method"], row["dtype"]): row for row in report["rows"]}
    whole, gaussian = rows["whole image", "float32"], rows["MONAI 0.5 gaussian", "float32"]
    engine = rows["engine, on demand", "float32"]
    assert whole["ratio_to_whole"] == whole["flops_ratio"] == gaussian["ratio_to_monai_gaussian"] == 1
    assert engine["max_abs_difference"] <= 1e-5 * max(1, engine["max_abs_whole"])
    assert gaussian["max_abs_difference"] > 100 * engine["max_abs_difference"]
    # 27 windows of 16 voxels; regions compute less than the same cores with their halos whole.
    assert gaussian["flops_ratio"] == pytest.approx(27 / 8)
    assert 1 < engine["flops_ratio"] < gaussian["flops_ratio"]
    assert min(row["peak_memory_bytes"] for row in rows.values()) >= 0
    assert engine["core"] == [16, 16, 16]
    assert report["machine"]["threads"] >= 1


def test_the_comparison_on_a_gpu_runs_small_on_the_cpu(run):
    report = run("bench_gpu", "--device", "cpu", "--network", "quick", "--size", "32", "--core", "16")
    assert report["path"] == "regions"
    assert report["voxels_per_second"] == pytest.approx(32**3 / report["seconds"])
    assert 0 < report["share_of_attainable"] < 1


def test_a_volume_that_is_made_where_it_is_read_is_predicted_as_it_would_be_directly(run):
    report = run("billion", "--size", "128")
    assert report["voxels"] == 128**3
    assert report["max_abs_difference"] < 1e-6 < report["spread_of_the_last_box"] / 1000
    assert report["bytes_read_over_image"] <= 1.15
