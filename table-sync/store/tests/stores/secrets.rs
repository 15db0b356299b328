//! Nothing that this crate gives out shows a credential.

use std::collections::BTreeMap;

use table_sync_store::{Location, Secret, Settings, StoreConfig, open};

const KNOWN: &str = "Zm9yLXlvdXItZXllcy1vbmx5LTEyMzQ1Njc4OTA";

/// Debug and Display texts of an error and of all its causes.
fn texts(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut texts = vec![format!("{error:?}"), format!("{error:#?}"), error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(format!("{error:?}"));
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// Opens a store whose options hold the secret, and formats whatever comes of it.
async fn check(url: &str, options: &[(&str, &str)]) {
    let options: BTreeMap<String, Secret> = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Secret::plain(value.replace("$", KNOWN))))
        .collect();
    let config = StoreConfig { url: url.to_owned(), options };
    let mut seen = vec![format!("{config:?}"), format!("{config:#?}")];
    let stores: BTreeMap<String, StoreConfig> = [("site".to_owned(), config)].into();
    let location = Location::parse("site:table", &stores).unwrap();
    seen.push(format!("{location:?} {location:#?} {} {}", location.url(), location.store_url()));
    let settings = Settings {
        retry_timeout: std::time::Duration::from_millis(100),
        proxy: Some(format!("http://user:{KNOWN}@127.0.0.1:9")),
        ..Settings::default()
    };
    seen.push(format!("{settings:?} {settings:#?}"));
    match open(&location, &settings) {
        Err(error) => seen.extend(texts(&error)),
        Ok(store) => {
            seen.push(format!("{store:?} {store:#?} {}", store.url()));
            let plane = store.object_store();
            seen.push(format!("{plane:?} {plane}"));
            // Nothing listens on the discard port: every request fails, with its URL in hand.
            seen.extend(texts(&store.read("a", None, None).await.unwrap_err()));
            seen.extend(texts(&store.create("a", bytes::Bytes::new()).await.unwrap_err()));
            let each = |_| std::ops::ControlFlow::Continue(());
            seen.extend(texts(&store.list("a", None, each).await.unwrap_err()));
            let path = object_store::path::Path::from("a");
            let error = object_store::ObjectStoreExt::head(&plane, &path).await.unwrap_err();
            seen.extend(texts(&error));
        }
    }
    for text in seen {
        assert!(!text.contains(KNOWN), "{url}: {text}");
    }
}

#[tokio::test]
async fn no_text_shows_a_credential() {
    let s3 = [
        ("endpoint", "http://127.0.0.1:9"),
        ("access_key_id", "AK$"),
        ("secret_access_key", "$"),
        ("session_token", "$"),
    ];
    check("s3://lake", &s3).await;
    check("s3://lake", &[("endpoint", "https://user:$@127.0.0.1:9"), ("access_key_id", "x")]).await;
    check("s3://lake", &[("secret_access_key", "$")]).await;
    check("s3://lake", &[("no_such_option", "$")]).await;
    check("s3://lake", &[("secret_access_key", "$\nnewline"), ("access_key_id", "x")]).await;
    let endpoint = ("azure_storage_endpoint", "http://127.0.0.1:9/acct");
    let account = ("account_name", "acct");
    check("az://box", &[endpoint, account, ("account_key", "$")]).await;
    check("az://box", &[endpoint, account, ("account_key", "not base64 $")]).await;
    check("az://box", &[endpoint, account, ("sas_token", "?sv=1&sig=$")]).await;
    check("az://box", &[endpoint, account, ("sas_token", "sig=$")]).await;
    check("az://box", &[endpoint, account, ("bearer_token", "$")]).await;
    let key = r#"{"private_key": "$", "client_email": "x", "private_key_id": "$"}"#;
    check("gs://lake", &[("google_service_account_key", key)]).await;
    check("gs://lake", &[("google_service_account_key", "{\"private_key\": $")]).await;
    let open = r#"{"gcs_base_url": "http://127.0.0.1:9", "disable_oauth": true,
        "client_email": "", "private_key": "$", "private_key_id": ""}"#;
    check("gs://lake", &[("google_service_account_key", open), ("allow_http", "true")]).await;
}
