//! The S3 double and the sink against a client of the field (object_store) and bare sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use driftless_testdata::s3::sink::{SinkServer, SinkSpec, generated_bytes};
use driftless_testdata::s3::{
    Action, Config, Credentials, MutationKind, Outcome, Phase, ReadAction, S3Double,
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, GetRange, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};

const KEY_ID: &str = "test-key";
const SECRET: &str = "test/secret+with=odd characters";
const WAIT: Duration = Duration::from_secs(30);

fn builder(double: &S3Double) -> AmazonS3Builder {
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    AmazonS3Builder::new()
        .with_endpoint(double.endpoint())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_bucket_name("bucket")
        .with_region("us-east-1")
        .with_access_key_id(KEY_ID)
        .with_secret_access_key(SECRET)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry)
}

/// A client that signs; the double verifies its signatures.
fn start(change: impl FnOnce(&mut Config)) -> (S3Double, AmazonS3) {
    let mut config =
        Config { credentials: Some(Credentials::new(KEY_ID, SECRET)), ..Config::default() };
    change(&mut config);
    let double = S3Double::start(config);
    let store = builder(&double).build().unwrap();
    (double, store)
}

async fn keys(store: &AmazonS3, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    store
        .list(prefix.as_ref())
        .map_ok(|meta| meta.location.to_string())
        .try_collect()
        .await
        .unwrap()
}

fn create() -> PutOptions {
    PutMode::Create.into()
}

/// Status line to end of body of one request on a connection of its own.
fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(request).unwrap();
    read_all(stream)
}

fn read_all(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    // A connection that the server resets ends the answer as well.
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

fn put_head(key: &str, length: usize, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!(
        "PUT /bucket/{key} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n"
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[track_caller]
fn check_status(response: &str, status: u16) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response:?}");
}

fn crc32c(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    BASE64.encode(crc.to_be_bytes())
}

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let (double, store) = start(|_| {});
    let path = Path::from("p=1/a b+c/é&.bin");
    let attributes: Attributes =
        [(Attribute::ContentType, "text/x-test"), (Attribute::Metadata("owner".into()), "me")]
            .into_iter()
            .collect();
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    let put = store.put_opts(&path, "hello world".into(), options).await.unwrap();
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.meta.e_tag, put.e_tag);
    assert_eq!(got.meta.size, 11);
    assert_eq!(got.attributes, attributes);
    assert_eq!(got.bytes().await.unwrap(), "hello world");
    assert_eq!(store.head(&path).await.unwrap().size, 11);
    assert_eq!(double.object("bucket", path.as_ref()).unwrap(), "hello world");
    assert_eq!(double.mutations().len(), 1);
    assert_eq!(double.requests()[0].key, path.as_ref());
    assert_eq!(double.requests()[0].status(), Some(200));
}

#[tokio::test]
async fn ranges_and_read_conditions_hold() {
    let (double, store) = start(|_| {});
    double.put_object("bucket", "k", "0123456789");
    let path = Path::from("k");
    let ranges = [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Bounded(8..50), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(2), "89"),
    ];
    for (range, expect) in ranges {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let got = store.get_opts(&path, options).await.unwrap();
        assert_eq!(got.meta.size, 10);
        assert_eq!(got.bytes().await.unwrap(), expect, "{range:?}");
    }
    let etag = store.head(&path).await.unwrap().e_tag;
    let get = |options: GetOptions| store.get_opts(&path, options);
    let with = |if_match: Option<&str>, if_none_match: Option<&str>| GetOptions {
        if_match: if_match.map(str::to_owned),
        if_none_match: if_none_match.map(str::to_owned),
        ..GetOptions::default()
    };
    assert!(get(with(etag.as_deref(), None)).await.is_ok());
    assert!(get(with(None, Some("\"other\""))).await.is_ok());
    let stale = get(with(Some("\"other\""), None)).await.unwrap_err();
    assert!(matches!(stale, Error::Precondition { .. }), "{stale}");
    let same = get(with(None, etag.as_deref())).await.unwrap_err();
    assert!(matches!(same, Error::NotModified { .. }), "{same}");
    let absent = store.get(&Path::from("none")).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
}

#[tokio::test]
async fn listings_page_in_byte_order() {
    let (double, store) = start(|config| config.page_size = 3);
    let mut expect: Vec<String> = (0..10).map(|i| format!("t/{i}")).collect();
    expect.extend(["t/a<&>".to_owned(), "t/é/x".to_owned(), "u".to_owned()]);
    for key in &expect {
        double.put_object("bucket", key, "x");
    }
    assert_eq!(keys(&store, None).await, expect);
    assert_eq!(double.requests().len(), 5);
    assert_eq!(keys(&store, Some("t")).await, expect[..12]);

    let from = Path::from("t/8");
    let later: Vec<String> = store
        .list_with_offset(Some(&Path::from("t")), &from)
        .map_ok(|meta| meta.location.to_string())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(later, expect[9..12]);

    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes, [Path::from("t")]);
    assert_eq!(top.objects.len(), 1);
}

#[tokio::test]
async fn a_listing_can_lag() {
    let (double, store) = start(|config| config.list_lag_mutations = 2);
    for key in ["a", "b", "c"] {
        store.put(&Path::from(key), key.into()).await.unwrap();
    }
    assert_eq!(keys(&store, None).await, ["a"]);
    store.delete(&Path::from("a")).await.unwrap();
    assert_eq!(keys(&store, None).await, ["a", "b"]);
    double.settle_listings();
    assert_eq!(keys(&store, None).await, ["b", "c"]);
}

#[tokio::test]
async fn conditional_puts_create_once_and_swap_by_etag() {
    let (double, store) = start(|_| {});
    let path = Path::from("log/0.json");
    let put = store.put_opts(&path, "one".into(), create()).await.unwrap();
    let again = store.put_opts(&path, "two".into(), create()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    let version = UpdateVersion { e_tag: put.e_tag, version: None };
    let update = || PutOptions::from(PutMode::Update(version.clone()));
    store.put_opts(&path, "two".into(), update()).await.unwrap();
    let stale = store.put_opts(&path, "three".into(), update()).await.unwrap_err();
    assert!(matches!(stale, Error::Precondition { .. }), "{stale}");
    assert_eq!(double.object("bucket", "log/0.json").unwrap(), "two");
    let applied: Vec<bool> = double.mutations().iter().map(|m| m.applied()).collect();
    assert_eq!(applied, [true, false, true, false]);
}

#[tokio::test]
async fn multipart_objects_are_whole_and_conditional() {
    let (double, store) = start(|config| config.part_bytes_min = 4);
    let path = Path::from("big");
    let mut upload = store.put_multipart(&path).await.unwrap();
    for part in ["aaaa", "bbbb", "c"] {
        upload.put_part(part.into()).await.unwrap();
    }
    assert_eq!(double.objects("bucket").len(), 0);
    assert_eq!(double.uploads("bucket").values().next().unwrap(), &("big".to_owned(), 3));
    let put = upload.complete().await.unwrap();
    assert!(put.e_tag.unwrap().trim_matches('"').ends_with("-3"));
    assert_eq!(double.object("bucket", "big").unwrap(), "aaaabbbbc");
    assert!(double.uploads("bucket").is_empty());

    let mut short = store.put_multipart(&path).await.unwrap();
    short.put_part("aaa".into()).await.unwrap();
    short.put_part("b".into()).await.unwrap();
    let error = short.complete().await.unwrap_err();
    assert!(format!("{error:?}").contains("EntityTooSmall"), "{error:?}");
    short.abort().await.unwrap();
    assert!(double.uploads("bucket").is_empty());
    assert_eq!(double.object("bucket", "big").unwrap(), "aaaabbbbc");
}

#[tokio::test]
async fn multipart_checksums_are_verified_and_composite() {
    let (double, _) = start(|config| config.part_bytes_min = 0);
    let store = builder(&double).with_checksum_algorithm(Checksum::SHA256).build().unwrap();
    let path = Path::from("big");
    let mut upload = store.put_multipart_opts(&path, PutMultipartOptions::default()).await.unwrap();
    upload.put_part("aaaa".into()).await.unwrap();
    upload.put_part("b".into()).await.unwrap();
    upload.complete().await.unwrap();
    let anonymous = anonymous_too(&double);
    let head = "HEAD /bucket/big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                x-amz-checksum-mode: ENABLED\r\n\r\n";
    let response = raw(anonymous, head.as_bytes());
    check_status(&response, 200);
    assert!(response.contains("x-amz-checksum-type: COMPOSITE"), "{response}");
    let value = response.split("x-amz-checksum-sha256: ").nth(1).unwrap();
    assert!(value.lines().next().unwrap().ends_with("-2"), "{response}");
}

/// Drops authentication from here on; the address for bare sockets.
fn anonymous_too(double: &S3Double) -> SocketAddr {
    double.reconfigure(|config| config.credentials = None);
    double.address()
}

#[tokio::test]
async fn copies_and_deletes_work_one_by_one_and_in_bulk() {
    let (double, store) = start(|_| {});
    double.put_object("bucket", "p=1/a b", "x");
    store.copy(&Path::from("p=1/a b"), &Path::from("p=2/a b")).await.unwrap();
    assert_eq!(double.object("bucket", "p=2/a b").unwrap(), "x");
    store.delete(&Path::from("p=1/a b")).await.unwrap();
    for key in ["d/1", "d/2&<"] {
        double.put_object("bucket", key, "x");
    }
    let all =
        futures::stream::iter(["d/1", "d/2&<", "d/none"].map(|key| Ok(Path::parse(key).unwrap())));
    let deleted: Vec<Path> = store.delete_stream(all.boxed()).try_collect().await.unwrap();
    assert_eq!(deleted.len(), 3);
    assert_eq!(double.objects("bucket").keys().collect::<Vec<_>>(), ["p=2/a b"]);
    assert_eq!(double.mutations().iter().filter(|m| m.kind == MutationKind::Delete).count(), 4);
    let missing = store.copy(&Path::from("none"), &Path::from("x")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn wrong_keys_are_refused() {
    let (double, _) = start(|_| {});
    let path = Path::from("k");
    let wrong = builder(&double).with_secret_access_key("other").build().unwrap();
    let error = wrong.put(&path, "x".into()).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    assert!(format!("{error:?}").contains("SignatureDoesNotMatch"), "{error:?}");
    let unknown = builder(&double).with_access_key_id("other").build().unwrap();
    let error = unknown.put(&path, "x".into()).await.unwrap_err();
    assert!(format!("{error:?}").contains("InvalidAccessKeyId"), "{error:?}");
    let bare = builder(&double).with_skip_signature(true).build().unwrap();
    let error = bare.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    assert!(double.mutations().is_empty());

    let unsigned = builder(&double).with_unsigned_payload(true).build().unwrap();
    unsigned.put(&path, "x".into()).await.unwrap();
    double.reconfigure(|config| {
        config.credentials = None;
        config.require_auth = true;
    });
    wrong.put(&path, "y".into()).await.unwrap();
    bare.get(&path).await.unwrap_err();
}

/// One body in the trailer form: chunks of the given sizes, the trailer's value as given.
fn trailer_put(key: &str, chunks: &[&[u8]], checksum: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend_from_slice(chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0\r\nx-amz-checksum-crc32c:{checksum}\r\n\r\n").bytes());
    let decoded: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let decoded = decoded.to_string();
    let mut request = put_head(
        key,
        body.len(),
        &[
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", &decoded),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
    );
    request.extend(body);
    request
}

#[test]
fn a_trailer_checksum_is_verified_over_any_number_of_chunks() {
    let double = S3Double::start(Config::default());
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let right = crc32c(&bytes);
    let pieces: Vec<&[u8]> = bytes.chunks(65_536).collect();
    for (key, chunks) in [("one", vec![bytes.as_slice()]), ("many", pieces)] {
        check_status(&raw(double.address(), &trailer_put(key, &chunks, &right)), 200);
        assert_eq!(double.object("bucket", key).unwrap(), bytes);
        let head = format!(
            "HEAD /bucket/{key} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             x-amz-checksum-mode: ENABLED\r\n\r\n"
        );
        let response = raw(double.address(), head.as_bytes());
        assert!(response.contains(&format!("x-amz-checksum-crc32c: {right}\r\n")), "{response}");
        assert!(response.contains("x-amz-checksum-type: FULL_OBJECT\r\n"), "{response}");
        assert!(!response.contains("aws-chunked"), "{response}");
    }
    let wrong = trailer_put("wrong", &[b"abc"], &crc32c(b"abd"));
    let response = raw(double.address(), &wrong);
    check_status(&response, 400);
    assert!(response.contains("<Code>BadDigest</Code>"), "{response}");
    assert_eq!(double.object("bucket", "wrong"), None);
    double.reconfigure(|config| config.ignore_checksums = true);
    check_status(&raw(double.address(), &wrong), 200);
    assert_eq!(double.object("bucket", "wrong").unwrap(), "abc");
}

#[test]
fn bodies_that_do_not_keep_their_word_are_refused() {
    let double = S3Double::start(Config::default());
    let framed = String::from_utf8(trailer_put("k", &[b"abc"], &crc32c(b"abc"))).unwrap();
    let cases = [
        (framed.replace("content-length: 3\r\n", "content-length: 4\r\n"), "IncompleteBody"),
        (framed.replace("0\r\nx-amz-checksum", "0\r\nX-amz-checkers"), "MalformedTrailerError"),
        (framed.replace("x-amz-trailer: ", "x-amz-other: "), "MalformedTrailerError"),
        (
            "PUT /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
                .to_owned(),
            "MissingContentLength",
        ),
    ];
    for (request, code) in cases {
        assert_ne!(request, framed);
        let response = raw(double.address(), request.as_bytes());
        assert!(response.contains(&format!("<Code>{code}</Code>")), "{request}: {response}");
    }
    assert!(double.objects("bucket").is_empty());
}

#[test]
fn checksums_in_headers_are_verified() {
    let double = S3Double::start(Config::default());
    let sha = |text: &str| {
        use sha2::Digest as _;
        sha2::Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let md5_of_abc = "kAFQmDzST7DWlj99KOF/cg==";
    let cases: [(&str, &str, u16); 6] = [
        ("x-amz-checksum-crc32c", &crc32c(b"abc"), 200),
        ("x-amz-checksum-crc32c", &crc32c(b"abd"), 400),
        ("content-md5", md5_of_abc, 200),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", 400),
        ("x-amz-content-sha256", &sha("abc"), 200),
        ("x-amz-content-sha256", &sha("abd"), 400),
    ];
    for (i, (name, value, status)) in cases.into_iter().enumerate() {
        let key = format!("k{i}");
        let mut request = put_head(&key, 3, &[(name, value)]);
        request.extend(b"abc");
        check_status(&raw(double.address(), &request), status);
        assert_eq!(double.object("bucket", &key).is_some(), status == 200, "{name}: {value}");
    }
}

/// A PUT of 1,000 bytes whose connection is closed (or half-closed) after 400.
fn cut_put(double: &S3Double, key: &str, headers: &[(&str, &str)], how: Shutdown) {
    let before = double.requests().len();
    let mut stream = TcpStream::connect(double.address()).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(&put_head(key, 1000, headers)).unwrap();
    stream.write_all(&[7; 400]).unwrap();
    stream.shutdown(how).unwrap();
    let _ = read_all(stream);
    assert!(double.wait_ended(before + 1, WAIT), "{:?}", double.requests());
}

#[test]
fn a_cut_body_leaves_nothing_behind() {
    let double = S3Double::start(Config::default());
    for how in [Shutdown::Both, Shutdown::Write] {
        cut_put(&double, "k", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], how);
    }
    assert!(double.objects("bucket").is_empty());
    assert!(double.mutations().is_empty());
    for record in double.requests() {
        assert_eq!(record.outcome, Outcome::Truncated);
        assert_eq!(record.bytes_in, 400);
    }
}

#[test]
fn a_careless_server_keeps_a_cut_body_unless_it_has_a_checksum() {
    let double = S3Double::start(Config { keep_truncated: true, ..Config::default() });
    let create = ("if-none-match", "*");
    cut_put(
        &double,
        "half",
        &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), create],
        Shutdown::Both,
    );
    assert_eq!(double.object("bucket", "half").unwrap().len(), 400);
    let checksum = crc32c(&[7; 1000]);
    cut_put(&double, "sum", &[("x-amz-checksum-crc32c", &checksum)], Shutdown::Both);
    assert_eq!(double.object("bucket", "sum"), None);
    // The retry of the writer now meets its own wreck.
    let mut retry = put_head("half", 3, &[create]);
    retry.extend(b"abc");
    check_status(&raw(double.address(), &retry), 412);
}

/// 50 writers of one key hold back their last byte and release it together; how many got 200.
fn race(double: &S3Double, key: &str) -> usize {
    const WRITERS: usize = 50;
    let ready = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|i| {
            let (ready, address, key) = (Arc::clone(&ready), double.address(), key.to_owned());
            std::thread::spawn(move || {
                let body = format!("writer {i:02}");
                let mut request = put_head(&key, body.len(), &[("if-none-match", "*")]);
                request.extend(body.bytes());
                let (last, most) = request.split_last().unwrap();
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(WAIT)).unwrap();
                stream.write_all(most).unwrap();
                ready.wait();
                stream.write_all(&[*last]).unwrap();
                let response = read_all(stream);
                (response.starts_with("HTTP/1.1 200"), body, response)
            })
        })
        .collect();
    let results: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let stored = double.object("bucket", key).unwrap();
    let winners: Vec<_> = results.iter().filter(|(won, ..)| *won).collect();
    assert!(winners.iter().any(|(_, body, _)| body.as_bytes() == stored), "{stored:?}");
    for (won, _, response) in &results {
        assert!(*won || response.starts_with("HTTP/1.1 412"), "{response}");
    }
    winners.len()
}

#[test]
fn a_race_of_creates_has_one_winner() {
    let double = S3Double::start(Config::default());
    for round in 0..10 {
        assert_eq!(race(&double, &format!("k{round}")), 1);
    }
}

#[test]
fn a_racy_server_has_many_winners_and_passes_sequential_checks() {
    let double = S3Double::start(Config { racy_conditional_put: true, ..Config::default() });
    let mut create = put_head("sequential", 1, &[("if-none-match", "*")]);
    create.push(b'x');
    check_status(&raw(double.address(), &create), 200);
    check_status(&raw(double.address(), &create), 412);
    // The heads arrive long before the last bytes, so most writers saw no object.
    let winners: usize = (0..3).map(|round| race(&double, &format!("k{round}"))).max().unwrap();
    assert!(winners > 1, "{winners}");
}

#[tokio::test]
async fn a_lying_server_ignores_conditions() {
    let (double, store) = start(|config| config.no_conditional_put = true);
    let path = Path::from("k");
    store.put_opts(&path, "one".into(), create()).await.unwrap();
    store.put_opts(&path, "two".into(), create()).await.unwrap();
    assert_eq!(double.object("bucket", "k").unwrap(), "two");
}

#[tokio::test]
async fn deletes_honour_if_match() {
    let double = S3Double::start(Config::default());
    double.put_object("bucket", "k", "x");
    let delete = |etag: &str| {
        let head = format!(
            "DELETE /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\nif-match: {etag}\r\n\r\n"
        );
        raw(double.address(), head.as_bytes())
    };
    check_status(&delete("\"other\""), 412);
    assert!(double.object("bucket", "k").is_some());
    double.reconfigure(|config| config.no_conditional_delete = true);
    check_status(&delete("\"other\""), 204);
    assert!(double.object("bucket", "k").is_none());
    double.reconfigure(|config| config.no_conditional_delete = false);
    check_status(&delete("*"), 404);
}

#[tokio::test]
async fn hooks_refuse_drop_and_count() {
    let (double, store) = start(|_| {});
    let path = |n: u64| Path::from(format!("k{n}"));
    double.on_mutation(|n, info| match (n, info.phase) {
        (1, Phase::Before) => Action::Refuse(503, "SlowDown"),
        (2, Phase::Before) => Action::DropReply,
        (3, Phase::After) => Action::Refuse(500, "InternalError"),
        (4, Phase::Before) => Action::DropRequest,
        (5, Phase::After) => Action::DropReply,
        _ => Action::Continue,
    });
    for n in 1..=5 {
        let result = store.put(&path(n), PutPayload::from_static(b"x")).await;
        assert!(result.is_err(), "put {n}: {result:?}");
    }
    store.put(&path(6), "x".into()).await.unwrap();
    let stored: Vec<String> = double.objects("bucket").into_keys().collect();
    assert_eq!(stored, ["k2", "k3", "k5", "k6"]);
    let numbers: Vec<u64> = double.mutations().iter().map(|m| m.n).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let answers: Vec<Option<u16>> = double.requests().iter().map(|r| r.status()).collect();
    assert_eq!(answers, [Some(503), None, Some(500), None, None, Some(200)]);
}

#[tokio::test]
async fn a_stopped_server_changes_nothing_until_it_resumes() {
    for (phase, expect) in [(Phase::Before, vec!["k1"]), (Phase::After, vec!["k1", "k2"])] {
        let (double, store) = start(|_| {});
        let store = Arc::new(store);
        double.on_mutation(move |n, info| {
            if n == 2 && info.phase == phase { Action::Stop } else { Action::Continue }
        });
        store.put(&Path::from("k1"), "x".into()).await.unwrap();
        let put = |key: &'static str| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put(&Path::from(key), "x".into()).await })
        };
        let second = put("k2");
        let double = Arc::new(double);
        let waiting = Arc::clone(&double);
        let stopped = tokio::task::spawn_blocking(move || waiting.wait_stopped(WAIT)).await;
        assert_eq!(stopped.unwrap(), Some(2));
        let third = put("k3");
        let arrived = Arc::clone(&double);
        let ended = tokio::task::spawn_blocking(move || arrived.wait_ended(3, WAIT)).await;
        assert!(ended.unwrap());
        assert_eq!(double.objects("bucket").into_keys().collect::<Vec<_>>(), expect);
        double.resume();
        assert!(second.await.unwrap().is_err());
        assert!(third.await.unwrap().is_err());
        assert_eq!(double.objects("bucket").into_keys().collect::<Vec<_>>(), expect);
        store.put(&Path::from("k4"), "x".into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_hook_that_blocks_scripts_the_winner_of_a_race() {
    let (double, store) = start(|_| {});
    let (applied, second_applied) = std::sync::mpsc::channel();
    let (arrived, first_arrived) = std::sync::mpsc::channel();
    let second_applied = Mutex::new(second_applied);
    double.on_mutation(move |n, info| {
        match (n, info.phase) {
            (1, Phase::Before) => {
                arrived.send(()).unwrap();
                second_applied.lock().unwrap().recv_timeout(WAIT).unwrap();
            }
            (2, Phase::After) => applied.send(()).unwrap(),
            _ => {}
        }
        Action::Continue
    });
    let store = Arc::new(store);
    let first = {
        let store = Arc::clone(&store);
        tokio::spawn(
            async move { store.put_opts(&Path::from("k"), "first".into(), create()).await },
        )
    };
    let arrived = tokio::task::spawn_blocking(move || first_arrived.recv_timeout(WAIT)).await;
    arrived.unwrap().unwrap();
    store.put_opts(&Path::from("k"), "second".into(), create()).await.unwrap();
    let lost = first.await.unwrap().unwrap_err();
    assert!(matches!(lost, Error::AlreadyExists { .. }), "{lost}");
    assert_eq!(double.object("bucket", "k").unwrap(), "second");
    let applied: Vec<(u64, bool)> = double.mutations().iter().map(|m| (m.n, m.applied())).collect();
    assert_eq!(applied, [(1, false), (2, true)]);
}

#[tokio::test]
async fn sessions_and_regions_are_verified() {
    let (double, plain) = start(|config| {
        let credentials = config.credentials.as_mut().unwrap();
        credentials.region = Some("us-east-1".to_owned());
        credentials.session_token = Some("token/1".to_owned());
    });
    let path = Path::from("k");
    let session = builder(&double).with_token("token/1").build().unwrap();
    session.put(&path, "x".into()).await.unwrap();
    let elsewhere = builder(&double).with_token("token/1").with_region("eu-west-1");
    let refused = [
        (plain, "InvalidToken"),
        (builder(&double).with_token("token/2").build().unwrap(), "InvalidToken"),
        (elsewhere.build().unwrap(), "AuthorizationHeaderMalformed"),
    ];
    for (store, code) in refused {
        let error = store.get(&path).await.unwrap_err();
        assert!(format!("{error:?}").contains(code), "{error:?}");
    }
}

#[tokio::test]
async fn a_slow_server_is_still_a_right_one() {
    let (double, store) = start(|config| {
        config.latency = Duration::from_millis(5);
        config.bandwidth_bytes_per_second = NonZeroU64::new(2_000_000);
    });
    let bytes = Bytes::from((0..100_000_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
    let path = Path::from("k");
    store.put(&path, bytes.clone().into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), bytes);
    assert_eq!(double.requests()[0].bytes_in, 100_000);
    assert_eq!(double.requests()[1].bytes_out, 100_000);
}

#[tokio::test]
async fn reads_can_be_cut_spoiled_and_refused() {
    let (double, store) = start(|_| {});
    let bytes = Bytes::from(vec![1_u8; 100_000]);
    double.put_object("bucket", "k", bytes.clone());
    double.on_read(|read| match read.n {
        1 => ReadAction::CutAfter(50_000),
        2 => ReadAction::FlipBit(70_000),
        3 => ReadAction::Refuse(503, "SlowDown"),
        4 => ReadAction::DropReply,
        5 => ReadAction::StallAfter(10_000),
        _ => ReadAction::Continue,
    });
    let path = Path::from("k");
    let mut cut = store.get(&path).await.unwrap().into_stream();
    let mut received = 0;
    let error = loop {
        match cut.next().await.unwrap() {
            Ok(piece) => received += piece.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(received, 50_000, "{error}");
    let spoiled = store.get(&path).await.unwrap().bytes().await.unwrap();
    let wrong: Vec<usize> = (0..bytes.len()).filter(|i| spoiled[*i] != bytes[*i]).collect();
    assert_eq!(wrong, [70_000]);
    assert!(store.get(&path).await.is_err());
    assert!(store.get(&path).await.is_err());
    let mut stalled = store.get(&path).await.unwrap().into_stream();
    let mut received = 0;
    while received < 10_000 {
        received += stalled.next().await.unwrap().unwrap().len();
    }
    assert_eq!(received, 10_000);
    drop(stalled);
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn every_kth_request_is_slowed_down() {
    let (_double, store) = start(|config| config.slow_down_every = NonZeroU64::new(3));
    let mut refused = Vec::new();
    for n in 1..=6 {
        if store.put(&Path::from(format!("k{n}")), "x".into()).await.is_err() {
            refused.push(n);
        }
    }
    assert_eq!(refused, [3, 6]);
}

#[test]
fn a_missing_bucket_and_unknown_requests_are_errors() {
    let double = S3Double::start(Config::default());
    let send = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        raw(double.address(), head.as_bytes())
    };
    check_status(&send("HEAD /bucket"), 200);
    check_status(&send("HEAD /other/"), 404);
    let response = send("GET /other?list-type=2");
    check_status(&response, 404);
    assert!(response.contains("<Code>NoSuchBucket</Code>"), "{response}");
    check_status(&send("PUT /other"), 200);
    check_status(&send("GET /other?list-type=2"), 200);
    check_status(&send("GET /bucket/k?uploadId=x"), 501);
    check_status(&send("GET /bucket/%ff"), 400);
}

fn sink_client(sink: &SinkServer) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(sink.endpoint())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_bucket_name("bucket")
        .with_region("us-east-1")
        .with_skip_signature(true)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_sink_lists_and_serves_generated_objects() {
    let sink = SinkServer::start(SinkSpec::uniform("bucket", "t/part-", 2_500, 3_000_000));
    let store = sink_client(&sink);
    let listed = keys(&store, Some("t")).await;
    assert_eq!(listed.len(), 2_500);
    assert_eq!(listed[0], "t/part-00000000");
    assert!(listed.is_sorted());
    let path = Path::from("t/part-00002499");
    let whole = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, generated_bytes(0, 3_000_000));
    let range = store.get_range(&path, 1_048_000..2_200_000).await.unwrap();
    assert_eq!(range, whole.slice(1_048_000..2_200_000));
    assert_eq!(store.head(&path).await.unwrap().size, 3_000_000);
    assert!(store.get(&Path::from("t/none")).await.is_err());
    assert!(sink.counts().bytes_out >= 4_000_000);
}

#[tokio::test]
async fn a_sink_remembers_sizes_and_keeps_only_what_it_is_told_to() {
    let spec =
        SinkSpec { keep: vec!["_delta_log/".to_owned()], ..SinkSpec::uniform("bucket", "k", 2, 5) };
    let sink = SinkServer::start(spec);
    let store = sink_client(&sink);
    let log = Path::from("t/_delta_log/0.json");
    let data = Path::from("j/data");
    store.put_opts(&log, "{}".into(), create()).await.unwrap();
    let again = store.put_opts(&log, "[]".into(), create()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    store.put(&data, vec![7; 2_000_000].into()).await.unwrap();
    assert_eq!(store.get(&log).await.unwrap().bytes().await.unwrap(), "{}");
    let got = store.get(&data).await.unwrap().bytes().await.unwrap();
    assert_eq!(got, generated_bytes(0, 2_000_000));
    let mut upload = store.put_multipart(&Path::from("z/big")).await.unwrap();
    upload.put_part(vec![1; 600_000].into()).await.unwrap();
    upload.put_part(vec![1; 5].into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(sink.object_bytes("bucket", "z/big"), Some(600_005));
    // What was written appears between the keys of the table, in order.
    let all = ["j/data", "k00000000", "k00000001", "t/_delta_log/0.json", "z/big"];
    assert_eq!(keys(&store, None).await, all);
    let gone = futures::stream::iter([Ok(data), Ok(log)]);
    let _: Vec<Path> = store.delete_stream(gone.boxed()).try_collect().await.unwrap();
    assert_eq!(keys(&store, None).await, ["k00000000", "k00000001", "z/big"]);
    assert_eq!(sink.counts().writes, 4);
}

#[test]
fn a_sink_takes_trailers_and_no_half_bodies() {
    let sink = SinkServer::start(SinkSpec::default());
    let address: SocketAddr = sink.endpoint().trim_start_matches("http://").parse().unwrap();
    let bytes = vec![9; 1_000_000];
    let checksum = crc32c(&bytes);
    check_status(&raw(address, &trailer_put("k", &[&bytes], &checksum)), 200);
    assert_eq!(sink.object_bytes("bucket", "k"), Some(1_000_000));
    let head = "HEAD /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(raw(address, head.as_bytes()).contains(&checksum));
    let mut half = put_head("half", 1000, &[]);
    half.extend([7; 400]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&half).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(stream), "");
    assert_eq!(sink.object_bytes("bucket", "half"), None);
    let chunked = "PUT /bucket/c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    check_status(&raw(address, chunked.as_bytes()), 411);

    let strict = SinkServer::start(SinkSpec { verify_crc32c: true, ..SinkSpec::default() });
    let address: SocketAddr = strict.endpoint().trim_start_matches("http://").parse().unwrap();
    let wrong = trailer_put("k", &[&bytes], &crc32c(b"other"));
    check_status(&raw(address, &wrong), 400);
    check_status(&raw(address, &trailer_put("k", &[&bytes], &checksum)), 200);
}

#[test]
fn a_sink_pages_the_older_listing_by_markers() {
    let sink = SinkServer::start(SinkSpec::uniform("bucket", "d/", 1_500, 1));
    let address: SocketAddr = sink.endpoint().trim_start_matches("http://").parse().unwrap();
    let get = |query: &str| {
        let head = format!("GET /bucket?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        raw(address, head.as_bytes())
    };
    let first = get("prefix=d%2F");
    assert!(first.contains("<IsTruncated>true</IsTruncated>"));
    assert!(first.contains("<NextMarker>d/00000999</NextMarker>"));
    let second = get("prefix=d%2F&marker=d%2F00000999");
    assert!(second.contains("<IsTruncated>false</IsTruncated>"));
    assert_eq!(second.matches("<Contents>").count(), 500);
    let folded = get("delimiter=/");
    assert_eq!(folded.matches("<CommonPrefixes>").count(), 1);
}
