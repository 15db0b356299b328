"""The judges of the matrix and of the hunt say no where they must, without any engine."""

import concurrent.futures
import pathlib
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "testdata" / "generate"))

import conformance  # noqa: E402
import engines  # noqa: E402
import freshness  # noqa: E402
import matrix  # noqa: E402
import pinned  # noqa: E402
import pump  # noqa: E402
import services  # noqa: E402
import spark_session  # noqa: E402
import tables  # noqa: E402
import torn  # noqa: E402
from pymetastore.hive_metastore import ttypes  # noqa: E402
from pyspark.sql import types as t  # noqa: E402
from thrift import Thrift  # noqa: E402

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

    def test_a_failure_is_the_same_with_its_class_in_front(self):
        wrapped = {"error": f"java.lang.IllegalStateException: {BROKEN['error']}"}
        self.check(wrapped, BROKEN_THERE, (0, 1, 0))

    def test_a_gap_that_differs_at_the_source_is_a_failure(self):
        self.check(WRONG, OTHER, (0, 0, 1))
        self.check(BROKEN, WRONG, (0, 0, 1))

    def test_a_gap_without_an_explanation_is_a_failure(self):
        self.check(WRONG, WRONG, (0, 0, 1), name="history")


class Reader(torn.SparkReader):
    """Answers to questions about a version with `again`."""

    def __init__(self, again=None):
        super().__init__("reader", self, None)
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

    def test_an_earlier_state_that_is_another_one_is_a_failure(self):
        self.hunt.look_back(Reader(self.state(0)), self.table, 3)
        self.assertEqual(self.hunt.failures, [])
        self.hunt.look_back(Reader(self.state(0)), self.table, 3)
        self.assertEqual(len(self.hunt.failures), 1, self.hunt.failures)

    def test_an_answer_waits_for_what_a_commit_made(self):
        states, self.script.states = self.script.states, []
        self.table.committed = []
        with self.table.committing():
            self.script.states.append(states[0])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            with self.table.committing():
                answer = dict(states[1].rows, schema="{}")
                judged = pool.submit(self.check, [answer], 0, seen=1)
                self.assertFalse(judged.done())
                self.script.states.append(states[1])
            judged.result()

    def test_a_commit_that_begins_later_excuses_nothing(self):
        self.table.pending = time.monotonic() + 3600
        self.check([self.state(1), dict(WRONG, schema="{}")], 1)

    def test_what_is_not_known_when_the_time_is_over_is_no_failure(self):
        class Late(Reader):
            """The commit ends while the session is asked once more."""

            def crossed(self, table, *_):
                table.pending = None

        self.hunt.until = self.table.pending = 0.0
        self.check([dict(WRONG, schema="{}")], 0, Late())

    def test_a_writer_that_failed_leaves_nobody_waiting(self):
        self.table.committed = []
        with self.assertRaises(ZeroDivisionError), self.table.committing():
            raise ZeroDivisionError
        self.assertIsNone(self.table.pending)


class FreshnessTest(unittest.TestCase):
    def measured(self, *looks):
        looks = [freshness.Look("t", *look) for look in looks]
        found = freshness.measured(looks, {"t": [0.0, 10.0, 20.0, None]})
        return found.waits, found.stale

    def test_the_first_query_that_sees_a_state_ends_its_wait(self):
        self.assertEqual(self.measured((1, 2, 0), (9, 12, 1), (21, 24, 2)), ([2, 4], []))

    def test_a_query_that_sees_a_later_state_has_seen_those_before(self):
        self.assertEqual(self.measured((1, 2, 0), (21, 24, 2)), ([4, 14], []))

    def test_a_query_that_began_later_and_saw_less_is_stale(self):
        self.assertEqual(self.measured((1, 2, 0), (13, 14, 0), (15, 16, 1)), ([6], [3]))

    def test_what_was_there_before_the_session_is_not_measured(self):
        self.assertEqual(self.measured((12, 13, 1), (21, 22, 2)), ([2], []))

    def test_quantiles_of_few_values_are_values(self):
        self.assertEqual([freshness.part([1, 2], share) for share in (0.5, 0.99)], [2, 2])
        self.assertEqual(freshness.part([1], 0.5), 1)


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


class Metastore:
    """Gives one answer, or raises it."""

    def __init__(self, answer):
        self.answer = answer

    def ask(self, _method, *_arguments):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def row(**changed):
    """A row of a Hudi table; what a row has no field for is changed in its storage."""
    schema = '{"type":"struct","fields":[{"name":"id","type":"long"}]}'
    storage = ttypes.StorageDescriptor(
        cols=[ttypes.FieldSchema("id", "bigint"), ttypes.FieldSchema("name", "string")],
        location="s3a://east/t",
        serdeInfo=ttypes.SerDeInfo(parameters={"path": "s3a://east/t"}),
    )
    parameters = {
        "spark.sql.sources.provider": "hudi",
        "spark.sql.sources.schema.numParts": "1",
        "spark.sql.sources.schema.part.0": schema,
    }
    table = ttypes.Table("t", "hudi", "us", 1, sd=storage, partitionKeys=[], parameters=parameters)
    for name, value in changed.items():
        setattr(table if hasattr(table, name) else storage, name, value)
    return table


class ConformanceTest(unittest.TestCase):
    def check(self, ours, theirs, fields):
        """`fields` are those that differ, as the texts begin."""
        request = conformance.Request("get_table", ("hudi", "t"))
        told = [conformance.told(Metastore(answer), request) for answer in (ours, theirs)]
        found = [text.partition(": ")[0] for text in conformance.differences(*told)]
        self.assertEqual(found, fields)

    def test_equal_answers_do_not_differ(self):
        self.check(row(), row(), [])
        self.check([], [], [])
        self.check(ttypes.MetaException("here"), ttypes.MetaException("there"), [])

    def test_what_no_engine_looks_at_may_differ(self):
        self.check(row(owner="us", createTime=1), row(owner="them", createTime=2), [])

    def test_every_other_field_is_compared(self):
        self.check(row(location="s3a://west/t"), row(), ["sd.location"])
        self.check(row(tableType="VIRTUAL_VIEW"), row(), ["tableType"])
        elsewhere = ttypes.SerDeInfo(parameters={"path": "s3a://west/t"})
        self.check(row(serdeInfo=elsewhere), row(), ["sd.serdeInfo.parameters[path]"])
        nothing = ttypes.SerDeInfo(parameters={})
        self.check(row(serdeInfo=nothing), row(), ["sd.serdeInfo.parameters[path]"])

    def test_a_list_that_is_missing_is_not_an_empty_one(self):
        self.check(row(partitionKeys=None), row(), ["partitionKeys"])

    def test_the_order_of_columns_is_compared(self):
        names = ["sd.cols[0].name", "sd.cols[0].type", "sd.cols[1].name", "sd.cols[1].type"]
        self.check(row(cols=row().sd.cols[::-1]), row(), names)

    def test_the_schema_of_spark_is_compared_by_what_it_says(self):
        parameters = dict(row().parameters)
        schema = parameters.pop("spark.sql.sources.schema.part.0")
        parts = {"spark.sql.sources.schema.part.0": schema[:20]}
        parts["spark.sql.sources.schema.part.1"] = schema[20:]
        found = conformance.fields(row(parameters={**parameters, **parts}))
        self.assertEqual(found["parameters"], conformance.fields(row())["parameters"])
        other = {"spark.sql.sources.schema.part.0": schema.replace("long", "string")}
        field = "parameters[spark.sql.sources.schema][fields][0][type]"
        self.check(row(parameters={**parameters, **other}), row(), [field])

    def test_rows_and_names_that_one_lacks_differ(self):
        self.check(["a"], ["a", "b"], ["[b]"])
        self.check(["b", "a"], ["a", "b"], [])
        partition = ttypes.Partition(values=["1"], parameters={})
        found = conformance.told(Metastore([partition]), conformance.Request("get_partitions"))
        self.assertTrue(conformance.differences(found, {"": "a list"}))

    def test_another_exception_differs(self):
        missing, meta = ttypes.NoSuchObjectException("t"), ttypes.MetaException("t")
        self.check(missing, meta, ["exception"])
        self.check([], missing, ["the answer", "exception"])
        unknown, internal = (Thrift.TApplicationException(kind) for kind in (1, 6))
        self.check(unknown, internal, ["exception"])


class PinnedTest(unittest.TestCase):
    table = tables.Table("delta", "history", {"0": [OTHER], "1": [WRONG], "2": [RIGHT]})

    def check(self, version, answer, expect):
        question = pinned.Question("7", self.table, version)
        self.assertEqual(pinned.right(question, answer), expect)

    def test_the_rows_of_another_version_are_wrong(self):
        self.check("1", WRONG, True)
        self.check("1", RIGHT, False)
        self.check("1", BROKEN, False)

    def test_a_table_that_is_not_there_must_be_said_not_to_exist(self):
        self.check(None, {"error": "Table 'delta@7.history' does not exist"}, True)
        self.check(None, BROKEN, False)
        self.check(None, RIGHT, False)

    def test_versions_that_equal_the_newest_are_not_asked_for(self):
        answers = {"0": [OTHER], "1": [WRONG], "2": [RIGHT], "3": [WRONG], "4": [RIGHT]}
        self.assertEqual(set(pinned.telling(answers)), {"0", "3"})


if __name__ == "__main__":
    unittest.main()
