//! What engines are given: a metastore, and configuration.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::nodes::text_of;
use crate::pump::Pump;
use crate::world::World;

/// A call of the Thrift binary protocol with texts for arguments, and the bytes of its answer.
fn call(address: &str, method: &str, arguments: &[&str]) -> Vec<u8> {
    let mut message = 0x8001_0001_u32.to_be_bytes().to_vec();
    let text = |message: &mut Vec<u8>, text: &str| {
        message.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        message.extend(text.as_bytes());
    };
    text(&mut message, method);
    message.extend(7_u32.to_be_bytes());
    for (number, argument) in (1_u16..).zip(arguments) {
        message.push(11);
        message.extend(number.to_be_bytes());
        text(&mut message, argument);
    }
    message.push(0);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&message).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.get(..4), Some(&0x8001_0002_u32.to_be_bytes()[..]), "{answer:?}");
    answer
}

fn holds(answer: &[u8], text: &str) -> bool {
    answer.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_metastore_serves_what_is_published_at_its_site() {
    let world = World::new();
    let serve = world.serve();
    world.inventory(&serve);
    Pump::delta(world.path("lake/orders"), "history").finish();
    Pump::hudi(world.path("lake/trips"), "cow_v8").finish();
    let metastore = world.start("metastored --data data --metastore lake@east=127.0.0.1:0");
    assert_eq!(metastore.said["site"], "east");
    let uri = metastore.said["metastore"].as_str().unwrap();
    let address = uri.strip_prefix("thrift://").unwrap();
    let policy = json!({ "poll_seconds": 1 });
    for table in ["orders", "trips"] {
        world.register(&serve, table, &policy);
        world.until(&serve, (table, "in step"), |site| site["status"] == "ok");
    }
    // Both sites hold the same live files, as their own logs say.
    for table in ["orders", "trips"] {
        let head = world.table(&serve, table)["sites"][0]["head"].to_string().replace('"', "");
        let path = format!("/v1/tables/lake.sales.{table}/versions/{head}?live_digest=true");
        let found: serde_json::Value = serde_json::from_str(&text_of(&serve, &path)).unwrap();
        let digest = |at: usize| found["sites"][at]["receipt"]["live_digest"].as_str();
        assert!(digest(0).is_some() && digest(0) == digest(1), "{found:#}");
    }
    let databases = call(address, "get_all_databases", &[]);
    assert!(holds(&databases, "sales"), "{databases:?}");
    let tables = call(address, "get_all_tables", &["sales"]);
    assert!(holds(&tables, "orders") && holds(&tables, "trips"), "{tables:?}");
    for table in ["orders", "trips"] {
        let found = call(address, "get_table", &["sales", table]);
        assert!(holds(&found, &format!("/east/lake/sales/{table}")), "{found:?}");
        assert!(!holds(&found, "/west/"), "{found:?}");
    }
    let missing = call(address, "get_table", &["sales", "gone"]);
    assert!(holds(&missing, "gone") && !holds(&missing, "/east/"), "{missing:?}");
    assert_eq!(metastore.stop(), 0);
    assert_eq!(serve.stop(), 0);
}

#[test]
fn configuration_names_the_site_and_no_secret() {
    let mut world = World::new();
    world.set_env("DRIFTLESS_STORE_KEY", "not to be shown");
    let serve = world.serve();
    let store = json!({ "url": "s3://site", "options": {
        "aws_endpoint": "http://vast:9000",
        "aws_region": "eu-1",
        "aws_secret_access_key": { "env": "DRIFTLESS_STORE_KEY" },
    } });
    world.ask(&serve, &["put", "store", "vast", &store.to_string()]);
    world.ask(&serve, &["put", "site", "north", &json!({ "url": "vast:lake" }).to_string()]);
    let url = format!("file://{}", world.path("east").display());
    world.ask(&serve, &["put", "site", "east", &json!({ "url": url }).to_string()]);
    for (engine, expect) in [
        ("trino", &["s3.endpoint=http://vast:9000", "thrift://127.0.0.1:9083", "eu-1"][..]),
        ("spark", &["http://vast:9000", "thrift://127.0.0.1:9083", "eu-1"][..]),
        ("duckdb", &["'s3://site/lake'", "ENDPOINT 'vast:9000'", "REGION 'eu-1'"][..]),
    ] {
        let said = world.ask(&serve, &["engines", engine, "north"]);
        let text = said["files"].to_string();
        for part in expect {
            assert!(text.contains(part), "{engine}: {said:#}");
        }
        assert!(!text.contains("not to be shown"), "{said:#}");
    }
    let said = world.ask(&serve, &["engines", "trino", "north", "--security-mapping"]);
    let uri = format!("{}/v1/sites/north/trino-security-mapping?token=$", serve.url());
    for file in said["files"].as_array().unwrap() {
        let text = file["content"].as_str().unwrap();
        assert!(text.contains(&uri) && !text.contains("DRIFTLESS_SITE_KEY"), "{text}");
    }
    let server = serve.url();
    let (code, said) =
        world.run(&["engines", "spark", "north", "--security-mapping", "--server", &server]);
    assert!(code != 0 && said.to_string().contains("only Trino"), "{said:#}");
    let (code, said) = world.run(&["engines", "trino", "east", "--server", &server]);
    assert_ne!(code, 0);
    assert!(said.to_string().contains("no S3 store"), "{said:#}");
    assert_eq!(serve.stop(), 0);
}
