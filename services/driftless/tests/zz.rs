//! x
#[test]
fn x() {
    use driftless_testdata::s3::*;
    let double = S3Double::start(Config::default());
    let d = std::env::temp_dir().join("h8zz.toml");
    std::fs::write(&d, format!("[stores.lake]\nurl=\"s3://bucket/wh\"\n[stores.lake.options]\naws_endpoint=\"{}\"\naws_region=\"us-east-1\"\naws_access_key_id=\"k\"\naws_secret_access_key=\"s\"\n", double.endpoint())).unwrap();
    let o = std::process::Command::new(env!("CARGO_BIN_EXE_driftless")).args(["probe","lake:t","--config"]).arg(&d).output().unwrap();
    println!("{}", String::from_utf8_lossy(&o.stdout));
    for r in double.requests() { let t = format!("{r:?}"); if t.contains("multipart") { println!("{t}"); } }
}
