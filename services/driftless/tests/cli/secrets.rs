//! No secret is ever printed, whatever fails and however much is logged.

use std::fs;

use crate::World;

const MARKER: &str = "MARKERmarkerMARKERmarker";

#[test]
fn secrets_are_never_printed() {
    let world = World::with("history");
    fs::write(world.path("secret.txt"), format!("{MARKER}-file\n")).unwrap();
    let config = format!(
        "[stores.plain]\nurl = \"s3://bucket\"\n[stores.plain.options]\n\
         aws_endpoint = \"http://127.0.0.1:1\"\naws_region = \"us-east-1\"\n\
         aws_access_key_id = \"{MARKER}-id\"\naws_secret_access_key = \"{MARKER}-key\"\n\
         aws_session_token = \"{MARKER}-token\"\n\
         [stores.env]\nurl = \"s3://bucket\"\n[stores.env.options]\n\
         aws_endpoint = \"http://127.0.0.1:1\"\naws_region = \"us-east-1\"\n\
         aws_access_key_id = \"{MARKER}-id\"\naws_secret_access_key = {{ env = \"THE_SECRET\" }}\n\
         [stores.file]\nurl = \"s3://bucket\"\n"
    );
    let config = config.replace("stores.file", "stores.kept")
        + &format!(
            "[stores.kept.options]\naws_endpoint = \"http://127.0.0.1:1\"\n\
             aws_region = \"us-east-1\"\naws_access_key_id = \"{MARKER}-id\"\n\
             aws_secret_access_key = {{ file = \"{}\" }}\n\
             [stores.azure]\nurl = \"az://container\"\n[stores.azure.options]\n\
             azure_storage_account_name = \"account\"\n\
             azure_storage_endpoint = \"http://127.0.0.1:1\"\n\
             azure_storage_account_key = \"{MARKER}\"\n\
             [stores.broken]\nurl = \"s3://bucket\"\n[stores.broken.options]\n\
             aws_no_such_option = \"{MARKER}-value\"\n",
            world.path("secret.txt").display()
        );
    fs::write(world.path("stores.toml"), config).unwrap();
    for store in ["plain", "env", "kept", "azure", "broken"] {
        for line in [
            format!("inspect {store}:t"),
            format!("sync {store}:t target/t"),
            format!("sync source/t {store}:t"),
            format!("status source/t {store}:t"),
            format!("verify source/t {store}:t"),
            format!("plan {store}:t target/t"),
            format!("probe {store}:t"),
        ] {
            for form in ["human", "json"] {
                let line = format!(
                    "{line} --config stores.toml --timeout 50ms --output {form} --log-level trace"
                );
                let arguments: Vec<_> = line.split(' ').collect();
                let mut command = world.command(&arguments);
                let output = command.env("THE_SECRET", format!("{MARKER}-env")).output().unwrap();
                assert_ne!(output.status.code(), Some(0), "{line}");
                for stream in [&output.stdout, &output.stderr] {
                    let text = String::from_utf8_lossy(stream);
                    assert!(!text.contains(MARKER), "{line}\n{text}");
                }
            }
        }
    }
}

#[test]
fn a_mistyped_secret_is_not_repeated() {
    let world = World::new();
    for text in [
        format!("[stores.lake.options]\naws_secret_access_key = {MARKER}"),
        format!("[stores.lake]\nurl = \"s3://b\"\noptions = \"{MARKER}\""),
        format!("[stores.lake]\nurl = \"s3://user:{MARKER}@b\""),
    ] {
        fs::write(world.path("stores.toml"), &text).unwrap();
        let ran = world.ends("inspect lake:t --config stores.toml", 2);
        assert!(!ran.stderr.contains(MARKER), "{}", ran.stderr);
    }
    let ran = world.ends(&format!("inspect s3://user:{MARKER}@bucket/t"), 2);
    assert!(!ran.stderr.contains(MARKER), "{}", ran.stderr);
    let ran = world.ends(&format!("inspect s3://bucket/t?X-Amz-Signature={MARKER}"), 2);
    assert!(!ran.stderr.contains(MARKER), "{}", ran.stderr);
}
