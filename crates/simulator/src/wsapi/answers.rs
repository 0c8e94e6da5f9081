//! The shape of every answer: bare data, or `{"status":409,"detail":"..."}`.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// 200 with data.
pub(super) fn ok(data: &Value) -> Response {
    respond(StatusCode::OK, data)
}

/// Begun, and not done.
pub(super) fn accepted(status: StatusCode) -> Response {
    respond(status, &json!({ "status": "ok" }))
}

/// Anything else with a reason.
pub(super) fn error(status: StatusCode, detail: &str) -> Response {
    respond(status, &json!({ "status": status.as_u16(), "detail": detail }))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
