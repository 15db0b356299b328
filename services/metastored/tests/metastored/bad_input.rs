//! Clients that send what is no call. Others are answered all the while.

use std::time::Duration;

use driftless_metastored::Limits;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use thrift::protocol::TType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Client, framed, message, parse, texts};
use crate::place::Place;

/// A struct field with a list of a type that claims to have so many values.
fn list(of: u8, count: u32) -> Vec<u8> {
    let mut bytes = vec![15, 0, 1, of];
    bytes.extend(count.to_be_bytes());
    bytes
}

/// Structs in structs, without an end.
fn nested(depth: usize) -> Vec<u8> {
    [12, 0, 1].repeat(depth)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_closes_its_own_connection_only() {
    let place = Place::new().await;
    let service = place.serve().await;
    let mut other = Client::new(service.address).await;
    let two_gib = {
        let mut bytes = vec![11, 0, 1];
        bytes.extend(i32::MAX.to_be_bytes());
        message("get_database", &bytes)
    };
    let negative = {
        let mut bytes = vec![11, 0, 1];
        bytes.extend((-1_i32).to_be_bytes());
        message("get_database", &bytes)
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: metastore\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        ("compact protocol", vec![0x82, 0x21, 0x01, 0x03, b'f', b'o', b'o', 0x00]),
        ("another version", vec![0x80, 0x02, 0x00, 0x01, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 0]),
        ("a frame of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff, 0x80, 0x01, 0x00, 0x01]),
        ("a name of 2 GiB", vec![0x80, 0x01, 0x00, 0x01, 0x7f, 0xff, 0xff, 0xff]),
        ("a text of 2 GiB", two_gib),
        ("a text of less than nothing", negative),
        ("a list of 2^31 structs", message("get_database", &list(12, i32::MAX as u32))),
        ("a list of 2^31 numbers", message("get_database", &list(3, i32::MAX as u32))),
        ("a list of ends", message("get_database", &list(0, 5))),
        ("a type that is none", message("get_database", &[7, 0, 1, 0])),
        ("structs without an end", message("get_database", &nested(1_000))),
        ("a frame that is too short", {
            let mut bytes = framed(&texts("get_database", &["sales"]));
            bytes[3] -= 1;
            bytes
        }),
        ("a frame that is too long", {
            let mut bytes = framed(&texts("get_database", &["sales"]));
            bytes[3] += 1;
            bytes.push(0);
            bytes
        }),
    ];
    for (what, bytes) in cases {
        let mut client = Client::new(service.address).await;
        client.send(&bytes).await;
        assert!(client.is_closed().await, "{what}");
        let answer = other.call(&texts("get_all_databases", &[])).await;
        assert_eq!(answer.texts(), ["default"], "{what}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_stays_half_is_given_up() {
    let place = Place::new().await;
    let message_time = Duration::from_millis(200);
    let limits = Limits { message_time, ..Limits::default() };
    let service = place.serve_with("east", limits).await;
    let call = texts("get_database", &["default"]);
    let mut slow = Client::new(service.address).await;
    slow.send(&call[..call.len() - 1]).await;
    assert!(slow.is_closed().await);
    // One that goes away in the middle.
    let mut gone = Client::new(service.address).await;
    gone.send(&call[..10]).await;
    gone.stream.shutdown().await.unwrap();
    assert!(gone.is_closed().await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_answered_leaves_the_connection_open() {
    let place = Place::new().await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let unknown = client.call(&texts("get_nothing", &["a"])).await;
    assert!(unknown.exception && unknown.sequence == 7, "{unknown:?}");
    // Text and type of a `TApplicationException`.
    assert_eq!(unknown.value.last_chunk::<8>().unwrap(), &[8, 0, 2, 0, 0, 0, 1, 0]);
    // A number where a text belongs, and no text of UTF-8.
    for arguments in [&[8, 0, 1, 0, 0, 0, 1, 0][..], &[11, 0, 1, 0, 0, 0, 1, 0xff, 0]] {
        let wrong = client.call(&message("get_database", arguments)).await;
        assert!(wrong.exception, "{wrong:?}");
        assert_eq!(wrong.value.last_chunk::<8>().unwrap(), &[8, 0, 2, 0, 0, 0, 7, 0]);
    }
    // A reply is no call.
    let mut reply = texts("get_database", &["default"]);
    reply[3] = 2;
    let refused = client.call(&reply).await;
    assert!(refused.exception);
    assert_eq!(refused.value.last_chunk::<8>().unwrap(), &[8, 0, 2, 0, 0, 0, 2, 0]);
    // Nobody waits for an answer to a call of one way.
    let mut one_way = texts("get_database", &["default"]);
    one_way[3] = 4;
    client.send(&one_way).await;
    let answer = client.call(&texts("get_all_databases", &[])).await;
    assert_eq!(answer.texts(), ["default"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_may_be_framed_or_not_and_come_in_any_pieces() {
    let place = Place::new().await;
    let service = place.serve().await;
    let mut client = Client::new(service.address).await;
    let call = texts("get_database", &["default"]);
    // Byte by byte.
    for byte in &call {
        client.send(&[*byte]).await;
        client.stream.flush().await.unwrap();
    }
    assert_eq!(client.answer().await.field, Some((0, TType::Struct)));
    // Three at once.
    client.send(&[&call[..], &call, &call].concat()).await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.field, Some((0, TType::Struct)));
    }
    // With frames: the length in front of the answer is that of the answer.
    let mut client = Client::new(service.address).await;
    client.send(&framed(&call)).await;
    let bytes = client.raw().await;
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!((length, &bytes[4..8]), (bytes.len() - 4, &[0x80, 0x01, 0x00, 0x02][..]));
    // Without the version, as old clients write: name, kind, sequence.
    let mut old = vec![0, 0, 0, 17];
    old.extend(b"get_all_databases\x01\0\0\0\x09\0");
    for frame in [false, true] {
        let mut client = Client::new(service.address).await;
        client.send(&if frame { framed(&old) } else { old.clone() }).await;
        let bytes = client.raw().await;
        let bytes = if frame { &bytes[4..] } else { &bytes[..] };
        assert_eq!(&bytes[..26], b"\0\0\0\x11get_all_databases\x02\0\0\0\x09");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_have_only_so_much_room_and_short_ones_always_some() {
    let place = Place::new().await;
    let service = place.serve().await;
    let long = texts("get_database", &[&"x".repeat(1 << 20)]);
    let (half, rest) = long.split_at(100_000);
    // Each is half there, and stays so: those that find no room are closed.
    let (mut ends, mut writers) = (FuturesUnordered::new(), Vec::new());
    for _ in 0..40 {
        let (mut reader, mut writer) =
            TcpStream::connect(service.address).await.unwrap().into_split();
        writer.write_all(half).await.unwrap();
        writers.push(writer);
        ends.push(async move {
            let mut received = Vec::new();
            loop {
                if let Some((answer, _)) = parse(&received) {
                    return Some(answer);
                }
                if !matches!(reader.read_buf(&mut received).await, Ok(1..)) {
                    return None;
                }
            }
        });
    }
    for _ in 16..40 {
        assert_eq!(ends.next().await.unwrap(), None);
    }
    let mut short = Client::new(service.address).await;
    assert_eq!(short.call(&texts("get_all_databases", &[])).await.texts(), ["default"]);
    // The others are answered once they are whole.
    for writer in &mut writers {
        let _ = writer.write_all(rest).await;
    }
    let mut answered = 0;
    while let Some(answer) = ends.next().await {
        assert_eq!(answer.unwrap().failure().map(|failure| failure.0), Some(1));
        answered += 1;
    }
    assert_eq!(answered, 16);
    service.stop().await;
}
