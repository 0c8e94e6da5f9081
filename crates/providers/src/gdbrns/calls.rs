//! Call -> request. Every path and body of this gateway is here.

use serde_json::json;
use sincro_core::{
    gateway::{Call, Refusal},
    provider::Provider,
};
use url::Url;

use super::webhooks::EVENTS;
use crate::{http::Request, wording::not_supported};

/// What the gateway's description allows; it does not check it.
const COUNT: std::ops::RangeInclusive<u32> = 1..=100;

/// The request of a call, without its token.
pub(super) fn request(base: &Url, call: &Call) -> Result<Request, Refusal> {
    match call {
        Call::Status => Request::get(base, &["devices", "me", "status"], &[]),
        Call::Contacts { .. } => Request::get(base, &["users", "me", "contacts"], &[]),
        Call::RequestHistory { count } => {
            let body = json!({"count": (*count).clamp(*COUNT.start(), *COUNT.end())});
            Request::post(base, &["history", "sync"], Some(&body))
        }
        Call::Subscriptions => Request::get(base, &["webhooks"], &[]),
        Call::Connect { url, .. } => Request::post(base, &["webhooks"], Some(&json!({"url": url, "events": EVENTS}))),
        _ => Err(not_supported(Provider::Gdbrns, call)),
    }
}
