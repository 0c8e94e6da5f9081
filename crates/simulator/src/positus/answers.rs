//! The shape of every answer: `{"message":".."}`, an error of Positus' own, or one that Meta worded.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Begun, and not done.
pub(super) fn accepted(is_202: bool, message: &str) -> Response {
    let status = if is_202 { StatusCode::ACCEPTED } else { StatusCode::OK };
    respond(status, &json!({ "message": message }))
}

/// Anything else with a reason.
pub(super) fn error(status: StatusCode, code: &str, title: &str, details: &str) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    let errors = json!([{ "code": code, "title": title, "details": details }]);
    respond(status, &json!({ "message": message, "errors": errors }))
}

/// Anything else, as Meta words it.
pub(super) fn graph(status: StatusCode, code: u32, subcode: Option<u32>, message: &str) -> Response {
    let mut error = json!({
        "message": format!("(#{code}) {message}"),
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "AbCdEfGhIjKlMnOpQrStUvW",
    });
    if let Some(subcode) = subcode {
        error["error_subcode"] = json!(subcode);
    }
    respond(status, &json!({ "error": error }))
}

pub(super) fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
