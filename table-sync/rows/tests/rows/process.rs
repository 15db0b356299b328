//! The binary as the main binary uses it: a request in, an answer and an exit code out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use driftless_testdata::servers::{KEY_ID, SECRET, versitygw_with};
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

#[test]
fn a_hudi_table_is_asked_for_by_its_format_and_position() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("accounts");
    let request = json!({
        "op": "write_demo", "format": "hudi", "table": table, "seconds": 0, "batch_rows": 8,
    });
    let output = start(&request).wait_with_output().unwrap();
    assert!(output.status.success());
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&line["operation"], &line["rows"]), (&json!("BULK_INSERT"), &json!(8)));

    let url = Url::from_directory_path(&table).unwrap();
    let position = &line["version"];
    let tables = [
        json!({"url": url, "format": "hudi"}),
        json!({"url": url, "format": "hudi", "position": position}),
    ];
    let (answer, code) = ask(&json!({"op": "rows", "tables": tables}));
    assert_eq!(code, 0, "{answer}");
    let [newest, then] = [0, 1].map(|i| &answer["tables"][i]);
    assert_eq!((&newest["count"], &newest["position"]), (&json!(8), position));
    assert_eq!(newest, then);

    let gone = "20200101000000001_20200101000000000";
    let tables = [
        json!({"url": url, "format": "hudi", "position": gone}),
        json!({"url": url.join("../nowhere/").unwrap(), "format": "hudi"}),
    ];
    let (answer, code) = ask(&json!({"op": "rows", "tables": [tables[0]]}));
    assert_eq!((&answer["tables"][0]["error"]["code"], code), (&json!("gone"), 5));
    let (answer, code) = ask(&json!({"op": "rows", "tables": tables}));
    assert_eq!((&answer["tables"][1]["error"]["code"], code), (&json!("not_a_table"), 1));
}

/// An authority, and a certificate of it for `localhost`; says so without openssl.
fn certificates(folder: &Path) -> bool {
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:localhost").unwrap();
    let commands = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext \
         -out cert.pem",
    ];
    let done = commands.iter().all(|line| {
        let mut run = Command::new("openssl");
        run.args(line.split_whitespace()).current_dir(folder);
        run.output().is_ok_and(|output| output.status.success())
    });
    if !done {
        eprintln!("SKIPPED: openssl is not installed");
    }
    done
}

#[test]
fn a_hudi_table_behind_an_own_authority_is_read() {
    let folder = TempDir::new().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let paths = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let [cert, key] = [0, 1].map(|i| paths[i].to_str().unwrap());
    let arguments = ["--keep-alive", "--cert", cert, "--key", key];
    let Some(server) = versitygw_with("a_hudi_table_behind_an_own_authority", &arguments) else {
        return;
    };
    // This server keeps a bucket as a folder.
    let table = server.folder.path().join("lake/accounts");
    let request = json!({"op": "write_demo", "format": "hudi", "table": table, "seconds": 0});
    assert!(start(&request).wait_with_output().unwrap().status.success());

    let options = json!({
        "aws_endpoint": format!("https://localhost:{}", server.port),
        "aws_region": "us-east-1",
        "aws_access_key_id": KEY_ID,
        "aws_secret_access_key": SECRET,
    });
    let ca_file = folder.path().join("ca.pem");
    let table = json!({
        "url": "s3://lake/accounts/", "format": "hudi", "options": options, "ca_file": ca_file,
    });
    let (answer, code) = ask(&json!({"op": "rows", "tables": [table]}));
    assert_eq!((&answer["tables"][0]["count"], code), (&json!(1000), 0), "{answer}");
}
