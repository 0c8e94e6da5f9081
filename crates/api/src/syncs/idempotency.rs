//! The `Idempotency-Key` of a request that creates something.

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use sincro_store::access::{Idempotency, Principal};

use crate::problem::{Code, Problem};

pub(super) const HEADER: &str = "Idempotency-Key";
const LONGEST: usize = 255;

/// The key, and the line of the request that it belongs to.
pub(crate) struct IdempotencyKey {
    key: Option<String>,
    line: String,
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self { key: read(&parts.headers)?, line: format!("{} {}\n", parts.method, parts.uri.path()) })
    }
}

impl IdempotencyKey {
    /// What the ledger remembers: whose key it is, and the whole request it stands for.
    pub(super) fn with(self, caller: &Principal, body: &Bytes) -> Option<Idempotency> {
        let request = || [self.line.as_bytes(), body].concat();
        self.key.map(|key| Idempotency { key_id: caller.key_id, key, request: request() })
    }
}

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let usable = (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if usable && values.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(Problem::of(Code::BadIdempotencyKey, HEADER, "must be 1 to 255 visible ASCII characters, given once")),
    }
}

#[cfg(test)]
mod tests {
    use sincro_store::access::Scope;
    use uuid::Uuid;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| ("idempotency-key".parse().unwrap(), (*value).try_into().unwrap())).collect()
    }

    #[test]
    fn a_key_is_1_to_255_visible_characters() {
        assert_eq!(read(&headers(&[])).unwrap(), None);
        assert_eq!(read(&headers(&[b"order-7!"])).unwrap().as_deref(), Some("order-7!"));
        assert!(read(&headers(&[&[b'x'; 255]])).is_ok());
        for bad in [&[b'x'; 256][..], b"", b"two words", b"caf\xc3\xa9"] {
            let problem = read(&headers(&[bad])).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::BadIdempotencyKey, Some(HEADER)), "{bad:?}");
        }
        assert!(read(&headers(&[b"a", b"b"])).is_err());
    }

    #[test]
    fn a_key_stands_for_method_path_and_body() {
        let caller = Principal { key_id: Uuid::from_u128(1), name: String::new(), scope: Scope::Enqueue };
        let key = || IdempotencyKey { key: Some("k".into()), line: "POST /v1/x\n".into() };
        let request = |body: &'static [u8]| key().with(&caller, &Bytes::from_static(body)).unwrap().request;
        assert_eq!(request(b"{}"), b"POST /v1/x\n{}");
        assert_ne!(request(b"{}"), request(b"{ }"));
        let none = IdempotencyKey { key: None, line: String::new() };
        assert!(none.with(&caller, &Bytes::new()).is_none());
    }
}
