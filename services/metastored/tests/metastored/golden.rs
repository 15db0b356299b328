//! Calls as Trino and Spark write them, and the answers: `golden/calls.txt`.
//!
//! The calls were put together by hand after the recordings that `replays` reads; the answers are
//! this service's own. `golden/rows.txt` shows the same by the numbers of fields.
//! `UPDATE_EXPECT=1` writes the answers anew.

use std::fmt::Write as _;

use expect_test::expect_file;
use thrift::protocol::{TBinaryInputProtocol, TInputProtocol as _, TType};

use crate::client::{Client, message, parse, texts};
use crate::listings::snapshot;
use crate::place::Place;

/// A struct field that is a text.
fn text(id: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![11, 0, id];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A struct field that is a list of texts.
fn list(id: u8, texts: &[&str]) -> Vec<u8> {
    let mut bytes = vec![15, 0, id, 11];
    bytes.extend(u32::try_from(texts.len()).unwrap().to_be_bytes());
    for text in texts {
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// `get_table_req` with the capabilities that Trino says it has.
fn table_req(database: &str, table: &str) -> Vec<u8> {
    let capabilities = [&[12, 0, 3, 15, 0, 1, 8, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0]].concat();
    let req = [&text(1, database)[..], &text(2, table), &capabilities, &[0]].concat();
    message("get_table_req", &[&[12, 0, 1][..], &req, &[0]].concat())
}

/// What Trino 476 and Spark 3.5 and 4.0 call on reads.
pub(crate) fn calls() -> Vec<(&'static str, Vec<u8>)> {
    let all = [0xff, 0xff];
    let names_ps =
        [&text(1, "sales")[..], &text(2, "mor"), &list(3, &["eu"]), &[6, 0, 4], &all, &[0]];
    let names = [&text(1, "sales")[..], &text(2, "mor"), &[6, 0, 3], &all, &[0]];
    let partition = [&text(1, "sales")[..], &text(2, "mor"), &list(3, &["us"]), &[0]];
    let metas = [&text(1, "sales")[..], &text(2, "*"), &list(3, &[]), &[0]];
    let user = [&text(1, "root")[..], &list(2, &["root"]), &[0]];
    vec![
        ("set_ugi", message("set_ugi", &user.concat())),
        ("get_all_databases", message("get_all_databases", &[0])),
        ("get_databases", texts("get_databases", &["*"])),
        ("get_database", texts("get_database", &["sales"])),
        ("get_database of none", texts("get_database", &["global_temp"])),
        ("get_tables", texts("get_tables", &["sales", "*"])),
        ("get_tables_by_type", texts("get_tables_by_type", &["sales", "*", "VIRTUAL_VIEW"])),
        ("get_table_meta", message("get_table_meta", &metas.concat())),
        ("get_table of Delta", texts("get_table", &["sales", "orders"])),
        ("get_table of Delta at a version", texts("get_table", &["sales@2", "orders"])),
        ("get_table of Hudi", texts("get_table", &["sales", "mor"])),
        ("get_table of none", texts("get_table", &["sales", "nope"])),
        ("get_table_req of Delta", table_req("sales", "orders")),
        ("get_table_req of Delta at a version", table_req("sales@2", "orders")),
        ("get_table_req of Hudi, base files", table_req("sales", "mor_ro")),
        ("get_table_req of none", table_req("sales", "nope")),
        ("get_functions", texts("get_functions", &["sales", "*"])),
        ("get_function", texts("get_function", &["sales", "f"])),
        ("get_partition_names", message("get_partition_names", &names.concat())),
        ("get_partition_names_ps", message("get_partition_names_ps", &names_ps.concat())),
        ("get_partition", message("get_partition", &partition.concat())),
    ]
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(48).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("  {digits}\n")
    });
    lines.collect()
}

/// A value as a text: numbers of fields, and what is there of it.
fn show(input: &mut TBinaryInputProtocol<&[u8]>, kind: TType, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match kind {
        TType::Struct => loop {
            let field = input.read_field_begin().unwrap();
            if field.field_type == TType::Stop {
                break;
            }
            write!(out, "\n{pad}{}: ", field.id.unwrap()).unwrap();
            show(input, field.field_type, indent + 2, out);
        },
        TType::List => {
            let head = input.read_list_begin().unwrap();
            for at in 0..head.size {
                write!(out, "\n{pad}[{at}] ").unwrap();
                show(input, head.element_type, indent + 2, out);
            }
        }
        TType::Map => {
            let head = input.read_map_begin().unwrap();
            for _ in 0..head.size {
                write!(out, "\n{pad}").unwrap();
                show(input, head.key_type.unwrap(), indent + 2, out);
                out.push_str(" = ");
                show(input, head.value_type.unwrap(), indent + 2, out);
            }
        }
        TType::String => out.push_str(&input.read_string().unwrap()),
        TType::Bool => write!(out, "{}", input.read_bool().unwrap()).unwrap(),
        TType::I16 => write!(out, "{}", input.read_i16().unwrap()).unwrap(),
        TType::I32 => write!(out, "{}", input.read_i32().unwrap()).unwrap(),
        other => panic!("a value of {other:?}"),
    }
}

/// A message as a text, without its head.
fn shown(message: &[u8]) -> String {
    let mut protocol = TBinaryInputProtocol::new(message, true);
    protocol.read_message_begin().unwrap();
    let mut out = String::new();
    show(&mut protocol, TType::Struct, 4, &mut out);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_engines_are_answered_with_these_bytes() {
    let place = Place::new().await;
    place.snapshots.tell("sales.mor", snapshot(true));
    place.publish("sales.mor", "hudi", None).await;
    place.publish("sales.orders", "delta", None).await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let (mut bytes, mut rows) = (String::new(), String::new());
    for (name, call) in calls() {
        client.send(&call).await;
        let mut answer = client.raw().await;
        while parse(&answer).is_none() {
            answer.extend(client.raw().await);
        }
        write!(bytes, "{name}\ncall\n{}answer\n{}\n", hex(&call), hex(&answer)).unwrap();
        writeln!(rows, "{name}\n  call{}\n  answer{}\n", shown(&call), shown(&answer)).unwrap();
    }
    expect_file!["golden/calls.txt"].assert_eq(&bytes);
    expect_file!["golden/rows.txt"].assert_eq(&rows);
    service.stop().await;
}
