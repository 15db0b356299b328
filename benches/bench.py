"""Runs the cases and prints a report in Markdown. Started by run.sh, which builds first."""

import argparse
import os
import pathlib
import platform
import sys

import copying
import hudi_planning
import idle
import measure
import planning

CASES = {
    "plan": planning.run,
    "hudi": hudi_planning.run,
    "copy": copying.run,
    "idle": idle.run,
}


class Bench:
    """What all cases share."""

    def __init__(self, arguments):
        self.binaries = arguments.binaries.resolve()
        self.work = arguments.work.resolve()
        self.python = arguments.python
        self.hudi_python = arguments.hudi_python
        self.rounds = arguments.rounds
        self.huge = arguments.huge
        self.sections = []

    @staticmethod
    def log(text):
        """Progress, for people."""
        print(text, file=sys.stderr, flush=True)

    def report(self, title, table):
        """Adds a table to the report and prints it at once."""
        section = f"### {title}\n\n{table}"
        self.sections.append(section)
        print(section, flush=True)


def machine():
    """One line about where this ran."""
    model = "unknown processor"
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    except OSError:
        pass
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} processors ({model}), Linux {platform.release()}, load {load:.1f}"


def main():
    """Parses arguments, runs the cases in order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=[*CASES, "all"])
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--python", help="one with the package deltalake")
    parser.add_argument("--hudi-python", help="one with the package hudi")
    parser.add_argument("--peer", action="append", default=[], help="what the footer calls one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    bench = Bench(arguments)
    before = machine()
    bench.log(before)
    try:
        for name in CASES if arguments.verb == "all" else [arguments.verb]:
            CASES[name](bench)
    except measure.Failed as failed:
        bench.log(f"benchmark failed: {failed}")
        return 1
    peers = f"; peers: {', '.join(arguments.peer)}" if arguments.peer else ""
    footer = f"{before}; medians of {bench.rounds} interleaved rounds{peers}."
    print(footer, flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join([*bench.sections, footer]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
