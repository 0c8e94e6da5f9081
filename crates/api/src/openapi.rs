//! `GET /openapi.json`: the description of this API, generated from the code that answers it.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    schema::{ArrayBuilder, Schema},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::{
    problem::{Code, Document, refusals},
    routes,
};

/// The name of the security scheme.
pub(crate) const KEY_SCHEME: &str = "api_key";

const DESCRIPTION: &str = "\
Copies the message history of WhatsApp channels out of provider gateways into Postgres, and finishes.\n\n\
Every call but `/healthz`, `/readyz` and those of gateways needs an API key. Scope `admin` includes `enqueue`, `enqueue` includes `read`; a key that \
is revoked can work for ten seconds more. Bodies and answers are JSON in snake_case; unknown fields and parameters are refused. \
What is refused is answered as `application/problem+json` with a stable `code`. Every answer carries an `x-request-id`, yours if \
the request brought one. A call whose answer has not begun after 30 seconds is given up.";

const TAGS: [(&str, &str); 6] = [
    (
        "channels",
        "Connected WhatsApp numbers: where their gateways are, how fast these may be called, whether jobs run.",
    ),
    ("limits", "How fast provider servers and channels may be called, and how many workers that keeps busy."),
    ("syncs", "Requests to read history: asked for, followed, steered, accounted for."),
    ("messages", "What was stored."),
    ("webhooks", "What gateways send by themselves."),
    ("process", "The process itself: health, metrics, this document."),
];

static JSON: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&routes::described()).map(Bytes::from).unwrap_or_default());

/// The description of all calls, as `/openapi.json` serves it.
#[must_use]
pub fn openapi() -> OpenApi {
    routes::described()
}

/// The document without its calls.
pub(crate) fn frame() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Sincro")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: `Authorization: Bearer <key>`. Make one with `sincro key create`."))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(KEY_SCHEME, SecurityScheme::Http(key))
        .schema(Document::name(), Document::schema())
        .schema(Code::name(), Code::schema())
        .build();
    let tags = TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    OpenApiBuilder::new().info(info).components(Some(components)).tags(Some(tags)).build()
}

/// The schema of a list repeats what it lists; it should refer to it.
pub(crate) fn refer_in_lists(document: &mut OpenApi) {
    for (name, schema) in document.components.iter_mut().flat_map(|components| &mut components.schemas) {
        if let (Some(listed), RefOr::T(Schema::Object(list))) = (name.strip_prefix("List_"), schema) {
            let items = ArrayBuilder::new().items(Ref::from_schema_name(listed));
            list.properties.insert("items".to_owned(), items.into());
        }
    }
}

refusals!(Refusals: Code::ANY);

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "process",
    description = "OpenAPI 3.1, generated from the code that answers.",
    responses((status = 200, body = Object, description = "An OpenAPI document"), Refusals),
)]
pub(crate) async fn serve() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], JSON.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use serde_json::{Value, json};
    use sincro_core::{job::JobState, provider::Provider, sync::SyncState};

    use super::*;

    /// The contract: every call, and the scope it needs.
    const CALLS: [(&str, &str, &str); 36] = [
        ("get", "/healthz", ""),
        ("get", "/readyz", ""),
        ("get", "/metrics", "read"),
        ("get", "/openapi.json", "read"),
        ("get", "/hooks/{provider}/{hook_token}", ""),
        ("post", "/hooks/{provider}/{hook_token}", ""),
        ("get", "/v1/channels", "read"),
        ("post", "/v1/channels", "admin"),
        ("get", "/v1/channels/{channel_id}", "read"),
        ("patch", "/v1/channels/{channel_id}", "admin"),
        ("delete", "/v1/channels/{channel_id}", "admin"),
        ("post", "/v1/channels/{channel_id}/pause", "admin"),
        ("post", "/v1/channels/{channel_id}/resume", "admin"),
        ("get", "/v1/channels/{channel_id}/messages", "read"),
        ("post", "/v1/channels/{channel_id}/messages/{message_id}/resync", "enqueue"),
        ("post", "/v1/channels/{channel_id}/media/syncs", "enqueue"),
        ("post", "/v1/channels/{channel_id}/allow-history", "admin"),
        ("get", "/v1/channels/{channel_id}/check", "read"),
        ("post", "/v1/channels/{channel_id}/check", "enqueue"),
        ("post", "/v1/channels/{channel_id}/connect", "admin"),
        ("get", "/v1/limits", "read"),
        ("put", "/v1/limits", "admin"),
        ("get", "/v1/limits/changes", "read"),
        ("get", "/v1/scaling", "read"),
        ("post", "/v1/channels/{channel_id}/syncs", "enqueue"),
        ("post", "/v1/channels/{channel_id}/syncs/plan", "enqueue"),
        ("post", "/v1/channels/{channel_id}/contacts/{address}/syncs", "enqueue"),
        ("get", "/v1/syncs", "read"),
        ("get", "/v1/syncs/{sync_id}", "read"),
        ("get", "/v1/syncs/{sync_id}/jobs", "read"),
        ("get", "/v1/syncs/{sync_id}/receipt", "read"),
        ("get", "/v1/syncs/{sync_id}/events", "read"),
        ("post", "/v1/syncs/{sync_id}/pause", "enqueue"),
        ("post", "/v1/syncs/{sync_id}/resume", "enqueue"),
        ("post", "/v1/syncs/{sync_id}/cancel", "enqueue"),
        ("post", "/v1/syncs/{sync_id}/retry", "enqueue"),
    ];

    fn document() -> Value {
        serde_json::from_slice(&JSON).unwrap()
    }

    fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| ((method.clone(), path.clone()), operation.clone()))
        });
        operations.collect()
    }

    #[test]
    fn every_call_of_the_contract_is_described_with_its_scope_and_no_other() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let operations = operations(&document);
        let contract: BTreeMap<_, _> =
            CALLS.iter().map(|(method, path, scope)| (((*method).to_owned(), (*path).to_owned()), *scope)).collect();
        assert_eq!(operations.keys().collect::<Vec<_>>(), contract.keys().collect::<Vec<_>>());
        for (call, operation) in &operations {
            let scope = contract[call];
            let expected = if scope.is_empty() { Value::Null } else { json!([{ KEY_SCHEME: [scope] }]) };
            assert_eq!(operation["security"], expected, "{call:?}");
        }
    }

    #[test]
    fn every_call_says_what_it_does_and_how_it_fails() {
        let mut ids = HashSet::new();
        let tags: HashSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
        for (call, operation) in operations(&document()) {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{call:?}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{call:?}");
            assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag.as_str().unwrap())));
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{call:?}");
            let refused = responses.iter().filter(|(status, _)| !status.starts_with('2'));
            for (status, response) in refused.filter(|_| !operation["security"].is_null()) {
                let content = &response["content"]["application/problem+json"];
                assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{call:?} {status}");
                assert_eq!(content["example"]["status"].to_string(), *status);
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["description"].is_string() && parameter["schema"].is_object(),
                    "{call:?} {parameter}"
                );
            }
        }
    }

    #[test]
    fn every_path_parameter_is_described() {
        for ((method, path), operation) in operations(&document()) {
            let named: HashSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let described: HashSet<_> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            assert_eq!(named, described, "{method} {path}");
        }
    }

    #[test]
    fn no_reference_leads_nowhere() {
        let document = document();
        let mut found = 0;
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(fields) => rest.extend(fields.values()),
                Value::Array(items) => rest.extend(items),
                _ => {}
            }
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                found += 1;
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
        }
        assert!(found > 50, "{found}");
    }

    #[test]
    fn words_are_described_as_they_are_written() {
        let schemas = &document()["components"]["schemas"];
        assert_eq!(schemas["Code"]["enum"], json!(Code::ALL));
        assert_eq!(schemas["SyncState"]["enum"], json!(SyncState::ALL));
        assert_eq!(schemas["JobState"]["enum"], json!(JobState::ALL));
        assert_eq!(schemas["Provider"]["enum"], json!(Provider::ALL));
    }

    #[test]
    fn a_list_refers_to_what_it_lists() {
        let schemas = &document()["components"]["schemas"];
        let items = json!({"type": "array", "items": {"$ref": "#/components/schemas/SyncStatus"}});
        assert_eq!(schemas["List_SyncStatus"]["properties"]["items"], items);
    }

    #[test]
    fn every_code_is_described_by_some_call() {
        let text = document()["paths"].to_string();
        for code in Code::ALL {
            let everywhere = [Code::NotFound, Code::MethodNotAllowed].contains(code);
            assert!(everywhere || text.contains(&format!("`{}`", code.as_str())), "{}", code.as_str());
        }
    }
}
