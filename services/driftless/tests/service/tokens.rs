//! Who may do what.

use serde_json::json;

use crate::world::World;

#[test]
fn without_a_token_nothing_is_told() {
    let mut world = World::new();
    let serve = world.start("serve --data data --listen 127.0.0.1:0");
    let url = serve.url();
    let lag = ["lag", "--server", &url];
    let (code, said) = world.run(&lag);
    assert_eq!((code, said["error"]["code"].as_str()), (1, Some("unauthenticated")), "{said:#}");
    let make = |role: &str| {
        let command = ["token", "create", "--name", "test", "--role", role, "--data", "data"];
        let (code, said) = world.run(&command);
        assert_eq!(code, 0, "{said:#}");
        (said["secret"].as_str().unwrap().to_owned(), said["token"]["id"].clone())
    };
    let (reader, id) = make("reader");
    let (admin, _) = make("admin");
    world.set_env("DRIFTLESS_TOKEN", &reader);
    let (code, said) = world.run(&lag);
    assert_eq!((code, &said["lag"]), (0, &json!([])), "{said:#}");
    let put = ["put", "project", "lake", "{}", "--server", &url];
    let (code, said) = world.run(&put);
    assert_eq!((code, said["error"]["code"].as_str()), (1, Some("forbidden")), "{said:#}");
    let (code, _) = world.run(&["token", "revoke", id.as_str().unwrap(), "--data", "data"]);
    assert_eq!(code, 0);
    let (code, said) = world.run(&lag);
    assert_eq!((code, said["error"]["code"].as_str()), (1, Some("unauthenticated")), "{said:#}");
    world.set_env("DRIFTLESS_TOKEN", &admin);
    let (code, said) = world.run(&put);
    assert_eq!(code, 0, "{said:#}");
    // The secret itself is kept nowhere.
    let (_, listed) = world.run(&["token", "list", "--data", "data"]);
    assert!(!listed.to_string().contains(&admin));
    assert_eq!(serve.stop(), 0);
    let database = std::fs::read(world.path("data/catalog.db")).unwrap();
    let found = database.windows(admin.len()).any(|part| part == admin.as_bytes());
    assert!(!found);
}

#[test]
fn nobody_is_asked_only_on_this_machine() {
    let world = World::new();
    let arguments = ["serve", "--no-auth", "--listen", "0.0.0.0:0", "--data", "data"];
    let (code, said) = world.run(&arguments);
    assert_eq!((code, said["error"]["code"].as_str()), (2, Some("arguments")), "{said:#}");
}
