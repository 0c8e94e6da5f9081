//! The shape of every answer: `{"code":200,"data":...,"success":true}` or `{"code":500,"error":"...","success":false}`.
//!
//! Byte for byte as Go's encoder writes it: keys sorted, `<`, `>` and `&` escaped, a newline at the end.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// 200 with data.
pub(crate) fn ok(data: &Value) -> Response {
    respond(StatusCode::OK, &json!({ "code": 200, "data": data, "success": true }))
}

/// Anything else with a reason.
pub(crate) fn error(status: StatusCode, reason: &str) -> Response {
    respond(status, &json!({ "code": status.as_u16(), "error": reason, "success": false }))
}

/// A JSON text as Go writes it.
pub(crate) fn go_json(value: &Value) -> String {
    // The three occur nowhere in JSON but inside strings, so replacing them in the finished text is safe.
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Any body with the content type of the real server.
pub(crate) fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], go_json(body) + "\n").into_response()
}
