//! The shape of every answer: `{"status":true,"code":200,"message":"..","data":..}`, with `error` where it is one.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// 200 with data.
pub(super) fn ok(message: &str, data: &Value) -> Response {
    let body = json!({ "status": true, "code": 200, "message": message, "data": data });
    respond(StatusCode::OK, &body)
}

/// 201 with data.
pub(super) fn created(message: &str, data: &Value) -> Response {
    let body = json!({ "status": true, "code": 201, "message": message, "data": data });
    respond(StatusCode::CREATED, &body)
}

/// Anything else with a reason. A failure of the server says 400 in its body.
pub(super) fn error(status: StatusCode, error: &str) -> Response {
    let code = if status == StatusCode::INTERNAL_SERVER_ERROR { 400 } else { status.as_u16() };
    let message = status.canonical_reason().unwrap_or_default();
    respond(status, &json!({ "status": false, "code": code, "message": message, "error": error }))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
