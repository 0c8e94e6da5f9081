//! Who calls, and whether the key may do it.
//!
//! A key is looked up once and then believed for ten seconds, so that a busy client costs no query per request; a key that
//! is revoked works for that long at most. Only the digest of a key is kept in memory, and nothing of it is logged.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use secrecy::SecretString;
use sincro_store::access::{Principal, Scope};

use crate::{
    problem::{Code, Problem},
    state::App,
};

/// SHA-256 of an API key.
pub(crate) type KeyDigest = [u8; 32];

/// Whose key the request carried; only behind [`require`].
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Principal);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("a call without a scope wants a caller"))
    }
}

/// Lets a request through whose key has the scope.
pub(crate) async fn require(
    State((app, scope)): State<(App, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = bearer(request.headers())?;
    let principal = authenticate(&app, key).await?;
    if principal.scope < scope {
        let (needed, given) = (scope.as_str(), principal.scope.as_str());
        return Err(Problem::new(Code::ScopeMissing, format!("the call needs scope {needed}, the key has {given}")));
    }
    tracing::Span::current().record("caller", principal.name.as_str());
    request.extensions_mut().insert(Caller(principal));
    Ok(next.run(request).await)
}

async fn authenticate(app: &App, key: &str) -> Result<Principal, Problem> {
    let mut fingerprint: KeyDigest = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    if let Some(principal) = app.keys.get(&fingerprint) {
        return Ok(principal);
    }
    let found = app.store.authenticate(&SecretString::from(key)).await?;
    let unknown = || Problem::of(Code::Unauthorized, "Authorization", "the API key is unknown or revoked");
    let principal = found.ok_or_else(unknown)?;
    app.keys.put(fingerprint, principal.clone());
    Ok(principal)
}

/// The key of `Authorization: Bearer <key>`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::of(Code::Unauthorized, "Authorization", "send Authorization: Bearer <API key>");
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, key) = value.split_once(' ').ok_or_else(missing)?;
    let key = key.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() { Ok(key) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.try_into().unwrap())])
    }

    #[test]
    fn a_key_comes_as_a_bearer_token() {
        for value in ["Bearer sincro_k", "bearer sincro_k", "BEARER  sincro_k"] {
            assert_eq!(bearer(&headers(value.as_bytes())).unwrap(), "sincro_k");
        }
    }

    #[test]
    fn anything_else_is_no_key() {
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code(), Code::Unauthorized);
        for value in [&b"Bearer"[..], b"Bearer ", b"Basic c2luY3JvOms=", b"sincro_k", b"Bearer \xff"] {
            let problem = bearer(&headers(value)).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::Unauthorized, Some("Authorization")));
        }
    }

    #[tokio::test]
    async fn a_caller_cannot_be_made_up_without_the_check() {
        let (mut parts, ()) = Request::new(()).into_parts();
        assert_eq!(Caller::from_request_parts(&mut parts, &()).await.unwrap_err().code(), Code::Internal);
    }
}
