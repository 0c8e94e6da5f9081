//! The shape of every answer: bare data, or `{"error":{...}}`, or the same without its wrapper.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::server::Server;

/// 200 with data.
pub(super) fn ok(data: &Value) -> Response {
    respond(StatusCode::OK, data)
}

/// Anything else with a reason.
pub(super) fn error(server: &Server, status: StatusCode, message: &str) -> Response {
    let error = json!({ "code": status.as_u16(), "message": message, "details": "", "href": "", "support": "" });
    let bare = server.readings.with(|readings| readings.bare_errors);
    respond(status, &if bare { error } else { json!({ "error": error }) })
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}
