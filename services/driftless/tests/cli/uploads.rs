//! Uploads in parts that are under way when a run is stopped: given up, or swept by a later pass.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use driftless_testdata::s3::S3Double;
use driftless_testdata::servers::{Server, versitygw};

use crate::servers::{configure, s3_section};
use crate::{World, add, s3};

const MIB: u64 = 1 << 20;

/// The source's next version has a file that goes up in parts.
fn add_large(world: &World, version: u64, size_bytes: u64) {
    let path = format!("large-{version}.parquet");
    let file = fs::File::create(world.path(&format!("source/t/{path}"))).unwrap();
    file.set_len(size_bytes).unwrap();
    fs::write(world.log(version), add(&path, size_bytes)).unwrap();
}

/// Starts a run that takes long over the large file, and waits until `begun`.
fn start(world: &World, line: &str, mut begun: impl FnMut() -> bool) -> Child {
    let arguments: Vec<_> = line.split(' ').collect();
    let mut command = world.command(&arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !begun() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it was stopped");
        pause();
    }
    child
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for a process has nothing else")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn stop(mut child: Child, signal: &str) -> Option<i32> {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    child.wait().unwrap().code()
}

/// Whether a part of an upload is on its way, so that the client knows the upload.
fn is_sending(double: &S3Double) -> bool {
    double.requests().iter().any(|request| request.query.contains("partNumber="))
}

/// What a busy machine does not manage within the second that a stop may take is left for the
/// sweep, so one of three attempts will do.
#[track_caller]
fn gives_up(attempt: impl Fn() -> bool) {
    assert!((0..3).any(|_| attempt()));
}

/// The server may still be at what the run asked before it ended.
fn soon(holds: impl Fn() -> bool) -> bool {
    (0..300).any(|_| {
        let there = holds();
        if !there {
            pause();
        }
        there
    })
}

#[test]
fn ctrl_c_leaves_no_upload() {
    for signal in ["-INT", "-TERM"] {
        gives_up(|| {
            let world = World::with("history");
            let double = s3::start(&world);
            add_large(&world, 13, 66 * MIB);
            let line = "sync source/t lake:t --bandwidth-limit 8MB/s";
            let child = start(&world, line, || is_sending(&double));
            assert_eq!(double.uploads("bucket").len(), 1);
            // Only a run that waits for the answer ends after the upload is gone.
            double.reconfigure(|config| config.latency = Duration::from_millis(100));
            assert_eq!(stop(child, signal), Some(130), "{signal}");
            let gone = double.uploads("bucket").is_empty();
            double.reconfigure(|config| config.latency = Duration::ZERO);
            world.done("sync source/t lake:t");
            world.done("verify source/t lake:t --level bytes");
            gone
        });
    }
}

/// Parts of unfinished uploads on the server's disk.
fn parts(server: &Server) -> usize {
    let folders = |at: std::path::PathBuf| {
        let entries = fs::read_dir(at).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    };
    let uploads = folders(server.folder.path().join("lake/.sgwtmp/multipart")).flat_map(folders);
    let files = uploads.flat_map(|upload| fs::read_dir(upload).into_iter().flatten());
    files.filter(|file| file.as_ref().unwrap().path().is_file()).count()
}

#[test]
fn ctrl_c_leaves_no_part_on_a_servers_disk() {
    let Some(server) = versitygw("ctrl_c_leaves_no_part_on_a_servers_disk", true) else { return };
    gives_up(|| {
        let world = World::with("history");
        configure(&world, &s3_section("site", &server));
        add_large(&world, 13, 130 * MIB);
        let before = parts(&server);
        // A folder for each attempt.
        let table = format!("site:{before}/t");
        let line = format!("sync source/t {table} --bandwidth-limit 40MB/s");
        let child = start(&world, &line, || parts(&server) > before);
        assert_eq!(stop(child, "-INT"), Some(130));
        let gone = soon(|| parts(&server) == before);
        world.done(&format!("sync source/t {table}"));
        world.done(&format!("verify source/t {table} --level bytes"));
        gone
    });
}

#[test]
fn what_a_killed_run_leaves_is_swept_a_day_later() {
    let world = World::with("history");
    let double = s3::start(&world);
    world.done("sync source/t lake:t");
    add_large(&world, 13, 66 * MIB);
    let line = "sync source/t lake:t --bandwidth-limit 8MB/s";
    let child = start(&world, line, || is_sending(&double));
    assert_eq!(stop(child, "-KILL"), None);
    // Whoever began it may be alive.
    world.done("sync source/t lake:t");
    assert_eq!(double.uploads("bucket").len(), 1);
    double.age_uploads(Duration::from_secs(25 * 3600));
    // A pass without work asks nothing.
    double.take_requests();
    world.done("sync source/t lake:t");
    assert!(!double.take_requests().iter().any(|request| request.query.contains("uploads")));
    assert_eq!(double.uploads("bucket").len(), 1);
    add_large(&world, 14, MIB);
    world.done("sync source/t lake:t");
    assert_eq!(double.uploads("bucket").len(), 0);
    world.done("verify source/t lake:t --level bytes");
}
