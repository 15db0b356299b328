"""docker-compose.yml, the Dockerfiles and what they use agree, as far as shows without Docker."""

import os
import pathlib
import re
import unittest
import urllib.parse

import ruamel.yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILES = ["Dockerfile", "engines/Dockerfile"]
# Which services listen on a port.
LISTEN = {
    7070: ["s3-east", "s3-west"],
    8640: ["driftless"],
    9083: ["driftless"],
    9090: ["prometheus"],
    9093: ["alertmanager"],
}
# Where each engine finds its configuration, and what names a variable in it.
ENGINES = {
    "trino": ("/etc/trino", r"\$\{ENV:(\w+)\}"),
    "spark": ("/etc/spark", r"\$\{env\.(\w+)\}"),
}


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def document(path):
    return ruamel.yaml.YAML(typ="safe").load(text(path))


def one(pattern, string):
    """What a pattern, or its group, matches; it does so once."""
    (found,) = re.findall(pattern, string, re.M)
    return found


def commands(string, prompt):
    """The lines that begin with `docker compose`, each with the line that continues it."""
    joined = re.sub(r" \\\n#? +", " ", string)
    return re.findall(rf"^{re.escape(prompt)}(docker compose .*)$", joined, re.M)


class ComposeTest(unittest.TestCase):
    def setUp(self):
        self.compose = document("docker-compose.yml")
        self.services = self.compose["services"]

    def mounts(self, service):
        """Each mount of a service: (source, target)."""
        return [mount.split(":")[:2] for mount in self.services[service].get("volumes", [])]

    def check_address(self, url):
        """The host is a service that listens on the port."""
        address = urllib.parse.urlsplit(url)
        self.assertIn(address.hostname, self.services)
        self.assertIn(address.hostname, LISTEN[address.port], url)

    def test_what_is_mounted_exists(self):
        for name in self.services:
            for source, _target in self.mounts(name):
                if source.startswith("."):
                    self.assertTrue((ROOT / source).exists(), f"{name}: {source}")
                else:
                    self.assertIn(source, self.compose["volumes"], name)

    def test_scripts_that_are_started_may_be(self):
        for name, service in self.services.items():
            for program in service.get("entrypoint", []):
                (script,) = [s for s, target in self.mounts(name) if target == program]
                self.assertTrue(os.access(ROOT / script, os.X_OK), script)

    def test_what_is_built_exists(self):
        for name, service in self.services.items():
            build = service.get("build")
            if isinstance(build, dict):
                stages = re.findall(r"^FROM \S+ AS (\w+)$", text(build["dockerfile"]), re.M)
                self.assertIn(build["target"], stages, name)
        for dockerfile in DOCKERFILES:
            for source in re.findall(r"^COPY ([^-\s]\S*) ", text(dockerfile), re.M):
                self.assertTrue((ROOT / source).exists(), f"{dockerfile}: {source}")

    def test_services_listen_where_they_are_spoken_to(self):
        served = self.services["driftless"]["command"]
        self.assertIn("--listen=0.0.0.0:8640", served)
        self.assertIn("--metastore=lake@east=0.0.0.0:9083", served)
        self.assertIn("--port :7070 ", text("engines/Dockerfile"))
        for name in ["ctl", "seed"]:
            self.check_address(self.services[name]["environment"]["DRIFTLESS_SERVER"])
        for name in ENGINES:
            self.check_address(self.services[name]["environment"]["DRIFTLESS_METASTORE"])
            self.check_address(self.services[name]["environment"]["DRIFTLESS_SITE_ENDPOINT"])

    def test_stores_that_are_named_first_are_there(self):
        seed = text("engines/compose/seed.sh")
        address = one(r"http://s3-\$site:\d+", seed)
        for site in one(r"^for site in (.*); do$", seed).split():
            self.check_address(address.replace("$site", site))
            self.assertEqual(self.services[f"s3-{site}"]["environment"]["BUCKET"], site)

    def test_monitoring_looks_at_what_is_there(self):
        prometheus = document("engines/compose/prometheus.yml")
        for entry in prometheus["scrape_configs"] + prometheus["alerting"]["alertmanagers"]:
            for target in [t for static in entry["static_configs"] for t in static["targets"]]:
                self.check_address(f"http://{target}")
        (source,) = document("engines/compose/grafana-datasource.yml")["datasources"]
        self.check_address(source["url"])

    def test_what_is_read_in_containers_is_mounted_there(self):
        rules = document("engines/compose/prometheus.yml")["rule_files"]
        (provider,) = document("engines/compose/grafana-dashboards.yml")["providers"]
        found = {target for name in self.services for _source, target in self.mounts(name)}
        self.assertLessEqual(set(rules), found)
        folders = {os.path.dirname(target) for target in found}
        self.assertIn(provider["options"]["path"], folders)

    def test_variables_that_configurations_name_are_set(self):
        for name, (folder, pattern) in ENGINES.items():
            (source,) = [source for source, target in self.mounts(name) if target == folder]
            files = [file for file in (ROOT / source).rglob("*") if file.is_file()]
            lines = [line for file in files for line in text(file).splitlines()]
            said = "\n".join(line for line in lines if not line.startswith("#"))
            named = set(re.findall(pattern, said))
            self.assertTrue(named, name)
            self.assertLessEqual(named, set(self.services[name]["environment"]), name)
        named = set(re.findall(r'{\\"env\\": \\"(\w+)\\"}', text("engines/compose/seed.sh")))
        self.assertEqual(len(named), 2)
        self.assertLessEqual(named, set(self.services["driftless"]["environment"]))

    def test_versions_are_those_of_the_project(self):
        dockerfile = text("engines/Dockerfile")
        sums = text("testdata/generate/jars.sha256")
        versitygw = one(r"cmd/versitygw@(\S+)$", dockerfile)
        self.assertEqual(versitygw, one(r"^VERSITYGW=(.*)$", text("dev")))
        for artifact, version in re.findall(r"^ +[\w.]+:([\w.-]+):([\d.]+) \\$", dockerfile, re.M):
            self.assertIn(f"/{artifact}-{version}.jar\n", sums)
        self.assertIn(f"/trino-server-{self.services['trino']['image'].split(':')[1]}.tar.gz", sums)
        rust = one(r"^FROM rust:([\d.]+)-", text("Dockerfile"))
        self.assertEqual(rust, one(r'^rust-version = "(.*)"$', text("Cargo.toml")))

    def test_the_readme_and_the_file_tell_the_same_commands(self):
        readme = commands(text("README.md"), "$ ")
        self.assertGreaterEqual(len(readme), 4)
        self.assertLessEqual(set(readme), set(commands(text("docker-compose.yml"), "#   ")))
        named = one(r"register (\S+) ", "\n".join(readme))
        for command in readme:
            if " table " in command:
                self.assertIn(named, command)
            elif "SELECT" in command:
                self.assertIn(named.partition(".")[2], command)

    def test_the_table_of_the_commands_is_there(self):
        source = one(r"file:///(\S+)", text("README.md").partition("## With Docker")[2])
        ((mounted, target),) = self.mounts("driftless")
        self.assertTrue(f"/{source}".startswith(f"{target}/"))
        self.assertIn(f"--allow-files={target}", self.services["driftless"]["command"])
        table = ROOT / mounted / f"/{source}"[len(target) + 1 :]
        self.assertTrue((table / "_delta_log").is_dir(), table)


if __name__ == "__main__":
    unittest.main()
