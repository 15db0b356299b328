"""How soon queries see what was published, from what one session of the hunt saw.

Times are seconds since the epoch, of one machine: those of the site's objects and of the queries.
"""

import dataclasses


@dataclasses.dataclass
class Look:
    """One right answer: when its query began and ended, and the newest state that it may be."""

    table: str
    began: float
    ended: float
    newest: int


@dataclasses.dataclass
class Freshness:
    """`waits` are from when a state was published to the end of the first query that saw it.

    `stale` are queries that began after a state was published and did not see it: for how long
    it had been published by then.
    """

    waits: list
    stale: list


def measured(looks, published):
    """Takes looks in their order, and for each table when its states were published, in theirs.

    A state that was there before the session looked for the first time is not measured, nor one
    that it never saw.
    """
    waits, stale = [], []
    for table, times in published.items():
        mine = [look for look in looks if look.table == table]
        for number, time in enumerate(times):
            if time is None or not mine or time < mine[0].began:
                continue
            seen = [look.ended for look in mine if look.newest >= number]
            if seen:
                waits.append(max(0.0, min(seen) - time))
        for look in mine:
            missed = [time for time in times[look.newest + 1 :] if time and time < look.began]
            if missed:
                stale.append(look.began - min(missed))
    return Freshness(sorted(waits), sorted(stale))


def part(values, share):
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]
