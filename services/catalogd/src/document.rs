//! The routes, and the OpenAPI document that describes them.
//!
//! What all operations share is added here, once: headers, errors, the request id.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use driftless_catalog::group::Obstacle;
use driftless_catalog::status::{Condition, Status};
use driftless_catalog::transition::{Desired, OperationState};
use driftless_catalog::{
    AbsolutePaths, FoundState, HudiHistory, HudiMetadata, HudiReaders, HudiV6Window, OperationKind,
    Priority, Role,
};

use crate::auth::{IN_URL, URL_PARAMETER};
use crate::error::{ErrorBody, ErrorDetail};
use crate::{
    Service, alert, audit, event, feed, group, health, lag, metrics, node, operation, pin, project,
    registration, rule, security_mapping, site, store, table, token, version, watch, wish,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Driftless",
        description = "The catalog of tables that Driftless keeps in step, and what becomes of \
            them. Times are milliseconds since the epoch, UTC.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ErrorBody, ErrorDetail)),
    modifiers(&Bearer),
    tags(
        (name = "service", description = "The service itself"),
        (name = "stores", description = "Named places, and where their credentials are"),
        (name = "sites", description = "Places where tables are published"),
        (name = "projects", description = "Projects and their namespaces"),
        (name = "tables", description = "Registered tables"),
        (name = "versions", description = "Published versions, receipts and pins"),
        (name = "groups", description = "Tables that are read together"),
        (name = "lag", description = "How late tables are"),
        (name = "alerts", description = "What a person should know of"),
        (name = "rules", description = "What looks for tables"),
        (name = "events", description = "What happened"),
        (name = "operations", description = "Actions that take longer than a request"),
        (name = "tokens", description = "Bearer tokens"),
        (name = "audit", description = "Who changed what"),
        (name = "hints", description = "Notifications of stores"),
    ),
)]
struct Described;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "A token. The words beside it are the role that is needed (reader, operator, admin), \
             and all_projects where a token of one project is not enough."
                .to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        for role in IN_URL {
            let text = format!("A token of the role {role}, for who cannot set a header.");
            let scheme = ApiKeyValue::with_description(URL_PARAMETER, &text);
            let scheme = SecurityScheme::ApiKey(ApiKey::Query(scheme));
            components.add_security_scheme(role.as_str(), scheme);
        }
    }
}

/// All routes. Those of the console are added to the router beside these.
pub(crate) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::document))
        .routes(routes!(health::config))
        .routes(routes!(metrics::metrics))
        .routes(routes!(store::list))
        .routes(routes!(store::get, store::put, store::delete))
        .routes(routes!(site::list))
        .routes(routes!(site::get, site::put, site::delete))
        .routes(routes!(security_mapping::get))
        .routes(routes!(project::list))
        .routes(routes!(project::get, project::put, project::delete))
        .routes(routes!(project::namespaces))
        .routes(routes!(project::put_namespace, project::delete_namespace))
        .routes(routes!(group::list))
        .routes(routes!(group::snapshot))
        .routes(routes!(table::list, registration::register))
        .routes(routes!(table::get, registration::unregister))
        .routes(routes!(table::put_policy))
        .routes(routes!(wish::pause))
        .routes(routes!(wish::resume))
        .routes(routes!(wish::sync))
        .routes(routes!(wish::resync))
        .routes(routes!(wish::plan))
        .routes(routes!(pin::list))
        .routes(routes!(pin::put, pin::delete))
        .routes(routes!(version::list))
        .routes(routes!(version::get))
        .routes(routes!(version::common))
        .routes(routes!(lag::list))
        .routes(routes!(event::list))
        .routes(routes!(watch::follow))
        .routes(routes!(alert::list))
        .routes(routes!(rule::list))
        .routes(routes!(rule::get, rule::put, rule::delete))
        .routes(routes!(rule::run))
        .routes(routes!(rule::found))
        .routes(routes!(operation::list))
        .routes(routes!(operation::get))
        .routes(routes!(operation::cancel))
        .routes(routes!(token::list, token::create))
        .routes(routes!(token::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(node::list))
        .routes(routes!(feed::hint, feed::allow))
}

/// The document, with what all operations share.
pub(crate) fn document(described: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        describe_words(schemas);
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(path, method, operation);
            }
        }
    }
    document
}

/// Writes the words of enums as they are sent: the derived schemas have the names of variants,
/// since they do not see what a macro renames. And the text of positions.
fn describe_words(schemas: &mut Value) {
    macro_rules! words {
        ($($name:ident),+) => {$(
            if let Some(words) = schemas.pointer_mut(concat!("/", stringify!($name), "/enum")) {
                *words = $name::ALL.iter().map(|word| word.as_str()).collect();
            }
        )+};
    }
    words!(AbsolutePaths, Condition, Desired, HudiHistory, HudiMetadata, HudiReaders, HudiV6Window);
    words!(FoundState, Obstacle, OperationKind, OperationState, Priority, Role, Status);
    if let Some(instant) = schemas.pointer_mut("/Position/oneOf/1") {
        instant["pattern"] = "^[0-9]+_[0-9]+$".into();
    }
}

/// What a name in a path may be.
fn name_schema(name: &str) -> Value {
    let label = json!({
        "type": "string", "minLength": 2, "maxLength": 128, "pattern": "^[a-z0-9][a-z0-9_-]*$",
    });
    match name {
        "store" | "site" | "project" | "group" | "pin" | "rule" => label,
        "namespace" => json!({
            "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-z0-9_]+$",
        }),
        "table" => json!({
            "type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[a-z0-9._-]+$",
        }),
        _ => json!({
            "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+$",
        }),
    }
}

fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let public = operation.get("security") == Some(&json!([{}]));
    let (read, change) = (method == "get", !matches!(method, "get" | "options"));
    // What holds secrets has no tag.
    let keys = operation.get("operationId") == Some(&json!("get_trino_security_mapping"));
    let query = operation.get("parameters").and_then(Value::as_array).map_or(0, Vec::len) > 0;
    let has_body = operation.contains_key("requestBody");
    let parameters = operation.entry("parameters").or_insert(json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        for parameter in parameters.iter_mut().filter(|one| one["in"] == "path") {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["schema"] = name_schema(name);
        }
        if read && !keys {
            parameters.push(if_none_match());
        }
        if change {
            parameters.push(idempotency_key());
        }
        // What is made has no tag yet.
        if change && path.contains('{') {
            parameters.push(if_match());
        }
    }
    let mut errors = Vec::new();
    if !public {
        errors.extend([401, 403]);
    }
    // Whatever it is, an unknown parameter is refused.
    errors.push(400);
    if (read && query) || change {
        errors.push(404);
    }
    if change {
        errors.extend([409, 412, 413, 422]);
    }
    if has_body {
        errors.push(415);
    }
    // Without the inspector, or for a table that it cannot open, a GET is refused as well.
    if operation.get("operationId") == Some(&json!("plan_table")) {
        errors.push(422);
    }
    if keys {
        errors.push(409);
    }
    errors.extend([500, 503]);
    errors.sort_unstable();
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for code in errors {
        answers.insert(code.to_string(), error(code));
    }
    if read && !keys {
        answers.insert("304".to_owned(), json!({ "description": "It is as `If-None-Match` says" }));
    }
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    json!({
        "name": name,
        "in": "header",
        "description": description,
        "required": false,
        "schema": schema,
    })
}

fn if_none_match() -> Value {
    let tags = json!({ "type": "string", "maxLength": 4096 });
    header("If-None-Match", "Tags of what the caller has already", &tags)
}

fn if_match() -> Value {
    let tags = json!({ "type": "string", "maxLength": 4096 });
    header("If-Match", "The tag of what is changed, as it was read; `*` = whatever it is", &tags)
}

fn idempotency_key() -> Value {
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" });
    header("Idempotency-Key", "Sent again with the same key, a request has one effect", &key)
}

fn error(code: u16) -> Value {
    let description = match code {
        400 => "It cannot be read",
        401 => "There is no valid token",
        403 => "The token may not",
        404 => "There is no such thing",
        409 => "Not in this state",
        412 => "It was changed since it was read",
        413 => "The body is too large",
        415 => "The body is not JSON",
        422 => "It makes no sense",
        503 => "Not at the moment",
        _ => "A fault of this program",
    };
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}
