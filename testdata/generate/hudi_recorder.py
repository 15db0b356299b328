"""Recorder of a Hudi table's life: every object version and every event, in the order they happen.

Hudi reaches storage only through Hadoop's file system, so a local file system that notes each
close, rename and delete sees what an object store would see. Its Java source stands here because
it is compiled for each run, against the Hadoop of the cached Spark.

# Invariants
- An event is appended after its effect and inside one lock, so the log's order is the real one.
- Bytes are copied at close, before anybody can replace them: no object version is lost.
- After each step the replayed events equal the folder on disk byte by byte, or the run fails.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

# Scratch of the writer that no reader opens; Hadoop's side files go with them.
IGNORED = re.compile(r"(^|/)\.hoodie/(\.temp|\.heartbeat|\.locks|\.aux/\.sample_writes)/|\.crc$")

JAVA = r"""
package driftless;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/** Local file system that records what happens below one folder. */
public class RecordingFileSystem extends LocalFileSystem {
  private static final Object LOCK = new Object();
  private static volatile String root = "/nowhere/";
  private static File objects;
  private static Writer log;
  private static volatile Pattern failing;
  private static volatile Pattern pausing;
  private static volatile CountDownLatch paused;
  private static volatile CountDownLatch resumed;

  public RecordingFileSystem() {
    super(new Raw());
  }

  @Override
  public void initialize(java.net.URI name, Configuration conf) throws IOException {
    super.initialize(name, conf);
    setWriteChecksum(false);
    setVerifyChecksum(false);
  }

  /** Records everything below `folder`: events to `logFile`, bytes to `objectFolder`. */
  public static void record(String folder, String logFile, String objectFolder)
      throws IOException {
    synchronized (LOCK) {
      if (log != null) {
        log.close();
      }
      root = folder + "/";
      objects = new File(objectFolder);
      log = new OutputStreamWriter(new FileOutputStream(logFile), StandardCharsets.UTF_8);
    }
  }

  /** The next create of a path that the pattern matches fails, once. */
  public static void failNext(String pattern) {
    failing = Pattern.compile(pattern);
  }

  /** The next create of a path that the pattern matches waits for `resume`, once. */
  public static void pauseNext(String pattern) {
    paused = new CountDownLatch(1);
    resumed = new CountDownLatch(1);
    pausing = Pattern.compile(pattern);
  }

  public static void awaitPause() throws InterruptedException {
    paused.await();
  }

  public static void resume() {
    resumed.countDown();
  }

  private static void gate(String path) throws IOException {
    Pattern fails = failing;
    if (fails != null && fails.matcher(path).find()) {
      failing = null;
      throw new IOException("create " + path + ": failed on purpose");
    }
    Pattern pauses = pausing;
    if (pauses != null && pauses.matcher(path).find()) {
      pausing = null;
      paused.countDown();
      try {
        resumed.await();
      } catch (InterruptedException e) {
        throw new IOException(e);
      }
    }
  }

  private static boolean recorded(String path) {
    return path.startsWith(root);
  }

  private static void note(String line) throws IOException {
    log.write(line + "\n");
    log.flush();
  }

  private static void put(File file) throws IOException {
    byte[] bytes = Files.readAllBytes(file.toPath());
    String name;
    try {
      byte[] sum = MessageDigest.getInstance("SHA-256").digest(bytes);
      name = String.format("%064x", new java.math.BigInteger(1, sum)).substring(0, 32);
    } catch (java.security.NoSuchAlgorithmException e) {
      throw new IOException(e);
    }
    File object = new File(objects, name);
    if (!object.exists()) {
      Files.write(object.toPath(), bytes);
    }
    String path = file.getPath().substring(root.length());
    note("put\t" + path + "\t" + name + "\t" + file.lastModified());
  }

  private static List<File> files(File file) {
    List<File> found = new ArrayList<>();
    if (file.isFile()) {
      found.add(file);
    }
    File[] children = file.listFiles();
    if (children != null) {
      Arrays.sort(children);
      for (File child : children) {
        found.addAll(files(child));
      }
    }
    return found;
  }

  static class Raw extends RawLocalFileSystem {
    @Override
    protected OutputStream createOutputStream(org.apache.hadoop.fs.Path f, boolean append)
        throws IOException {
      gate(pathToFile(f).getPath());
      return new Recorded(super.createOutputStream(f, append), pathToFile(f));
    }

    @Override
    protected OutputStream createOutputStreamWithMode(
        org.apache.hadoop.fs.Path f, boolean append, FsPermission permission)
        throws IOException {
      gate(pathToFile(f).getPath());
      OutputStream out = super.createOutputStreamWithMode(f, append, permission);
      return new Recorded(out, pathToFile(f));
    }

    @Override
    public boolean rename(org.apache.hadoop.fs.Path source, org.apache.hadoop.fs.Path target)
        throws IOException {
      synchronized (LOCK) {
        List<File> before = files(pathToFile(source));
        boolean done = super.rename(source, target);
        if (done) {
          for (File file : files(pathToFile(target))) {
            if (recorded(file.getPath())) {
              put(file);
            }
          }
          for (File file : before) {
            if (recorded(file.getPath())) {
              note("delete\t" + file.getPath().substring(root.length()));
            }
          }
        }
        return done;
      }
    }

    @Override
    public boolean delete(org.apache.hadoop.fs.Path path, boolean recursive)
        throws IOException {
      synchronized (LOCK) {
        List<File> before = files(pathToFile(path));
        boolean done = super.delete(path, recursive);
        for (File file : before) {
          if (recorded(file.getPath()) && !file.exists()) {
            note("delete\t" + file.getPath().substring(root.length()));
          }
        }
        return done;
      }
    }
  }

  static class Recorded extends FilterOutputStream {
    private final File file;
    private boolean closed;

    Recorded(OutputStream out, File file) {
      super(out);
      this.file = file;
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
      out.write(bytes, offset, length);
    }

    @Override
    public void close() throws IOException {
      synchronized (LOCK) {
        out.close();
        if (!closed && recorded(file.getPath()) && file.exists()) {
          put(file);
        }
        closed = true;
      }
    }
  }
}
"""


def compile_java(spark_jars, folder):
    """Compiles the file system into `folder`, which then belongs on the driver's class path."""
    source = folder / "driftless" / "RecordingFileSystem.java"
    source.parent.mkdir(parents=True)
    source.write_text(JAVA, encoding="utf-8")
    hadoop = [str(jar) for jar in pathlib.Path(spark_jars).glob("hadoop-client-*.jar")]
    command = ["javac", "-nowarn", "-cp", os.pathsep.join(hadoop), "-d", str(folder), str(source)]
    subprocess.run(command, check=True)


class Recording:
    """Events and object versions of one table; `folder` takes the log and the objects."""

    def __init__(self, spark, table, folder):
        self.table = table
        self.log = folder / "events.tsv"
        self.objects = folder / "objects"
        self.objects.mkdir(parents=True)
        self.consumed = 0
        self.state = {}
        self.control = spark._jvm.driftless.RecordingFileSystem
        self.control.record(str(table), str(self.log), str(self.objects))

    def take(self):
        """Events since the last call, as they stand in history.json."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        fresh, self.consumed = lines[self.consumed :], len(lines)
        events = [event for line in fresh if (event := _event(line))]
        for event in events:
            apply(self.state, event)
        self._verify()
        return events

    def _verify(self):
        disk = {}
        for file in self.table.rglob("*"):
            path = file.relative_to(self.table).as_posix()
            if file.is_file() and not IGNORED.search(path):
                disk[path] = hashlib.sha256(file.read_bytes()).hexdigest()[:32]
        replayed = {path: event["object"] for path, event in self.state.items()}
        if disk != replayed:
            differing = sorted(set(disk.items()) ^ set(replayed.items()))
            raise SystemExit(f"replay {self.table.name}: differs from the folder: {differing}")


def _event(line):
    kind, path, *rest = line.split("\t")
    if IGNORED.search(path):
        return None
    if kind == "delete":
        return {"delete": path}
    return {"put": path, "object": rest[0], "modified_ms": int(rest[1])}


def apply(state, event):
    """Applies one event to a map from path to the put that made it."""
    if "put" in event:
        state[event["put"]] = event
    else:
        state.pop(event["delete"], None)


def materialize(state, objects, folder):
    """Writes a replayed state to `folder`, with the recorded modification times."""
    for path, event in state.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(objects / event["object"], file)
        seconds = event["modified_ms"] / 1000
        os.utime(file, (seconds, seconds))
