//! The documentation names everything that the command line takes and prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::World;

pub(crate) fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_option_is_documented() {
    let world = World::new();
    let docs = page("cli.md");
    for command in ["inspect", "plan", "sync", "verify", "status", "probe", "demo", "completions"] {
        assert!(docs.contains(&format!("`{command}`")), "{command}");
        let help = world.done(&format!("{command} --help")).stdout;
        let options = help.split_whitespace().filter_map(|word| {
            let name = word.split(['[', '=', ',', '.']).next().unwrap_or_default();
            name.strip_prefix("--").filter(|name| !name.is_empty()).map(|_| name)
        });
        for option in options {
            assert!(docs.contains(&format!("`{option}")), "{command} {option}");
        }
    }
}

#[test]
fn every_field_is_documented() {
    let world = World::with("history");
    world.add("b/t", "all_types");
    let mut fields = BTreeSet::new();
    for (line, code) in [
        ("inspect source/t --output json", 0),
        ("plan source/t target/t --output json", 0),
        ("sync source/t target/t b/t --output json", 3),
        ("status source/t target/t b/t --output json", 3),
        ("verify source/t target/t b/t --level bytes --output json", 4),
        ("probe target/t --output json", 0),
        ("inspect no/such --output json", 3),
        ("sync source/* all --output json", 0),
    ] {
        collect(&world.ends(line, code).json(), &mut fields);
    }
    let docs = page("json.md");
    for field in fields {
        assert!(docs.contains(&format!("`{field}`")), "{field}");
    }
}

pub(crate) fn collect(value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                fields.insert(name.clone());
                collect(value, fields);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        _ => {}
    }
}
