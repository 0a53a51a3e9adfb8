//! The OpenAPI 3.1 document of the admin API, made from the table of its paths and from the schemas of its types.
//!
//! # Why no generator of its own
//! OpenAPI 3.1 takes JSON Schema 2020-12 as it is, and the configuration's schema is that already: an account is described
//! by the schema that it is held against, and by no second description that may come to differ.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::admin::routes::Operation;
use crate::admin::urls::NewUrl;
use crate::admin::who::Needs;
use crate::config::account_schema;
use crate::tenancy::office::{KeyBody, RevocationBody, TenantBody, TenantPatch};

/// The schema of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// One of the components.
    Named(&'static str),
    /// A page of such, under this name.
    Page(&'static str, &'static str),
    /// An object that is described elsewhere.
    Any,
    /// Text.
    Text,
}

pub(super) const ANY: Schema = Schema::Any;

/// A path, a method, and what is at it.
pub(super) type Described = (&'static str, String, Value);

pub(super) fn document(operations: impl Iterator<Item = Described>) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (path, method, operation) in operations {
        paths.entry(path).or_default().insert(method, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tenants, accounts, scoped URLs and API keys. What `POST` makes can be asked for again with the \
                            same `Idempotency-Key`; `ETag` and `If-Match` keep two writers apart; a tenant's admin sees \
                            their own tenant, and 404 beside it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token, or an access token of an issuer under `admin.jwt` with the role `operator` or `tenant-admin`",
                },
                "certificate": {"type": "mutualTLS", "description": "A client certificate that `admin.certificates` names"},
            },
            "schemas": schemas(),
        },
    })
}

/// What is at a path.
pub(super) fn described<S>(operation: &Operation<S>) -> Described {
    let mut parameters: Vec<Value> =
        in_path(operation.path).map(|name| parameter("path", name, name, true)).collect();
    parameters.extend(operation.query.iter().map(|(name, what, must)| parameter("query", name, what, *must)));
    let method = operation.method.as_str().to_ascii_lowercase();
    match method.as_str() {
        "post" => parameters.push(parameter(
            "header",
            "Idempotency-Key",
            "Names the request, so that it happens once",
            false,
        )),
        "put" | "patch" | "delete" => {
            parameters.push(parameter("header", "If-Match", "The `ETag` of what is to be changed", false));
        }
        _ => {}
    }
    let (status, schema) = operation.done;
    let mut answers = json!({
        "default": {"description": "Why not, in words and by a stable code", "content": content(Schema::Named("Error"))},
    });
    if let Some(answers) = answers.as_object_mut() {
        answers.insert(status.to_string(), json!({"description": "Done", "content": content(schema)}));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": answers,
    });
    if let Some(members) = described.as_object_mut() {
        if let Some(body) = operation.body {
            members.insert("requestBody".to_owned(), json!({"required": true, "content": content(body)}));
        }
        match operation.needs {
            Needs::Nothing => drop(members.insert("security".to_owned(), json!([]))),
            Needs::Operator => {
                drop(members.insert("description".to_owned(), json!("Needs the role `operator`.")))
            }
            Needs::TenantAdmin => {}
        }
    }
    (operation.path, method, described)
}

fn in_path(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(place: &str, name: &str, what: &str, required: bool) -> Value {
    let kind = if name == "limit" { "integer" } else { "string" };
    json!({"in": place, "name": name, "description": what, "required": required, "schema": {"type": kind}})
}

fn content(schema: Schema) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let schema = match schema {
        Schema::Text => return json!({"text/plain": {"schema": {"type": "string"}}}),
        Schema::Any => json!({"type": "object"}),
        Schema::Named(name) => reference(name),
        Schema::Page(list, item) => json!({
            "type": "object",
            "required": [list],
            "properties": {
                list: {"type": "array", "items": reference(item)},
                "next": {"type": "string", "description": "`after` of the next page, while there may be one"},
            },
        }),
    };
    json!({"application/json": {"schema": schema}})
}

fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    let text = |what: &str| json!({"type": "string", "description": what});
    add(&mut schemas, "NewTenant", of::<TenantBody>());
    add(&mut schemas, "TenantPatch", of::<TenantPatch>());
    add(&mut schemas, "NewKey", of::<KeyBody>());
    add(&mut schemas, "NewUrl", of::<NewUrl>());
    let mut revocation = of::<RevocationBody>();
    add(&mut schemas, "NewRevocation", revocation.clone());
    let id = text("Its public id: the same for the same issuer and value");
    with(&mut revocation, &[("id", id), ("created_at", text("When it was made (RFC 3339)"))]);
    add(&mut schemas, "Revocation", revocation);
    let mut account = account_schema().clone();
    let secret = text("The secret, sealed at once and never shown");
    with(&mut account, &[("secret", secret.clone())]);
    add(&mut schemas, "NewAccount", account);
    add(&mut schemas, "Secret", object(&["secret"], &[("secret", secret.clone())]));
    let named = [("tenant", text("The tenant")), ("server", text("The server")), ("secret", secret)];
    add(&mut schemas, "NewSecret", object(&["tenant", "server", "secret"], &named));
    let made = text("When it was made (RFC 3339)");
    let source = json!({"enum": ["store", "configuration"], "description": "Where it stands; what is configured can only be changed there"});
    let used = text("When it was last used (RFC 3339), to the minute");
    add(
        &mut schemas,
        "Tenant",
        object(
            &["tenant", "status", "source"],
            &[
                ("tenant", text("Its name")),
                ("display_name", text("What people call it")),
                ("note", text("What is to be remembered of it")),
                ("status", json!({"enum": ["active", "suspended", "deleting"]})),
                ("created_at", made.clone()),
                ("source", source.clone()),
                (
                    "accounts",
                    json!({"type": "integer", "description": "How many accounts it has; of one tenant only"}),
                ),
                (
                    "keys",
                    json!({"type": "integer", "description": "How many API keys it has; of one tenant only"}),
                ),
            ],
        ),
    );
    add(
        &mut schemas,
        "Account",
        object(
            &["tenant", "server", "source"],
            &[
                ("tenant", text("The tenant")),
                ("server", text("The server")),
                ("url", text("The URL, where it is the tenant's own")),
                ("slots", json!({"type": "integer", "description": "How many calls at once"})),
                ("credential", json!({"description": "As it was written; of a configured account its kind"})),
                (
                    "sealed",
                    json!({"type": "boolean", "description": "Whether a sealed secret is there; not in lists"}),
                ),
                ("created_at", made.clone()),
                ("source", source),
            ],
        ),
    );
    let shown = |what: &str, secret: &str, words: &str| {
        object(
            &["id", "prefix", "tenant"],
            &[
                ("id", text("Its public id")),
                ("prefix", text("Its first characters")),
                ("tenant", text("The tenant")),
                (secret, text(words)),
                ("expires_at", text("When it ends (RFC 3339); absent: when it is revoked")),
                ("last_used_at", used.clone()),
                ("created_at", made.clone()),
                ("note", text(what)),
            ],
        )
    };
    add(
        &mut schemas,
        "Key",
        shown("What it is for", "key", "The key itself; only in the answer that makes it"),
    );
    add(
        &mut schemas,
        "Url",
        shown("What it is for", "url", "The URL itself; only in the answer that makes it"),
    );
    let fault = object(
        &["key", "what", "fix"],
        &[("key", text("Where")), ("what", text("What is wrong")), ("fix", text("What would be right"))],
    );
    add(
        &mut schemas,
        "Error",
        object(
            &["error", "code"],
            &[
                ("error", text("What happened, in words")),
                ("code", text("The same for programs; it stays as it is")),
                ("faults", json!({"type": "array", "items": fault})),
            ],
        ),
    );
    schemas
}

fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

fn object(required: &[&str], properties: &[(&str, Value)]) -> Value {
    let mut schema = json!({"type": "object", "required": required, "properties": {}});
    with(&mut schema, properties);
    schema
}

fn with(schema: &mut Value, more: &[(&str, Value)]) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
}

/// Adds a schema, and beside it what it refers to: in a document each has its place among the components.
fn add(schemas: &mut Map<String, Value>, name: &str, mut schema: Value) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(inner)) = object.remove("$defs") {
            for (name, mut inner) in inner {
                refer(&mut inner);
                schemas.insert(name, inner);
            }
        }
    }
    refer(&mut schema);
    schemas.insert(name.to_owned(), schema);
}

fn refer(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref") {
                *reference = reference.replace("#/$defs/", "#/components/schemas/");
            }
            object.values_mut().for_each(refer);
        }
        Value::Array(items) => items.iter_mut().for_each(refer),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
