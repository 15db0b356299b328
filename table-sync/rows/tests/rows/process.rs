//! The binary as the main binary uses it: a request in, an answer and an exit code out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

fn start(request: &Value) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_driftless-rows"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    child
}

/// Answer and exit code of a request.
fn ask(request: &Value) -> (Value, i32) {
    let output = start(request).wait_with_output().unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn tables_answer_side_by_side() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("accounts");
    let request = json!({"op": "write_demo", "table": table, "seconds": 3600, "interval_ms": 1});
    let mut writer = start(&request);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first, json!({"version": 0, "operation": "CREATE TABLE", "rows": 0, "sum": 0}));
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&second["version"], &second["rows"]), (&json!(1), &json!(1000)));
    // The end of its standard input ends the writer.
    writer.stdin.take();
    let rest = lines.map(Result::unwrap).count();
    assert!(writer.wait().unwrap().success());

    let url = Url::from_directory_path(&table).unwrap();
    let nowhere = url.join("../nowhere/").unwrap();
    let tables = [
        json!({"url": url, "options": {}, "version": 1}),
        json!({"url": nowhere, "version": null}),
        json!({"url": url, "version": null}),
    ];
    let (answer, code) = ask(&json!({"op": "rows", "tables": tables}));
    assert_eq!(code, 1);
    let answers = &answer["tables"];
    assert_eq!((&answers[0]["count"], &answers[0]["error"]), (&json!(1000), &Value::Null));
    assert_eq!(answers[1]["error"]["code"], "not_a_table");
    assert_eq!(answers[2]["version"], json!(1 + rest));
    let request = json!({"op": "rows", "tables": [{"url": url, "version": 0}]});
    let (answer, code) = ask(&request);
    assert_eq!((&answer["tables"][0]["count"], code), (&json!(0), 0));
}

#[test]
fn a_request_that_is_none_fails_with_a_reason() {
    let (answer, code) = ask(&json!({"op": "rows", "tables": [], "option": {}}));
    assert_eq!((&answer["error"]["code"], code), (&json!("request"), 1));
}

#[test]
fn an_error_never_shows_options() {
    let secret = "correct-horse";
    let options = json!({"aws_secret_access_key": secret, "aws_endpoint": "http://127.0.0.1:1"});
    let request = json!({"op": "rows", "tables": [{"url": "s4://bucket/t", "options": options}]});
    let (answer, code) = ask(&request);
    assert_eq!((&answer["tables"][0]["error"]["code"], code), (&json!("store"), 1));
    assert!(!answer.to_string().contains(secret), "{answer}");
}
