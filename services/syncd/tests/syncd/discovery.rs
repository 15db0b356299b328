//! Tables are registered as they appear.

use driftless_catalog::{FoundState, Policy, RuleSpec, StoreRecord};

use crate::world::{World, now_ms};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_registers_what_appears_and_tells_what_vanishes() {
    let world = World::new().await;
    world.feed("history", "a/orders").finish().await;
    world.feed("history", "a/tmp_x").finish().await;
    world.feed("history", "a/b/deep").finish().await;
    let spec = RuleSpec {
        pattern: format!("file://{}/**", world.path("lake").display()),
        include: Vec::new(),
        exclude: vec!["**/tmp_*".to_owned()],
        name: "lake.{1}.{-1}".to_owned(),
        sites: vec!["east".to_owned()],
        policy: Policy { poll_seconds: 1, ..Policy::default() },
        paused: false,
        every_seconds: 60,
    };
    world.catalog.put_rule("all", &spec, None, now_ms()).await.unwrap();
    let daemon = world.daemon("a").await;
    let found = async |what: &[(&str, FoundState)]| {
        loop {
            let found = world.catalog.found_tables("all", None, 99).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.table.as_deref().unwrap_or_default(), one.state))
                .collect();
            if found == what {
                return;
            }
            // A rule that is put again looks at once.
            world.catalog.put_rule("all", &spec, None, now_ms()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let registered = FoundState::Registered;
    found(&[("lake.a.deep", registered), ("lake.a.orders", registered)]).await;
    // Two folders that the template gives one name.
    world.feed("history", "a/c/deep").finish().await;
    std::fs::remove_dir_all(world.path("lake/a/orders")).unwrap();
    found(&[
        ("lake.a.deep", registered),
        ("lake.a.deep", FoundState::Refused),
        ("lake.a.orders", FoundState::Vanished),
    ])
    .await;
    let name = driftless_catalog::TableName::parse("lake.a.deep").unwrap();
    let table = world.catalog.table(&name).await.unwrap();
    assert_eq!(table.rule.as_deref(), Some("all"));
    while world.catalog.table(&name).await.unwrap().replicas[0].progress.head.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    daemon.stop().await;
}

/// A rule leads no project past the list of a store.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_registers_nothing_from_a_store_of_other_projects() {
    let world = World::new().await;
    world.feed("history", "orders").finish().await;
    world.catalog.put_project(("mart", None, 1), None, now_ms()).await.unwrap();
    let closed = StoreRecord {
        name: "closed".to_owned(),
        url: format!("file://{}", world.path("lake").display()),
        region: None,
        options: Default::default(),
        projects: vec!["mart".to_owned()],
        revision: 0,
        created_ms: 0,
    };
    world.catalog.put_store(&closed, None, now_ms()).await.unwrap();
    for (rule, pattern) in [("named", "closed:**"), ("by_url", &format!("{}/**", closed.url))] {
        let spec = RuleSpec {
            pattern: pattern.to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
            name: "lake.found.{1}".to_owned(),
            sites: vec!["east".to_owned()],
            policy: Policy::default(),
            paused: true,
            every_seconds: 60,
        };
        world.catalog.put_rule(rule, &spec, None, now_ms()).await.unwrap();
    }
    let daemon = world.daemon("a").await;
    for rule in ["named", "by_url"] {
        let found = loop {
            match world.catalog.found_tables(rule, None, 9).await.unwrap() {
                found if found.is_empty() => {
                    tokio::time::sleep(std::time::Duration::from_millis(15)).await;
                }
                found => break found,
            }
        };
        assert_eq!((found.len(), found[0].state), (1, FoundState::Refused), "{rule}");
        let why = found[0].message.as_deref().unwrap();
        assert!(why.contains("may not use the store closed"), "{rule}: {why}");
    }
    daemon.stop().await;
}
