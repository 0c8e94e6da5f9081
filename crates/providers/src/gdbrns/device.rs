//! Which device a token opens: it says so itself, to whoever reads what is signed in it (`device_id`, source as of March 2026).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::json;

/// The device; none where the token is no such thing. Nothing is verified: it is the channel's own token.
pub(super) fn of(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims = json::object(str::from_utf8(&claims).ok()?)?;
    let device = ["device_id", "sub"].iter().find_map(|name| json::field(&claims, name)).and_then(json::text)?;
    (!device.trim().is_empty()).then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_which_device_it_opens_and_anything_else_says_nothing() {
        // {"alg":"HS256"} . {"device_id":"dev-1","api_key_id":7,"version":1}
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJkZXZpY2VfaWQiOiJkZXYtMSIsImFwaV9rZXlfaWQiOjcsInZlcnNpb24iOjF9.c2lnbmVk";
        assert_eq!(of(token).as_deref(), Some("dev-1"));
        for other in ["", "token", "a.b.c", "a.e30.c", "a.W10.c", "..", "a.eyJkZXZpY2VfaWQiOiIifQ.c"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
