"""Planning on a table of a million files, against deltalake's table state."""

import json
import os
import pathlib
import shutil
import subprocess

import measure

FILES = 1_000_000
HUGE_FILES = 10_000_000
MORE_COMMITS = 100


def generate(binaries, out, files):
    """Writes a table's log: a checkpoint of so many files and three commits after it."""
    command = [binaries / "generate-delta", "--kind", "million", "--files", str(files), out]
    subprocess.run(command, check=True)


def log_of(table):
    """The commits of a log folder, ascending."""
    return sorted((table / "_delta_log").glob("0*.json"))


def checkpoint_bytes(table):
    """Size of the newest checkpoint."""
    return max((table / "_delta_log").glob("*.checkpoint.parquet")).stat().st_size


def replica_of(table, replica, behind):
    """A replica's log that lacks the newest `behind` commits. Nothing is copied twice."""
    log = replica / "_delta_log"
    log.mkdir(parents=True)
    skip = {path.name for path in log_of(table)[-behind:]} if behind else set()
    for path in (table / "_delta_log").iterdir():
        if path.name not in skip:
            os.link(path, log / path.name)


def longer(table, out, commits):
    """The same log with more commits: copies of the newest one under the next numbers."""
    replica_of(table, out, 0)
    newest = log_of(out)[-1]
    for more in range(1, commits + 1):
        number = int(newest.stem) + more
        shutil.copyfile(newest, newest.with_name(f"{number:020}.json"))


def plan(bench, source, target, versions):
    """One `driftless plan`; fails unless it plans so many versions."""
    command = [bench.binaries / "driftless", "plan", source, target, "--output", "json"]
    done = measure.run(command)
    found = json.loads(done.output)["targets"][0]["versions"]
    if found != versions:
        raise measure.Failed(f"{found} versions instead of {versions}: {done.output}")
    return done


def load(bench, table, *options):
    """One load of the whole state by deltalake."""
    script = pathlib.Path(__file__).with_name("load.py")
    return measure.run([bench.python, script, table, *options])


def first_plan(bench, table):
    """First plan of a table, and deltalake's load of it."""
    empty = bench.work / "empty"
    series = measure.interleaved(
        bench.rounds,
        {
            "driftless plan": lambda _: plan(bench, table, empty / "replica", 4),
            "deltalake load": lambda _: load(bench, table),
        },
        bench.log,
    )
    ours, peer = series["driftless plan"], series["deltalake load"]
    rows = [
        [
            f"{name}, {FILES:,} files",
            f"{run.median('cpu_s'):.2f}",
            f"{run.median('wall_s'):.2f}",
            f"{run.peak():.0f}",
            f"{measure.ratio(run, peer):.2f}",
            f"{measure.ratio(run, peer, 'rss_mib'):.2f}",
        ]
        for name, run in (("`driftless plan`, first publish", ours), ("deltalake load", peer))
    ]
    header = ["", "CPU-s", "wall s", "peak MiB", "CPU ratio", "memory ratio"]
    bench.report("First plan", measure.markdown(header, rows))


def next_commit(bench, table):
    """One more commit, as a process of its own and as the slope over many."""
    near, far = bench.work / "near", bench.work / "far"
    replica_of(table, near, 1)
    replica_of(table, far, 1)
    long = bench.work / "long"
    longer(table, long, MORE_COMMITS)
    stepped = []

    def step(_):
        done = load(bench, table, "--step")
        stepped.append(json.loads(done.output.splitlines()[-1])["step"])
        return done

    one, many = "plan, one commit behind", f"plan, {MORE_COMMITS + 1} commits behind"
    series = measure.interleaved(
        bench.rounds,
        {
            one: lambda _: plan(bench, table, near, 1),
            many: lambda _: plan(bench, long, far, MORE_COMMITS + 1),
            "deltalake load and step": step,
        },
        bench.log,
    )
    steps = sorted(item["cpu_seconds"] for item in stepped[1:])
    peer_ms = 1000 * steps[len(steps) // 2]
    rows = [
        *next_rows(series[one], series[many], MORE_COMMITS),
        [
            "deltalake, one step of a loaded table",
            f"{peer_ms:.0f}",
            f"{series['deltalake load and step'].peak():.0f}",
        ],
    ]
    bench.report("Next commit", measure.markdown(["", "CPU ms", "peak MiB"], rows))


def next_rows(one, many, more):
    """What one commit costs a process, and what each of `more` further ones adds."""
    slope_ms = 1000 * (many.median("cpu_s") - one.median("cpu_s")) / more
    return [
        [
            "`driftless plan`, one commit behind, whole process",
            f"{1000 * one.median('cpu_s'):.0f}",
            f"{one.peak():.0f}",
        ],
        [
            f"`driftless plan`, each of {more} more commits",
            f"{slope_ms:.2f}",
            f"{many.peak():.0f}",
        ],
    ]


def huge(bench):
    """First plan of ten million files; deltalake is not asked."""
    table = bench.work / "huge"
    free = shutil.disk_usage(bench.work).free
    if free < 8 * measure.GIB:
        bench.log("  skipped: ten million files need 8 GiB of free disk")
        return
    bench.log(f"  generating {HUGE_FILES:,} files")
    generate(bench.binaries, table, HUGE_FILES)
    series = measure.interleaved(
        min(bench.rounds, 3),
        {"driftless plan": lambda _: plan(bench, table, bench.work / "empty" / "huge", 4)},
        bench.log,
    )
    run = series["driftless plan"]
    row = [
        f"`driftless plan`, {HUGE_FILES:,} files",
        f"{run.median('cpu_s'):.2f}",
        f"{run.median('wall_s'):.2f}",
        f"{run.peak():.0f}",
    ]
    bench.report("Ten million files", measure.markdown(["", "CPU-s", "wall s", "peak MiB"], [row]))
    shutil.rmtree(table)


def run(bench):
    """All cases of planning."""
    table = bench.work / "million"
    bench.log(f"plan: generating {FILES:,} files")
    generate(bench.binaries, table, FILES)
    bench.log(f"  checkpoint: {checkpoint_bytes(table) / measure.MIB:.0f} MiB")
    first_plan(bench, table)
    next_commit(bench, table)
    shutil.rmtree(table)
    if bench.huge:
        huge(bench)
