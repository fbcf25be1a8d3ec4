"""Time `import napari_tileseg` in fresh interpreters; the aim is under 0.1 s.

Run it with ``python benchmarks/import_time.py``.
"""

import statistics
import subprocess
import sys

REPEATS = 11
CODE = "import time; start = time.perf_counter(); import napari_tileseg; print(time.perf_counter() - start)"


def main() -> None:
    """Print the median and the worst of several runs, after one that warms the disk's cache."""
    seconds = []
    for _ in range(REPEATS + 1):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    warm = seconds[1:]
    median, worst = statistics.median(warm), max(warm)
    print(f"import napari_tileseg: median {median * 1e3:.1f} ms, worst {worst * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
