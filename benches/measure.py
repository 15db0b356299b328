"""Measuring whole processes: CPU, wall time and peak memory, in interleaved rounds.

CPU is user plus system time of the tool's process alone, as the kernel accounts it when the
process ends; servers are not in it. Peak memory has a floor of about 15 MiB: the kernel counts
what the starting process held before the tool's own program replaced it.
"""

import dataclasses
import os
import statistics
import subprocess
import tempfile
import time

MIB = 1 << 20
GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished process."""

    cpu_s: float
    wall_s: float
    rss_mib: float
    output: str
    load: float


class Failed(Exception):
    """A measured command ended with an error."""


def run(command, env=None, accept=(0,)):
    """Runs one command to its end and accounts for it."""
    environment = {**os.environ, **(env or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        load = os.getloadavg()[0]
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode(errors="replace")
        if process.returncode not in accept:
            err.seek(0)
            tail = err.read().decode(errors="replace")[-2000:]
            words = " ".join(str(word) for word in command)
            raise Failed(f"{words}\nended with {process.returncode}:\n{output[-2000:]}\n{tail}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(cpu_s, wall_s, usage.ru_maxrss / 1024, output, load)


@dataclasses.dataclass
class Series:
    """The runs of one command."""

    name: str
    runs: list = dataclasses.field(default_factory=list)

    def median(self, field):
        """Median of one figure over the runs."""
        return statistics.median(getattr(run, field) for run in self.runs)

    def peak(self):
        """Largest peak memory over the runs, MiB."""
        return max(run.rss_mib for run in self.runs)

    def spread(self, field):
        """Smallest and largest of one figure."""
        values = [getattr(run, field) for run in self.runs]
        return min(values), max(values)


def interleaved(rounds, steps, log):
    """Runs the steps in turn, A B A B ..., after one round that does not count.

    `steps` maps a name to a function of the round's number that runs the tool and returns a
    `Run`. What prepares or cleans up belongs into the function, outside of its own `run`.
    """
    series = {name: Series(name) for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            done = step(number)
            counted = "warm-up" if number == 0 else f"round {number}"
            log(
                f"  {counted}: {name}: {done.cpu_s:.3f} CPU-s, {done.wall_s:.2f} s, "
                f"{done.rss_mib:.0f} MiB"
            )
            if number > 0:
                series[name].runs.append(done)
    return series


def ratio(ours, peer, field="cpu_s"):
    """Median of the ratios pair by pair: it holds when the machine's speed drifts."""
    pairs = zip(ours.runs, peer.runs)
    return statistics.median(getattr(a, field) / max(getattr(b, field), 1e-9) for a, b in pairs)


def markdown(header, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
