"""What both runs start: stores, Driftless, and engines over the shared configuration."""

import contextlib
import pathlib

import driftless
import services
import spark
import trino

CONFIGURATION = pathlib.Path(__file__).resolve().parent.parent
SOURCE = "lake"
# Settings of Hadoop's S3 client for the source.
BUCKET = f"spark.hadoop.fs.s3a.bucket.{SOURCE}"


class World(contextlib.ExitStack):
    """Stores of a source and of sites, and Driftless between them; ends all that it started."""

    def __init__(self, args, scratch, sites):
        super().__init__()
        self.cache, self.scratch = args.cache, scratch
        self.lake = self.enter_context(services.store(SOURCE, scratch))
        self.sites = [self.enter_context(services.store(site, scratch)) for site in sites]
        self.service = driftless.Service(args.driftless, scratch, self.lake, self.sites)
        self.daemon = self.enter_context(contextlib.ExitStack())
        self.daemon.enter_context(self.service.serving())
        self.service.client.configure(self.lake, self.sites)

    def restart(self):
        """Kills the daemon as a power cut would, and starts it again."""
        self.service.process.kill()
        self.daemon.close()
        self.daemon.enter_context(self.service.serving())

    def environment(self, site, metastore):
        """Variables of the shared configuration; those of the source are the harness' own."""
        return {
            "DRIFTLESS_METASTORE": metastore,
            **site.environment("SITE"),
            **self.lake.environment("SOURCE"),
        }

    def replica(self, site, table, scheme="s3a"):
        return site.url(driftless.place(table.site_name), scheme)

    def trino(self, environment, more):
        """Trino over the shared catalogs, and over those of `more`: texts by name."""
        home = self.cache / "spark-3.5" / "trino" / "trino-server-476"
        etc = CONFIGURATION / "trino" / "etc"
        return self.enter_context(trino.serving(home, etc, self.scratch, environment, more))

    def spark(self, version, name, environment, more=None):
        """A session of one Spark over its shared configuration, which also reaches the source.

        `more` are settings of this session alone.
        """
        return self.enter_context(self.spark_session(version, name, environment, more))

    def spark_session(self, version, name, environment, more=None):
        """The same for a part of the run: a context that ends the session."""
        home = self.cache / f"spark-{version}"
        jars = sorted((home / "jars").glob("*.jar")) + sorted((home / "s3a").glob("*.jar"))
        if version == "3.5":
            jars.append(home / "hudi" / "hudi-spark3.5-bundle_2.12-1.1.1.jar")
        settings = {f"{BUCKET}.endpoint": self.lake.endpoint, **(more or {})}
        conf = CONFIGURATION / "spark" / version
        return spark.session(name, home, jars, conf, self.scratch, environment, settings)

    def writer(self, name, settings):
        """A session of Spark 3.5 that writes at the source."""
        keys = {f"{BUCKET}.access.key": services.KEY, f"{BUCKET}.secret.key": services.SECRET}
        environment = self.environment(self.lake, "")
        return self.spark("3.5", name, environment, {**keys, **settings})


def catalogs(prefix, variables):
    """The shared catalogs of Trino once more, under names with a prefix; variables are renamed."""
    found = {}
    for name in ("delta", "hudi"):
        file = CONFIGURATION / "trino" / "etc" / "catalog" / f"{name}.properties"
        text = file.read_text(encoding="utf-8")
        for old, new in variables.items():
            text = text.replace(f"ENV:{old}", f"ENV:{new}")
        found[f"{prefix}{name}"] = text
    return found
