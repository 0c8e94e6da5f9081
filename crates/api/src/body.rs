//! Reading a JSON body, with a refusal that names what is wrong with it and where.
//!
//! The raw bytes are kept beside what they say, because an `Idempotency-Key` stands for exactly them.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use futures::StreamExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};

use crate::{
    problem::{Code, Problem},
    state::App,
};

/// The largest body of a call that takes no lists.
const SMALL_BODY: usize = 1024 * 1024;
/// A client that sends too much is listened to for so long, so that it hears the answer instead of a broken line.
const PATIENCE: Duration = Duration::from_secs(5);
/// A field name of the client is repeated up to this length.
const LONGEST_NAME: usize = 80;

/// A shape that a body can have.
pub(crate) trait Input: DeserializeOwned {
    /// The largest body of this shape.
    const MAX_BYTES: usize = SMALL_BODY;

    /// What no body at all, or `null`, stands for; none where a body is needed.
    fn absent() -> Option<Self> {
        None
    }
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Json<T> {
    /// What it says.
    pub(crate) value: T,
    /// How it was written.
    pub(crate) bytes: Bytes,
}

impl<S: Sync, T: Input> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, T::MAX_BYTES).await?;
        if bytes.is_empty() {
            let nothing = || Problem::new(Code::BadJson, "the body is empty; a JSON object is needed");
            return Ok(Self { value: T::absent().ok_or_else(nothing)?, bytes });
        }
        if !is_json(&parts.headers) {
            let detail = "send the body as Content-Type: application/json";
            return Err(Problem::of(Code::UnsupportedMediaType, "Content-Type", detail));
        }
        let value = match T::absent() {
            Some(default) => parse::<Option<T>>(&bytes)?.unwrap_or(default),
            None => parse(&bytes)?,
        };
        Ok(Self { value, bytes })
    }
}

/// Lets calls with large bodies through a few at a time; the others are not read meanwhile.
pub(crate) async fn one_by_one(State(app): State<App>, request: Request, next: Next) -> Response {
    let _leave = if is_large(request.headers()) { app.large_bodies.acquire().await.ok() } else { None };
    next.run(request).await
}

/// Whether a body is long, or does not say how long it is.
fn is_large(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match declared.and_then(|text| text.parse::<usize>().ok()) {
        Some(length) => length > SMALL_BODY,
        None => headers.contains_key(header::TRANSFER_ENCODING),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let declared: Option<usize> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let too_large = || Problem::new(Code::BodyTooLarge, format!("the body has more than {max_bytes} bytes"));
    let mut stream = body.into_data_stream();
    if declared.is_some_and(|length| length > max_bytes) {
        // Who waits for "100 Continue" has sent nothing yet; everybody else is in the middle of sending.
        if !headers.contains_key(header::EXPECT) {
            hear_out(stream, max_bytes).await;
        }
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(declared.unwrap_or_default());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::BadJson, "the body ended early"))?;
        if bytes.len() + chunk.len() > max_bytes {
            hear_out(stream, max_bytes).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

/// Throws away what still comes, as far as it is worth it.
async fn hear_out(mut stream: BodyDataStream, as_much_again: usize) {
    let mut left = as_much_again.saturating_mul(2);
    let rest = async {
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whether it ended or time ran out makes no difference.
    let _ = tokio::time::timeout(PATIENCE, rest).await;
}

/// Reads JSON; a refusal names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(Code::BadUtf8, format!("byte {} of the body is not UTF-8", error.valid_up_to()))
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| explain(&error))?;
    json.end().map_err(|error| Problem::new(Code::BadJson, error.to_string()))?;
    Ok(value)
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let message = error.inner().to_string();
    if !error.inner().is_data() {
        return Problem::new(Code::BadJson, message);
    }
    let path = match error.path().to_string() {
        root if root == "." => String::new(),
        path => path,
    };
    // serde tells these apart in its messages only.
    let code = if message.starts_with("unknown field ") {
        Code::UnknownField
    } else if message.starts_with("missing field ") {
        Code::MissingField
    } else {
        Code::InvalidValue
    };
    let named = match code {
        Code::InvalidValue if !message.starts_with("duplicate field ") => None,
        _ => message.split('`').nth(1),
    };
    match named {
        Some(name) => Problem::of(code, join(&path, name), message),
        None if path.is_empty() => Problem::of(code, "body", message),
        None => Problem::of(code, path, message),
    }
}

/// The path of a field of the object at `path`, which may end in the field's own name already.
fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(LONGEST_NAME).collect();
    let parent = path.strip_suffix(name.as_str()).filter(|rest| rest.is_empty() || rest.ends_with('.'));
    match parent.unwrap_or(path).trim_end_matches('.') {
        "" => name,
        parent => format!("{parent}.{name}"),
    }
}

/// A list of which at most `MAX` elements are kept, however many come; all are counted.
#[derive(Debug)]
pub(crate) struct AtMost<T, const MAX: usize> {
    /// The first elements.
    pub(crate) items: Vec<T>,
    /// How many there were.
    pub(crate) total: usize,
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting(PhantomData))
    }
}

struct Counting<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Counting<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = AtMost { items: Vec::new(), total: 0 };
        while list.total < MAX {
            let Some(element) = elements.next_element()? else { return Ok(list) };
            list.items.push(element);
            list.total += 1;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            list.total += 1;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[serde(default, rename = "count")]
        _count: u32,
        #[serde(rename = "inner")]
        _inner: Option<Inner>,
        #[serde(default, rename = "list")]
        _list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "name")]
        _name: String,
    }

    impl Input for Shape {
        const MAX_BYTES: usize = 100;

        fn absent() -> Option<Self> {
            Some(Self::default())
        }
    }

    impl Input for Inner {}

    fn refusal(body: &str) -> (Code, Option<String>) {
        let problem = parse::<Shape>(body.as_bytes()).unwrap_err();
        (problem.code(), problem.field().map(str::to_owned))
    }

    #[test]
    fn a_body_is_large_when_it_says_so_or_does_not_say() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(header::HeaderName::from_static(name), header::HeaderValue::from_static(value))])
        };
        assert!(is_large(&headers("content-length", "1048577")) && is_large(&headers("transfer-encoding", "chunked")));
        assert!(!is_large(&headers("content-length", "1048576")) && !is_large(&HeaderMap::new()));
    }

    #[test]
    fn a_refusal_names_the_field_by_its_path() {
        for (body, code, field) in [
            (r#"{"count":"ten"}"#, Code::InvalidValue, "count"),
            (r#"{"count":-1}"#, Code::InvalidValue, "count"),
            (r#"{"count":1.5}"#, Code::InvalidValue, "count"),
            (r#"{"count":null}"#, Code::InvalidValue, "count"),
            (r#"{"count":1,"count":2}"#, Code::InvalidValue, "count"),
            (r#"{"colour":1}"#, Code::UnknownField, "colour"),
            (r#"{"inner":{}}"#, Code::MissingField, "inner.name"),
            (r#"{"inner":{"name":"a","colour":1}}"#, Code::UnknownField, "inner.colour"),
            (r#"{"list":[{"name":"a"},{"name":7}]}"#, Code::InvalidValue, "list[1].name"),
            (r#"{"list":[{"name":"a"},{"nom":7}]}"#, Code::UnknownField, "list[1].nom"),
            (r#"{"list":{}}"#, Code::InvalidValue, "list"),
            ("[1]", Code::InvalidValue, "body"),
            ("null", Code::InvalidValue, "body"),
        ] {
            assert_eq!(refusal(body), (code, Some(field.to_owned())), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_json_that_does_not_fit() {
        for body in ["{", "{}{}", r#"{"count":1,}"#, r#"{"count":"\ud800"}"#, "hello", "\u{feff}{}"] {
            assert_eq!(refusal(body).0, Code::BadJson, "{body}");
        }
        let invalid = parse::<Shape>(b"{\"count\":\"\xff\"}").unwrap_err();
        assert_eq!((invalid.code(), invalid.field()), (Code::BadUtf8, None));
    }

    #[test]
    fn a_long_list_is_counted_and_not_kept() {
        let list: AtMost<u8, 3> = parse(b"[1,2,3,{\"rest\":[]},5]").unwrap();
        assert_eq!((list.items, list.total), (vec![1, 2, 3], 5));
        let list: AtMost<u8, 3> = parse(b"[1,2]").unwrap();
        assert_eq!((list.items.len(), list.total), (2, 2));
        assert_eq!(parse::<AtMost<u8, 3>>(b"[1,\"2\"]").unwrap_err().field(), Some("[1]"));
    }

    async fn status(uri: &str, content_type: Option<&str>, body: impl Into<Body>) -> u16 {
        let router = Router::new()
            .route("/shape", post(async |json: Json<Shape>| json.bytes.len().to_string()))
            .route("/needed", post(async |_: Json<Inner>| ()));
        let mut request = Request::post(uri);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        router.oneshot(request.body(body.into()).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn an_empty_body_stands_for_the_defaults_where_there_are_any() {
        assert_eq!(status("/shape", None, "").await, 200);
        assert_eq!(status("/shape", Some("application/json"), "null").await, 200);
        assert_eq!(status("/needed", None, "").await, 400);
        assert_eq!(status("/needed", Some("application/json"), "null").await, 422);
    }

    #[tokio::test]
    async fn a_body_must_be_declared_as_json() {
        assert_eq!(status("/shape", Some("application/json; charset=utf-8"), "{}").await, 200);
        assert_eq!(status("/shape", Some("application/merge-patch+json"), "{}").await, 200);
        assert_eq!(status("/shape", Some("application/x-www-form-urlencoded"), "{}").await, 415);
        assert_eq!(status("/shape", None, "{}").await, 415);
    }

    #[tokio::test]
    async fn a_body_may_have_the_limit_and_not_a_byte_more_whether_declared_or_not() {
        let json = Some("application/json");
        let body = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
        assert_eq!(status("/shape", json, body(100)).await, 200);
        assert_eq!(status("/shape", json, body(101)).await, 413);
        let chunks = |length: usize| {
            let bytes = body(length).into_bytes();
            let chunks: Vec<_> = bytes.chunks(7).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
            Body::from_stream(futures::stream::iter(chunks))
        };
        assert_eq!(status("/shape", json, chunks(100)).await, 200);
        assert_eq!(status("/shape", json, chunks(101)).await, 413);
    }
}
