"""The peer of the planning benchmark with the Python package deltalake, the build that most use.

`load.py FOLDER` opens the newest version. `load.py FOLDER --step` opens the version before it and
then steps to the newest one. The last line of output is one JSON object.
"""

import json
import pathlib
import resource
import sys
import time

import deltalake


def timed(work):
    """CPU and wall time of a call, in seconds, and what it returned."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    done = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_seconds": cpu_s, "wall_seconds": time.monotonic() - began}, done


def main():
    """Loads, and steps where asked to."""
    folder, step = sys.argv[1], "--step" in sys.argv[2:]
    # The package has no call that finds the version without loading the files.
    commits = pathlib.Path(folder, "_delta_log").glob("0*.json")
    newest = max(int(path.stem) for path in commits)
    load, table = timed(lambda: deltalake.DeltaTable(folder, version=newest - step))
    report = {"version": table.version(), "load": load}
    if step:
        report["step"], _ = timed(table.update_incremental)
        report["stepped_to"] = table.version()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
