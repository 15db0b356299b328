"""Planning on a Hudi table, against what hudi-rs needs to list the same table."""

import json
import os
import pathlib
import shutil
import subprocess

import measure
import planning

INSTANTS = 2_000
PER_INSTANT = 100
PARTITIONS = 200
MORE_COMMITS = 100

def generate(bench, out):
    """Writes a table of real names: completed instants, a base file and a log for each group."""
    out.mkdir()
    command = [bench.binaries / "examples" / "plan", "write", out]
    subprocess.run([*command, *map(str, (INSTANTS, PER_INSTANT, PARTITIONS))], check=True)


def instants_of(table):
    """The completed instants of a timeline, ascending."""
    return sorted((table / ".hoodie" / "timeline").glob("*.deltacommit"))


def replica_of(table, replica, behind):
    """A replica's timeline that lacks the newest `behind` commits. Nothing is copied twice."""
    timeline = replica / ".hoodie" / "timeline"
    timeline.mkdir(parents=True)
    properties = "hoodie.properties"
    os.link(table / ".hoodie" / properties, replica / ".hoodie" / properties)
    for path in instants_of(table)[:-behind]:
        os.link(path, timeline / path.name)


def list_slices(bench, table, files, *options):
    """One listing of the table by hudi-rs; fails unless its slices hold so many files."""
    script = pathlib.Path(__file__).with_name("slices.py")
    done = measure.run([bench.hudi_python, script, table, *options])
    if found(done)["files"] != files:
        raise measure.Failed(f"not {files} files: {done.output}")
    return done


def found(done):
    """What the last line of a program's output says."""
    return json.loads(done.output.splitlines()[-1])


def first_plan(bench, table):
    """First plan of a table, and hudi-rs's listing of it."""
    files = INSTANTS * PER_INSTANT + (INSTANTS - 1) * PER_INSTANT

    def ours(_):
        done = planning.plan(bench, table, bench.work / "empty" / "hudi", 1)
        copied = json.loads(done.output)["targets"][0]["copy_files"]
        # The planner also counts the file that marks each partition.
        if copied != files + PARTITIONS:
            raise measure.Failed(f"{copied} files planned, not {files + PARTITIONS}")
        return done

    steps = {"driftless plan": ours, "hudi-rs": lambda _: list_slices(bench, table, files)}
    series = measure.interleaved(bench.rounds, steps, bench.log)
    theirs = series["hudi-rs"]
    rows = [
        [
            name,
            f"{run.median('cpu_s'):.2f} ({'-'.join(f'{s:.2f}' for s in run.spread('cpu_s'))})",
            f"{run.median('wall_s'):.2f}",
            f"{run.peak():.0f}",
            f"**{measure.ratio(run, theirs):.2f}**",
            f"**{measure.ratio(run, theirs, 'rss_mib'):.2f}**",
        ]
        for name, run in (
            ("`driftless plan`, first publication", series["driftless plan"]),
            ("hudi-rs, file slices of the newest state", theirs),
        )
    ]
    header = ["", "CPU-s (range)", "wall s", "peak MiB", "CPU ratio", "memory ratio"]
    title = f"Hudi, {INSTANTS:,} instants, {INSTANTS * PER_INSTANT:,} file groups: first plan"
    bench.report(title, measure.markdown(header, rows))


def next_commit(bench, table):
    """One more commit, as a process of its own and as the slope over many."""
    near, far = bench.work / "hudi-near", bench.work / "hudi-far"
    replica_of(table, near, 1)
    replica_of(table, far, MORE_COMMITS + 1)
    # hudi-rs goes by completion, the second time of a name.
    before = instants_of(table)[-2].stem.split("_")[1]
    # The base files of new groups, and a base file and a log for each group of the instant before.
    files = 3 * PER_INSTANT

    one, many = "plan, one commit behind", f"plan, {MORE_COMMITS + 1} commits behind"
    series = measure.interleaved(
        bench.rounds,
        {
            one: lambda _: planning.plan(bench, table, near, 1),
            many: lambda _: planning.plan(bench, table, far, MORE_COMMITS + 1),
            "hudi-rs": lambda _: list_slices(bench, table, files, "--since", before),
        },
        bench.log,
    )
    rows = [
        *planning.next_rows(series[one], series[many], MORE_COMMITS),
        [
            "hudi-rs, file slices that one commit changed, whole process",
            f"{1000 * series['hudi-rs'].median('cpu_s'):.0f}",
            f"{series['hudi-rs'].peak():.0f}",
        ],
    ]
    bench.report("Hudi: next commit", measure.markdown(["", "CPU ms", "peak MiB"], rows))


def made_up(bench):
    """A larger table that is made up as it is listed: planning without a disk, and no peer."""
    bench.log("hudi: a table that is made up as it is listed")
    runs = []
    for number in range(bench.rounds):
        done = measure.run([bench.binaries / "examples" / "plan"])
        runs.append(found(done))
        bench.log(f"  round {number + 1}: {done.output.strip()}")
    middle = lambda key: sorted(run[key] for run in runs)[len(runs) // 2]
    ms = lambda key: f"{middle(key + '_cpu_ms'):.1f} ms"
    peak = max(run["peak_mib"] for run in runs)
    last = runs[-1]
    rows = [
        [f"listing {last['objects']:,} objects, nothing else", f"{middle('listing_cpu_s'):.2f} s"],
        ["first publication, its listing included", f"{middle('first_cpu_s'):.2f} s"],
        [f"listing {last['timeline_names']:,} names, nothing else", ms("timeline")],
        [f"listing {last['page_names']:,} names, nothing else", ms("page")],
        ["a look at the whole timeline", ms("whole_look")],
        ["a look at the replica's whole timeline", ms("whole_replica")],
        ["a further commit: a look at the replica", ms("replica")],
        ["a further commit: a look at the source", ms("look")],
        ["a further commit: the plan", ms("plan")],
        [f"a further commit: its description, {last['next_files']} files", ms("describe")],
        ["a further commit: a look at the replica when it is published", ms("replica_again")],
    ]
    title = f"Hudi, {last['instants']:,} instants, {last['groups']:,} file groups: planning alone"
    bench.report(title, measure.markdown(["", "CPU"], rows) + f"\nPeak memory: {peak} MiB.\n")


def run(bench):
    """All cases of Hudi tables."""
    table = bench.work / "hudi"
    bench.log(f"hudi: generating {INSTANTS * PER_INSTANT:,} file groups")
    generate(bench, table)
    first_plan(bench, table)
    next_commit(bench, table)
    shutil.rmtree(table)
    made_up(bench)
