"""The judges of the matrix and of the hunt say no where they must, without any engine."""

import pathlib
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "testdata" / "generate"))

import engines  # noqa: E402
import matrix  # noqa: E402
import pump  # noqa: E402
import services  # noqa: E402
import spark_session  # noqa: E402
import tables  # noqa: E402
import torn  # noqa: E402
from pyspark.sql import types as t  # noqa: E402

RIGHT = {"count": 3, "hash": "aa"}
WRONG = {"count": 3, "hash": "bb"}
OTHER = {"count": 3, "hash": "cc"}
BROKEN = {"error": "cannot read s3://lake/delta/all_types/x"}
BROKEN_THERE = {"error": "cannot read s3://east/lake/delta/all_types/x"}


def setUpModule():
    """What the judges say of answers that are meant to be wrong is not said."""
    services.say = lambda _text: None


class Engine(engines.Engine):
    """Gives the same answer each time, one at each place."""

    def __init__(self, title, site, source):
        self.title, self.answers = title, {engines.SITE: site, engines.SOURCE: source}

    def answer(self, place, _table, _version):
        return self.answers[place]


class MatrixTest(unittest.TestCase):
    def check(self, site, source, expect, name="all_types"):
        """`expect` is (right, gaps, failures)."""
        table = tables.Table("delta", name, {"0": [RIGHT]})
        cell = matrix.Cell()
        matrix.verdict(Engine("Trino 476", site, source), table, "0", cell, None)
        self.assertEqual((cell.right, cell.gaps, len(cell.failures)), expect)

    def test_an_answer_that_spark_wrote_down_is_right(self):
        self.check(RIGHT, BROKEN, (1, 0, 0))

    def test_wrong_here_and_right_at_the_source_is_a_failure(self):
        self.check(WRONG, RIGHT, (0, 0, 1))
        self.check(BROKEN_THERE, RIGHT, (0, 0, 1))

    def test_a_gap_is_the_same_at_the_source(self):
        self.check(WRONG, WRONG, (0, 1, 0))
        self.check(BROKEN_THERE, BROKEN, (0, 1, 0))

    def test_a_gap_that_differs_at_the_source_is_a_failure(self):
        self.check(WRONG, OTHER, (0, 0, 1))
        self.check(BROKEN, WRONG, (0, 0, 1))

    def test_a_gap_without_an_explanation_is_a_failure(self):
        self.check(WRONG, WRONG, (0, 0, 1), name="history")


class Reader(torn.SparkReader):
    """Answers to questions about a version with `again`."""

    def __init__(self, again=None):
        super().__init__("reader", self)
        self.again = again or BROKEN

    def sql(self, _statement, **_more):
        return self.again


class TornTest(unittest.TestCase):
    def setUp(self):
        self.script = pump.delta("deletion_vectors_partitioned")
        self.hunt = torn.Hunt(None, None, None, 60)
        self.table = torn.Live(self.script, "t_1", [0.0] * 5)

    def check(self, answers, failures, reader=None, seen=None):
        """One session gets these answers; `seen` is the state that it is at after them."""
        found = {}
        for answer in answers:
            self.hunt.judge(reader or Reader(), self.table, answer, time.monotonic(), found)
        self.assertEqual(len(self.hunt.failures), failures, self.hunt.failures)
        if seen is not None:
            self.assertEqual(found, {"t_1": seen})

    def state(self, number):
        return dict(self.script.states[number].rows, schema="{}")

    def test_states_may_be_skipped_and_seen_again(self):
        self.check([self.state(0), self.state(3), self.state(3)], 0, seen=3)

    def test_an_older_state_is_a_failure(self):
        self.check([self.state(3), self.state(1)], 1)

    def test_rows_that_no_commit_made_are_a_failure(self):
        self.check([self.state(1), dict(WRONG, schema="{}")], 1)

    def test_a_state_before_its_commit_is_a_failure(self):
        self.check([self.state(6)], 1)

    def test_an_error_is_a_failure(self):
        self.check([self.state(1), BROKEN], 1)

    def test_an_older_schema_is_right_only_where_the_rows_are_of_one_version(self):
        answer = {"count": self.state(3)["count"], "hash": "cut", "schema": "{}"}
        self.check([self.state(1), answer], 0, Reader({"hash": "cut"}), seen=3)
        self.check([self.state(1), answer], 1, Reader({"hash": "another"}))


class CutTest(unittest.TestCase):
    def test_fields_that_a_schema_lacks_are_left_out_at_any_depth(self):
        def schema(*more):
            inner = t.StructType([t.StructField("x", t.LongType()), *more])
            nested = t.MapType(t.StringType(), t.ArrayType(inner))
            return t.StructType([*more, t.StructField("m", nested)])

        added = t.StructField("y", t.LongType())
        found = spark_session.cut([7, {"k": [[1, 2], None]}], schema(added), schema())
        # The added field comes first in the outer structure, last in the inner one.
        self.assertEqual(found, [{"k": [[1], None]}])


if __name__ == "__main__":
    unittest.main()
