//! The operators' guide: every command of it is run, in its order.

use std::path::Path;

use crate::pump::Pump;
use crate::world::{Process, World};

/// The commands of the guide: lines that begin with `$ ` in a console block.
fn commands() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(page).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("$ driftless "));
    lines.map(str::to_owned).collect()
}

/// Splits a command line as a shell does: at spaces, but not within quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

#[test]
fn every_command_of_the_guide_runs() {
    let mut world = World::new();
    let mut serve: Option<Process> = None;
    let mut pump = Pump::delta(world.path("lake/orders"), "history");
    pump.finish();
    let root = world.path("").display().to_string().trim_end_matches('/').to_owned();
    let commands = commands();
    assert!(commands.len() >= 20, "{commands:?}");
    for line in commands {
        let here =
            line.replace("/var/lib/driftless", &format!("{root}/data")).replace("/srv", &root);
        if here.starts_with("serve ") {
            let line = here.replace("127.0.0.1:8640", "127.0.0.1:0");
            let started = world.start(&line);
            world.set_env("DRIFTLESS_SERVER", &started.url());
            serve = Some(started);
            continue;
        }
        let words = words(&here);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (code, said) = world.run(&words);
        assert_eq!(code, 0, "{line}: {said:#}");
    }
    assert_eq!(serve.unwrap().stop(), 0);
}
