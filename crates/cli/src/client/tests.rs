//! The client against prepared answers: what it sends, and what it makes of what comes back.

use serde_json::json;

use super::{
    canned::{Canned, answer},
    *,
};

async fn refusal(status: &str, body: &str) -> Error {
    let server = Canned::serving(vec![answer(status, body)]).await;
    Client::new(server.options()).unwrap().send(Call::get("v1/syncs")).await.unwrap_err()
}

#[tokio::test]
async fn a_call_carries_the_key_the_query_and_an_escaped_path() {
    let server = Canned::serving(vec![answer("200 OK", r#"{"id":7}"#)]).await;
    let call = Call::post("v1/channels/a b?/contacts/5511988887777@s.whatsapp.net")
        .query("after", Some("x y"))
        .query("limit", None::<u32>)
        .header("Idempotency-Key", Some("once"))
        .body(json!({"messages": 25}));
    let reply = Client::new(server.options()).unwrap().send(call).await.unwrap();
    assert_eq!(reply.read::<Value>().unwrap(), json!({"id": 7}));
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /base/v1/channels/a%20b%3F/contacts/5511988887777@s.whatsapp.net?after=x+y HTTP/1.1"),
        "{request}"
    );
    assert!(request.contains("authorization: Bearer k-1\r\n"), "{request}");
    assert!(request.contains("idempotency-key: once\r\n"), "{request}");
    assert!(request.ends_with(r#"{"messages":25}"#), "{request}");
}

#[tokio::test]
async fn a_problem_is_shown_with_its_code_and_field() {
    let body = r#"{"type":"about:blank","title":"Not acceptable","detail":"must be 1 to 100","code":"out_of_range","field":"messages","status":422}"#;
    let error = refusal("422 Unprocessable Entity", body).await;
    assert!(matches!(error, Error::Refused(_)));
    assert_eq!(error.to_string(), "Not acceptable: must be 1 to 100 (out_of_range, messages)");
}

#[tokio::test]
async fn an_answer_that_is_no_problem_document_is_quoted() {
    let error = refusal("502 Bad Gateway", "<html>nginx</html>").await;
    assert!(matches!(error, Error::Failed(_)));
    assert_eq!(error.to_string(), "the API failed: 502 Bad Gateway: <html>nginx</html>");
    assert_eq!(refusal("404 Not Found", "").await.to_string(), "404 Not Found");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let moved = "HTTP/1.1 301 Moved Permanently\r\nlocation: http://example.org/\r\ncontent-length: 0\r\n\r\n";
    let server = Canned::serving(vec![moved.to_owned()]).await;
    let error = Client::new(server.options()).unwrap().send(Call::get("v1")).await.unwrap_err();
    assert_eq!(error.to_string(), "the API failed: 301 Moved Permanently");
}

#[tokio::test]
async fn without_a_key_a_401_says_how_to_give_one() {
    let problem = r#"{"title":"Who are you?","code":"key_missing"}"#;
    let server = Canned::serving(vec![answer("401 Unauthorized", problem)]).await;
    let options = Global { api_key: Some(String::new().into()), ..server.options().clone() };
    let error = Client::new(&options).unwrap().send(Call::get("v1")).await.unwrap_err();
    assert!(error.to_string().starts_with("Who are you? (key_missing)\ngive a key with SINCRO_API_KEY"), "{error}");
    assert!(!server.requests()[0].contains("authorization"));
}

#[tokio::test]
async fn nobody_there_asks_whether_the_api_runs() {
    let server = Canned::serving(Vec::new()).await;
    let client = Client::new(server.options()).unwrap();
    let error = loop {
        // The server stops listening a moment after it was started.
        if let Err(error) = client.send(Call::get("v1")).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(error.to_string().contains("is `sincro all` running at http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_shape_names_the_call() {
    let server = Canned::serving(vec![answer("200 OK", "[]")]).await;
    let reply = Client::new(server.options()).unwrap().send(Call::get("v1/syncs")).await.unwrap();
    let error = reply.read::<sincro_core::sync::SyncStatus>().unwrap_err();
    assert!(error.to_string().starts_with("the answer to GET /v1/syncs is not understood: "), "{error}");
}
