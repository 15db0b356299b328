//! `driftless engines`: ready configuration for engines that read a site.
//!
//! The text is that of the files in `engines/`, which the tests with real engines run; what is
//! known of the site is filled in. Keys are never shown: they stay names of variables.

use hyper::Method;
use serde_json::{Value, json};

use super::tables::encoded;
use crate::args::{Engine, EnginesOf, SparkVersion};
use crate::client::Client;
use crate::exit::{CommandError, Exit};
use crate::run::{Ended, Setting};

const TRINO_DELTA: &str = include_str!("../../../../../engines/trino/etc/catalog/delta.properties");
const TRINO_HUDI: &str = include_str!("../../../../../engines/trino/etc/catalog/hudi.properties");
const SPARK_3_5: &str = include_str!("../../../../../engines/spark/3.5/spark-defaults.conf");
const SPARK_4_0: &str = include_str!("../../../../../engines/spark/4.0/spark-defaults.conf");

/// A store without regions takes any.
const ANY_REGION: &str = "us-east-1";

/// What Trino takes in place of keys. An answer that is older than the period is asked for again
/// by the next query, which fails where there is none.
const MAPPING: &str = "\
s3.security-mapping.enabled=true
s3.security-mapping.config-uri={server}/v1/sites/{site}/trino-security-mapping?token=${ENV:DRIFTLESS_ENGINE_TOKEN}
s3.security-mapping.refresh-period=10m
";

/// Options of a store that say how it is reached, without `aws_`.
const ENDPOINT: &str = "endpoint";
const REGION: &str = "region";

/// What engines need to know of a site.
struct Site {
    /// Of the site's folder, `s3://bucket/path`.
    url: String,
    endpoint: Option<String>,
    region: String,
}

pub(crate) async fn run(setting: &Setting, args: &EnginesOf) -> Result<Exit, Ended> {
    let site = site(&Client::new(&args.server)?, &args.site).await?;
    if args.security_mapping && !matches!(args.engine, Engine::Trino) {
        let message = format!("use --security-mapping for {}", args.engine.name());
        return Err(CommandError::arguments(message, "only Trino takes keys from a service").into());
    }
    let filled = |text: &str| match args.security_mapping {
        false => fill(text, &site, &args.metastore),
        true => fill(&mapped(text, &args.server.server, &args.site), &site, &args.metastore),
    };
    let files: Vec<(&str, String)> = match args.engine {
        Engine::Trino => vec![
            ("etc/catalog/delta.properties", filled(TRINO_DELTA)),
            ("etc/catalog/hudi.properties", filled(TRINO_HUDI)),
        ],
        Engine::Spark => {
            let text = match args.spark {
                SparkVersion::V3_5 => SPARK_3_5,
                SparkVersion::V4_0 => SPARK_4_0,
            };
            vec![("conf/spark-defaults.conf", filled(text))]
        }
        Engine::Duckdb => vec![("site.sql", duckdb(&site, &args.site))],
    };
    let keys = match args.security_mapping {
        false => "DRIFTLESS_SITE_KEY and DRIFTLESS_SITE_SECRET: keys that may read the site",
        true => {
            "DRIFTLESS_ENGINE_TOKEN: a token of the role engine, whose keys may read the project"
        }
    };
    let mut text = format!(
        "# {keys}, and nothing else.\n# Engines commit to a Delta log without asking a metastore; \
         only the keys stop them.\n"
    );
    for (name, content) in &files {
        text.push_str(&format!("\n# file: {name}\n{content}"));
    }
    let files: Vec<_> =
        files.iter().map(|(name, content)| json!({ "name": name, "content": content })).collect();
    let document = json!({ "engine": args.engine.name(), "site": args.site, "files": files });
    setting.output.print(&document, text)?;
    Ok(Exit::Done)
}

/// Asks the service for a site, and for the store that it is in.
async fn site(client: &Client, name: &str) -> Result<Site, CommandError> {
    let path = format!("/v1/sites/{}", encoded(name));
    let site = client.call(Method::GET, &path, None).await?;
    let place = text(&site, "url").unwrap_or_default();
    let region = text(&site, "region");
    let Some((store, folder)) = place.split_once(':').filter(|_| !place.contains("://")) else {
        return of_url(name, place, None, region);
    };
    let path = format!("/v1/stores/{}", encoded(store));
    let store = client.call(Method::GET, &path, None).await?;
    let root = text(&store, "url").unwrap_or_default();
    let options = store.get("options");
    let option = |name: &str| {
        let find = |key: &str| options.and_then(|options| text(options, key));
        find(&format!("aws_{name}")).or_else(|| find(name))
    };
    let url = format!("{}/{}", root.trim_end_matches('/'), folder.trim_matches('/'));
    of_url(name, url, option(ENDPOINT), option(REGION).or(region))
}

fn of_url(
    name: &str,
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
) -> Result<Site, CommandError> {
    if !url.starts_with("s3://") {
        return Err(CommandError::arguments(
            format!("configure an engine for {name}: {url} is no S3 store"),
            "engines read a site by S3: see `driftless put site --help`",
        ));
    }
    let region = region.unwrap_or_else(|| ANY_REGION.to_owned());
    Ok(Site { url: url.trim_end_matches('/').to_owned(), endpoint, region })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Trino's catalog with the service's security mapping in the place of keys.
fn mapped(text: &str, server: &str, site: &str) -> String {
    let is_key =
        |line: &&str| line.contains("DRIFTLESS_SITE_KEY") || line.contains("DRIFTLESS_SITE_SECRET");
    let mut out: String =
        text.lines().filter(|line| !is_key(line)).flat_map(|line| [line, "\n"]).collect();
    let server = server.trim_end_matches('/');
    out.push_str(&MAPPING.replace("{server}", server).replace("{site}", site));
    out
}

/// Puts what is known in the place of variables; a line about an endpoint goes where there is none.
fn fill(text: &str, site: &Site, metastore: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let endpoint = line.contains("DRIFTLESS_SITE_ENDPOINT");
        if endpoint && site.endpoint.is_none() {
            continue;
        }
        let mut line = line.to_owned();
        for (name, value) in [
            ("DRIFTLESS_METASTORE", metastore),
            ("DRIFTLESS_SITE_ENDPOINT", site.endpoint.as_deref().unwrap_or_default()),
            ("DRIFTLESS_SITE_REGION", site.region.as_str()),
        ] {
            // As Trino and as Hadoop spell variables.
            for variable in [format!("${{ENV:{name}}}"), format!("${{env.{name}}}")] {
                line = line.replace(&variable, value);
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn duckdb(site: &Site, name: &str) -> String {
    let endpoint = site.endpoint.as_deref().map_or_else(String::new, |url| {
        let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
        let tls = scheme != "http";
        format!(",\n  ENDPOINT '{host}', URL_STYLE 'path', USE_SSL {tls}")
    });
    format!(
        "INSTALL delta; LOAD delta; INSTALL httpfs; LOAD httpfs;\n\
         CREATE SECRET {secret} (TYPE s3, SCOPE '{url}',\n  \
         KEY_ID getenv('DRIFTLESS_SITE_KEY'), SECRET getenv('DRIFTLESS_SITE_SECRET'),\n  \
         REGION '{region}'{endpoint});\n\
         -- PROJECT/NAMESPACE/TABLE as `driftless table show` tells its location\n\
         SELECT * FROM delta_scan('{url}/PROJECT/NAMESPACE/TABLE');\n",
        secret = name.replace('-', "_"),
        url = site.url,
        region = site.region,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(endpoint: Option<&str>) -> Site {
        Site {
            url: "s3://site/lake".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: "eu-1".to_owned(),
        }
    }

    #[test]
    fn what_is_known_is_filled_in_and_keys_are_not() {
        for text in [TRINO_DELTA, TRINO_HUDI, SPARK_3_5, SPARK_4_0] {
            let filled = fill(text, &site(Some("http://vast:9000")), "thrift://meta:9083");
            for known in ["http://vast:9000", "eu-1", "thrift://meta:9083"] {
                assert!(filled.contains(known), "{filled}");
            }
            for kept in ["DRIFTLESS_SITE_KEY", "DRIFTLESS_SITE_SECRET"] {
                assert!(filled.contains(kept), "{filled}");
            }
            assert!(!filled.contains("DRIFTLESS_METASTORE"), "{filled}");
            let filled = fill(text, &site(None), "thrift://meta:9083");
            assert!(!filled.contains("endpoint=") && !filled.contains("s3a.endpoint "), "{filled}");
        }
    }

    #[test]
    fn a_security_mapping_takes_the_place_of_keys() {
        for text in [TRINO_DELTA, TRINO_HUDI] {
            let mapped = mapped(text, "https://driftless.example.net/", "east");
            let filled = fill(&mapped, &site(Some("http://vast:9000")), "thrift://meta:9083");
            let uri = "s3.security-mapping.config-uri=https://driftless.example.net/v1/sites/east/\
                       trino-security-mapping?token=${ENV:DRIFTLESS_ENGINE_TOKEN}\n";
            for part in
                ["s3.security-mapping.enabled=true\n", uri, "s3.endpoint=http://vast:9000\n"]
            {
                assert!(filled.contains(part), "{filled}");
            }
            assert!(!filled.contains("DRIFTLESS_SITE_"), "{filled}");
            assert!(
                !filled.contains("aws-access-key") && !filled.contains("aws-secret"),
                "{filled}"
            );
        }
    }

    #[test]
    fn duckdb_gets_a_secret_for_the_site_alone() {
        let sql = duckdb(&site(Some("http://vast:9000")), "site-a");
        for part in ["SECRET site_a", "SCOPE 's3://site/lake'", "ENDPOINT 'vast:9000'", "false"] {
            assert!(sql.contains(part), "{sql}");
        }
        assert!(!duckdb(&site(None), "a").contains("ENDPOINT"));
    }
}
