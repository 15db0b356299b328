//! Following until stopped.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{World, s3};

struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(world: &World, line: &str) -> Self {
        let arguments: Vec<_> = line.split(' ').collect();
        let mut child = world
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("another pass").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a signal; gives the exit code, and what was printed after it.
    fn stop(mut self, signal: &str) -> (Option<i32>, Vec<String>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let rest = self.lines.map(Result::unwrap).collect();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (code, rest, stderr)
    }
}

#[test]
fn follow_publishes_what_comes_and_ends_when_told() {
    for signal in ["-INT", "-TERM"] {
        let world = World::with("history");
        let head = std::fs::read(world.log(12)).unwrap();
        std::fs::remove_file(world.log(12)).unwrap();
        let mut follower = Follower::start(&world, "sync source/t target/t --follow --output json");
        let first = follower.next();
        assert_eq!(first["schema"], 1);
        assert_eq!(first["targets"][0]["head"], 11);
        std::fs::write(world.path("source/t/_delta_log/new"), head).unwrap();
        std::fs::rename(world.path("source/t/_delta_log/new"), world.log(12)).unwrap();
        let next = loop {
            let next = follower.next();
            if next["targets"][0]["head"] == 12 {
                break next;
            }
        };
        assert_eq!(next["targets"][0]["published"], serde_json::json!([12]));
        let (code, rest, stderr) = follower.stop(signal);
        assert_eq!(code, Some(130), "{signal}");
        assert!(stderr.contains("run the same command again"), "{stderr}");
        for line in rest {
            let document: Value = serde_json::from_str(&line).unwrap();
            assert!(document["targets"].is_array());
        }
        world.done("verify source/t target/t --level bytes");
    }
}

#[test]
fn a_stopped_pass_is_started_again() {
    let world = World::with("many_files");
    let double = s3::start(&world);
    s3::fill(&double, &world.path("source/t"), "wh/t");
    // A rate at which the copy takes long: the signal always finds it at work.
    let line = "sync lake:t target/t --bandwidth-limit 100B/s --output json";
    let mut follower = Follower::start(&world, line);
    let mut stderr = BufReader::new(follower.child.stderr.take().unwrap());
    let mut begun = String::new();
    while !begun.contains("to publish") {
        begun.clear();
        assert_ne!(stderr.read_line(&mut begun).unwrap(), 0, "it ended before it was stopped");
    }
    let pid = follower.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(follower.child.wait().unwrap().code(), Some(130));
    let printed: Vec<_> = follower.lines.map(Result::unwrap).collect();
    let document: Value = serde_json::from_str(&printed.join("\n")).unwrap();
    assert_eq!(document["error"]["code"], "interrupted");
    world.done("sync lake:t target/t");
    world.done("verify lake:t target/t --level bytes");
}
