"""A Spark session of one version in a process of its own, over the shared configuration."""

import contextlib
import json
import pathlib
import shlex
import subprocess

import services

HERE = pathlib.Path(__file__).resolve().parent
# Of this run alone: two shared cores, and nobody else to talk to.
SETTINGS = {
    "spark.master": "local[1]",
    "spark.driver.memory": "1500m",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1"
    " -XX:+UseSerialGC -Djol.skipHotspotSAAttach=true -Djdk.attach.allowAttachSelf",
}


class Spark:
    """One session; answers come in the order of the requests."""

    def __init__(self, server):
        self.server = server

    def sql(self, statement, **more):
        return self._ask({"sql": statement, **more})

    def load(self, form, path, **options):
        return self._ask({"format": form, "path": path, "options": options})

    def _ask(self, request):
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.server.stdout.readline()
        if not line:
            raise SystemExit(f"ask Spark: the session ended with {self.server.wait()}")
        return json.loads(line)


@contextlib.contextmanager
def session(name, home, jars, conf, scratch, environment, settings):
    """Starts a session of the Spark that is installed at `home`; yields it."""
    folder = scratch / name
    folder.mkdir()
    settings = {
        **SETTINGS,
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.extraClassPath": ":".join(map(str, jars)),
        "spark.local.dir": folder / "local",
        "spark.sql.warehouse.dir": folder / "warehouse",
        **settings,
    }
    submit = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    environment = {
        **environment,
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": shlex.join([*submit, "pyspark-shell"]),
        "JAVA_HOME": str(pathlib.Path(services.java_17()).parent.parent.resolve()),
        "PYTHONPATH": f"{HERE.parent.parent / 'testdata' / 'generate'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
    }
    command = [home / "venv" / "bin" / "python", HERE / "spark_session.py"]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with services.process(name, command, scratch, environment, **streams) as server:
        found = Spark(server)
        services.say(f"{name} is Spark {found._answer()['spark']}")
        yield found
