//! Call -> request. Every path and query of this gateway is here.

use serde_json::json;
use sincro_core::{
    gateway::{Call, Refusal},
    provider::Provider,
};
use url::Url;

use super::webhook;
use crate::{http::Request, wording::not_supported};

/// The most that is asked for in one call. The gateway checks no range: 0 gives nothing, and a negative number everything or
/// an error (asternic/wuzapi, handlers as of April 2026).
const LIMIT: std::ops::RangeInclusive<u32> = 1..=100;

/// The request of a call, without its token. Cursors are ignored: neither list has pages.
pub(super) fn request(base: &Url, call: &Call) -> Result<Request, Refusal> {
    match call {
        Call::Status => Request::get(base, &["session", "status"], &[]),
        Call::Contacts { .. } => Request::get(base, &["user", "contacts"], &[]),
        Call::LookUpLid { phone } => Request::get(base, &["user", "lid", phone.as_str()], &[]),
        // An `Address` is digits and a domain, so `index`, which would list the chats of all tenants, cannot be sent.
        // As many as there may be, however few are wanted: see `messages`.
        Call::History { address, .. } => {
            let limit = LIMIT.end().to_string();
            Request::get(base, &["chat", "history"], &[("chat_jid", address.as_str()), ("limit", &limit)])
        }
        // All five, always: what is left out the gateway fills in from the last message of any chat.
        Call::TopUp { address, anchor, count } => {
            let query = [
                ("count", limited(*count).to_string()),
                ("chat_jid", address.to_string()),
                ("oldest_msg_id", anchor.message_id.clone()),
                ("oldest_msg_from_me", anchor.from_me.to_string()),
                ("oldest_msg_timestamp", anchor.sent_at.timestamp_millis().to_string()),
            ];
            let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
            Request::get(base, &["session", "history"], &query)
        }
        Call::Subscriptions => Request::get(base, &["webhook"], &[]),
        Call::Connect { url, .. } => {
            Request::post(base, &["webhook"], Some(&json!({"webhookurl": url, "events": webhook::EVENTS})))
        }
        _ => Err(not_supported(Provider::Wuzapi, call)),
    }
}

/// How many messages a call asks for.
pub(super) fn limited(limit: u32) -> u32 {
    limit.clamp(*LIMIT.start(), *LIMIT.end())
}
