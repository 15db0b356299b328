//! Notifications of stores, in the forms in which they come.
//!
//! Pure: bytes in, names of objects out. A record that is none of these forms is counted and left
//! out; it never spoils the others. What a notification says is not trusted: it can make the
//! daemon look at a table, and nothing else.
//!
//! Sources: Amazon S3 User Guide, "Event message structure" and "EventBridge event message
//! structure"; Amazon SNS, "HTTP/HTTPS notification JSON format"; Google Cloud, "Pub/Sub
//! notifications for Cloud Storage" and "Cloud Storage events (CloudEvents)"; Azure, "Azure Blob
//! Storage as an Event Grid source" and "Webhook event delivery".

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::place::Scheme;

/// Records of one notification.
const RECORDS_MAX: usize = 10_000;

/// Longest URL that a person is asked to open.
const URL_BYTES_MAX: usize = 2_048;

/// What a notification says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Objects that changed.
    pub(crate) objects: Vec<Object>,
    /// Records that are none of the forms, or say nothing of an object.
    pub(crate) ignored: usize,
    /// The code that a subscription of Event Grid is confirmed with.
    pub(crate) validation: Option<String>,
    /// The URL that confirms a subscription of SNS, once somebody opens it.
    pub(crate) confirmation: Option<String>,
}

/// An object that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) scheme: Scheme,
    /// The account, where the notification names it.
    pub(crate) account: Option<String>,
    /// Bucket or container.
    pub(crate) container: String,
    pub(crate) key: String,
}

impl Object {
    fn new(scheme: Scheme, container: &str, key: &str) -> Option<Self> {
        let there = !container.is_empty() && !key.is_empty();
        let (container, key) = (container.to_owned(), key.to_owned());
        there.then_some(Self { scheme, account: None, container, key })
    }
}

/// Reads a notification.
///
/// # Errors
/// It is no JSON.
pub(crate) fn parse(body: &[u8]) -> Result<Hints, serde_json::Error> {
    let mut hints = Hints::default();
    add(&serde_json::from_slice(body)?, &mut hints);
    Ok(hints)
}

fn add(value: &Value, hints: &mut Hints) {
    match value.as_array() {
        Some(events) => events.iter().for_each(|event| add_event(event, hints)),
        None => add_event(value, hints),
    }
}

fn add_event(event: &Value, hints: &mut Hints) {
    if text(event, "/Type") == Some("SubscriptionConfirmation") {
        match text(event, "/SubscribeURL").filter(|url| is_of_sns(url)) {
            Some(url) => hints.confirmation = Some(url.to_owned()),
            None => hints.ignored += 1,
        }
        return;
    }
    // SNS wraps the text of another notification.
    let inner = text(event, "/Message").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let event = inner.as_ref().unwrap_or(event);
    if let Some(records) = event.get("Records").and_then(Value::as_array) {
        return records.iter().for_each(|record| note(s3(record), hints));
    }
    if text(event, "/eventType") == Some("Microsoft.EventGrid.SubscriptionValidationEvent") {
        hints.validation = text(event, "/data/validationCode").map(str::to_owned);
        return;
    }
    note(event_bridge(event).or_else(|| pub_sub(event)).or_else(|| cloud(event)), hints);
}

fn note(object: Option<Object>, hints: &mut Hints) {
    match object.filter(|_| hints.objects.len() < RECORDS_MAX) {
        Some(object) => hints.objects.push(object),
        None => hints.ignored += 1,
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// Whether a URL is one of SNS: a person is asked to open it.
fn is_of_sns(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let host = url.host_str().unwrap_or_default();
    let region = host.strip_prefix("sns.").and_then(|rest| {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    });
    let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let there = region.is_some_and(|region| !region.is_empty() && region.bytes().all(known));
    url.scheme() == "https" && plain && there && text.len() <= URL_BYTES_MAX
}

/// A record of S3, MinIO or Ceph. Its key is encoded as a form is.
fn s3(record: &Value) -> Option<Object> {
    let key = text(record, "/s3/object/key")?.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().ok()?;
    Object::new(Scheme::S3, text(record, "/s3/bucket/name")?, &key)
}

/// An event of EventBridge. Its key is not encoded.
fn event_bridge(event: &Value) -> Option<Object> {
    let (bucket, key) = (text(event, "/detail/bucket/name")?, text(event, "/detail/object/key")?);
    Object::new(Scheme::S3, bucket, key)
}

/// A message that Pub/Sub pushes for Cloud Storage.
fn pub_sub(event: &Value) -> Option<Object> {
    let attribute = |name: &str| text(event.pointer("/message/attributes")?, name);
    Object::new(Scheme::Gs, attribute("/bucketId")?, attribute("/objectId")?)
}

/// An event of Event Grid or a CloudEvent, of Azure or of Cloud Storage.
fn cloud(event: &Value) -> Option<Object> {
    let kind = text(event, "/type").or_else(|| text(event, "/eventType")).unwrap_or_default();
    if kind.starts_with("Microsoft.Storage.") {
        return azure(text(event, "/data/url").or_else(|| text(event, "/data/destinationUrl"))?);
    }
    let object = match kind.starts_with("google.cloud.storage.object.") {
        true => event.get("data")?,
        // In binary mode the attributes are headers, and the body is the object alone.
        false if text(event, "/kind") == Some("storage#object") => event,
        false => return None,
    };
    Object::new(Scheme::Gs, text(object, "/bucket")?, text(object, "/name")?)
}

/// `https://ACCOUNT.blob.core.windows.net/CONTAINER/KEY`, or `.dfs.`.
fn azure(url: &str) -> Option<Object> {
    let url = url::Url::parse(url).ok()?;
    let account = url.host_str()?.split('.').next()?.to_owned();
    let path = percent_decode_str(url.path()).decode_utf8().ok()?;
    let (container, key) = path.strip_prefix('/')?.split_once('/')?;
    let object = Object::new(Scheme::Azure, container, key)?;
    Some(Object { account: Some(account), ..object })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S3_PUT: &str = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3",
        "awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z",
        "eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters":{"sourceIPAddress":"127.0.0.1"},
        "responseElements":{"x-amz-request-id":"C3D13FE58DE4C810"},
        "s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule",
        "bucket":{"name":"lake","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},
        "arn":"arn:aws:s3:::lake"},
        "object":{"key":"wh/day%3D1/my+file.parquet","size":1024,
        "eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055AED6DCD90281E5"}}}]}"#;

    fn object(scheme: Scheme, container: &str, key: &str) -> Object {
        Object::new(scheme, container, key).unwrap()
    }

    #[track_caller]
    fn check(body: &str, objects: &[Object], ignored: usize) {
        let hints = parse(body.as_bytes()).unwrap();
        assert_eq!((hints.objects.as_slice(), hints.ignored), (objects, ignored), "{body}");
    }

    #[test]
    fn s3_records() {
        check(S3_PUT, &[object(Scheme::S3, "lake", "wh/day=1/my file.parquet")], 0);
        // MinIO names the object beside the records.
        let minio =
            S3_PUT.replacen('{', r#"{"EventName":"s3:ObjectCreated:Put","Key":"lake/wh","#, 1);
        check(&minio, &[object(Scheme::S3, "lake", "wh/day=1/my file.parquet")], 0);
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02Z",
            "Bucket":"lake","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3"}"#;
        check(test, &[], 1);
    }

    #[test]
    fn s3_through_sns() {
        let message = serde_json::to_string(S3_PUT).unwrap();
        let body = format!(
            r#"{{"Type":"Notification","MessageId":"22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic",
            "Subject":"Amazon S3 Notification","Message":{message},
            "Timestamp":"2012-05-02T00:54:06.655Z","SignatureVersion":"1","Signature":"EXAMPLE"}}"#
        );
        check(&body, &[object(Scheme::S3, "lake", "wh/day=1/my file.parquet")], 0);
    }

    #[test]
    fn a_subscription_of_sns_waits_for_a_person() {
        let hints = |url: &str| {
            let body = format!(
                r#"{{"Type":"SubscriptionConfirmation","Token":"2336412f37",
                "TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic",
                "Message":"You have chosen to subscribe to the topic","SubscribeURL":"{url}"}}"#
            );
            parse(body.as_bytes()).unwrap()
        };
        for url in [
            "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
            "https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription",
        ] {
            let found = hints(url);
            assert_eq!((found.confirmation.as_deref(), found.ignored), (Some(url), 0), "{url}");
        }
        for url in [
            "",
            "http://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
            "https://sns.us-west-2.amazonaws.com.evil.example/",
            "https://sns.us-west-2.evil.example/.amazonaws.com",
            "https://sns.us-west-2.amazonaws.com@evil.example/",
            "https://user@sns.us-west-2.amazonaws.com/",
            "https://sns.us-west-2.amazonaws.com:8443/",
            "https://evil.sns.us-west-2.amazonaws.com/",
            "https://sns..amazonaws.com/",
            "https://sns.evil.example.amazonaws.com/",
            "javascript:alert(1)",
            &format!("https://sns.us-west-2.amazonaws.com/{}", "a".repeat(2_048)),
        ] {
            let found = hints(url);
            assert_eq!((found.confirmation.as_deref(), found.ignored), (None, 1), "{url}");
        }
    }

    #[test]
    fn event_bridge() {
        let body = r#"{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type":"Object Created","source":"aws.s3","account":"111122223333",
            "time":"2021-11-12T00:00:00Z","region":"ca-central-1","resources":["arn:aws:s3:::lake"],
            "detail":{"version":"0","bucket":{"name":"lake"},
            "object":{"key":"wh/a+b","size":5,"etag":"b1946ac92492d2347c6235b4d2611184"},
            "request-id":"N4N7GDK58NMKJ12R","requester":"123456789012","reason":"PutObject"}}"#;
        check(body, &[object(Scheme::S3, "lake", "wh/a+b")], 0);
    }

    #[test]
    fn pub_sub_push() {
        let body = r#"{"message":{"attributes":{"bucketId":"lake","eventTime":"2021-01-15T01:30:15Z",
            "eventType":"OBJECT_FINALIZE","notificationConfig":"projects/_/buckets/lake/1",
            "objectGeneration":"1610674215000000","objectId":"wh/t/_delta_log/1.json",
            "payloadFormat":"NONE"},"data":"","messageId":"1","publishTime":"2021-01-15T01:30:15Z"},
            "subscription":"projects/p/subscriptions/s"}"#;
        check(body, &[object(Scheme::Gs, "lake", "wh/t/_delta_log/1.json")], 0);
    }

    const BLOB_URL: &str = "https://acct.blob.core.windows.net/lake/wh/day%3D1/f.parquet";

    fn blob() -> Object {
        let account = Some("acct".to_owned());
        Object { account, ..object(Scheme::Azure, "lake", "wh/day=1/f.parquet") }
    }

    #[test]
    fn event_grid() {
        let body = format!(
            r#"[{{"topic":"/subscriptions/1/resourceGroups/Storage",
            "subject":"/blobServices/default/containers/lake/blobs/wh/f.parquet",
            "eventType":"Microsoft.Storage.BlobCreated","eventTime":"2017-06-26T18:41:00Z",
            "id":"831e1650-001e-001b-66ab-eeb76e069631","data":{{"api":"PutBlockList",
            "contentType":"text/plain","contentLength":524288,"blobType":"BlockBlob",
            "url":"{BLOB_URL}"}},"dataVersion":"","metadataVersion":"1"}},
            {{"eventType":"Microsoft.Storage.BlobTierChanged","data":{{}}}}]"#
        );
        check(&body, &[blob()], 1);
        let body = r#"[{"id":"2d1781af","topic":"/subscriptions/1","subject":"",
            "data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
            "validationUrl":"https://rp-eastus2.eventgrid.azure.net:553/validate"},
            "eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime":"2022-10-28T04:23:35Z","metadataVersion":"1","dataVersion":"1"}]"#;
        let hints = parse(body.as_bytes()).unwrap();
        assert_eq!(hints.validation.as_deref(), Some("512d38b6-c7b8-40c8-89fe-f46f9e9622b6"));
        assert_eq!((hints.objects.len(), hints.ignored), (0, 0));
    }

    #[test]
    fn cloud_events() {
        let body = format!(
            r#"{{"specversion":"1.0","type":"Microsoft.Storage.BlobCreated","id":"9aeb0fdf",
            "source":"/subscriptions/1","subject":"blobServices/default/containers/lake/blobs/f",
            "time":"2019-11-18T15:13:39Z","data":{{"api":"FlushWithClose","url":"{}"}}}}"#,
            BLOB_URL.replace(".blob.", ".dfs.")
        );
        check(&body, &[blob()], 0);
        let object_of = object(Scheme::Gs, "lake", "wh/f");
        let body = r#"{"specversion":"1.0","type":"google.cloud.storage.object.v1.finalized",
            "source":"//storage.googleapis.com/projects/_/buckets/lake","subject":"objects/wh/f",
            "id":"1","data":{"kind":"storage#object","bucket":"lake","name":"wh/f","size":"3"}}"#;
        check(body, std::slice::from_ref(&object_of), 0);
        check(r#"{"kind":"storage#object","bucket":"lake","name":"wh/f"}"#, &[object_of], 0);
    }

    #[test]
    fn a_bad_record_spoils_nothing() {
        let good = S3_PUT.strip_prefix(r#"{"Records":["#).unwrap().strip_suffix("]}").unwrap();
        let bad = r#"{"s3":{"bucket":{"name":"lake"},"object":{"key":"%ff"}}}"#;
        let body = format!(r#"{{"Records":[{bad},null,{good},{{"s3":1}}]}}"#);
        check(&body, &[object(Scheme::S3, "lake", "wh/day=1/my file.parquet")], 3);
        assert!(parse(b"not JSON").is_err());
        for body in ["null", "1", "\"x\"", "{}", "[[]]"] {
            check(body, &[], 1);
        }
        check("[]", &[], 0);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let names = [
            "Records",
            "Message",
            "s3",
            "bucket",
            "object",
            "name",
            "key",
            "detail",
            "message",
            "attributes",
            "bucketId",
            "objectId",
            "type",
            "eventType",
            "data",
            "url",
            "kind",
        ];
        let texts = [
            "lake",
            "",
            "%",
            "+",
            "https://a/b",
            "https:///",
            "storage#object",
            "[]",
            "{\"a\":1}",
            "Microsoft.Storage.BlobCreated",
            "google.cloud.storage.object.v1.finalized",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            prop::sample::select(texts.to_vec()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let field =
                (prop::sample::select(names.to_vec()).prop_map(str::to_owned), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                prop::collection::hash_map(field.0, field.1, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(value in any_json()) {
            let hints = parse(value.to_string().as_bytes()).unwrap();
            for object in hints.objects {
                prop_assert!(!object.container.is_empty() && !object.key.is_empty());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }
    }
}
