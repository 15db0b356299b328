//! The whole tool against real servers: two S3 servers and an Azure one.

use std::fs;

use driftless_testdata::servers::{
    ACCOUNT, ACCOUNT_KEY, KEY_ID, SECRET, Server, azurite, versitygw,
};

use crate::World;
use crate::rows::{judge, run};

pub(crate) fn s3_section(name: &str, server: &Server) -> String {
    format!(
        "[stores.{name}]\nurl = \"s3://lake\"\n[stores.{name}.options]\n\
         aws_endpoint = \"http://127.0.0.1:{}\"\naws_region = \"us-east-1\"\n\
         aws_access_key_id = \"{KEY_ID}\"\naws_secret_access_key = {{ file = \"secret\" }}\n",
        server.port
    )
    .replace("\"secret\"", "\"SECRET_FILE\"")
}

/// The rows of both sides, where the judge is built.
#[track_caller]
fn rows_are_equal(world: &World, source: &str, target: &str) {
    let Some(judge) = judge() else { return };
    let line = format!("verify {source} {target} --level rows --output json");
    let (code, document) = run(world, &judge, &line);
    assert_eq!(code, Some(0), "{document}");
}

/// Adds stores to the world's configuration.
pub(crate) fn configure(world: &World, text: &str) {
    let secret = world.path("s3-secret");
    fs::write(&secret, SECRET).unwrap();
    let folder = world.path("home/.config/driftless");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("driftless.toml");
    let before = fs::read_to_string(&file).unwrap_or_default();
    let text = text.replace("SECRET_FILE", secret.to_str().unwrap());
    fs::write(file, before + &text).unwrap();
}

#[test]
fn tables_travel_between_two_s3_servers() {
    let (Some(cloud), Some(site)) = (versitygw("two S3 servers", true), versitygw("site", false))
    else {
        return;
    };
    for table in ["partitions", "deletion_vectors", "checkpoint_v2_parquet", "change_data_feed"] {
        let world = World::with(table);
        configure(&world, &(s3_section("cloud", &cloud) + &s3_section("site", &site)));
        let at = format!("wh/{table}");
        world.done(&format!("sync source/t cloud:{at} --start earliest"));
        world.done(&format!("sync cloud:{at} site:{at} --start earliest"));
        world.done(&format!("verify source/t site:{at} --level bytes"));
        rows_are_equal(&world, &format!("cloud:{at}"), &format!("site:{at}"));
        world.done(&format!("verify cloud:{at} site:{at} --level log"));
        let ran = world.done(&format!("status cloud:{at} site:{at} --output json"));
        assert_eq!(ran.json()["targets"][0]["state"], "ok", "{}", ran.stdout);
        // Server-side copy: source and target are one store.
        world.done(&format!("sync cloud:{at} cloud:copy/{table}"));
        world.done(&format!("verify cloud:{at} cloud:copy/{table} --level bytes"));
    }
}

#[test]
fn tables_travel_to_azure_and_back() {
    let Some(server) = azurite("Azure") else { return };
    let world = World::with("partitions");
    configure(
        &world,
        &format!(
            "[stores.azure]\nurl = \"az://lake\"\n[stores.azure.options]\n\
             azure_storage_account_name = \"{ACCOUNT}\"\n\
             azure_storage_account_key = \"{ACCOUNT_KEY}\"\n\
             azure_storage_endpoint = \"http://127.0.0.1:{}/{ACCOUNT}\"\n",
            server.port
        ),
    );
    world.done("sync source/t azure:wh/t --start earliest");
    world.done("verify source/t azure:wh/t --level bytes");
    rows_are_equal(&world, "source/t", "azure:wh/t");
    world.done("sync azure:wh/t back/t --start earliest");
    world.done("verify source/t back/t --level bytes");
    world.done("sync source/t azure:wh/t");
}
