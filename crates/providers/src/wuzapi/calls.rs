//! Call -> request. Every path and query of this gateway is here.

use sincro_core::{
    gateway::{Call, Refusal},
    provider::Provider,
};
use url::Url;

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
        Call::History { address, limit, .. } => {
            let limit = limited(*limit).to_string();
            Request::get(base, &["chat", "history"], &[("chat_jid", address.as_str()), ("limit", &limit)])
        }
        _ => Err(not_supported(Provider::Wuzapi, call)),
    }
}

/// How many messages a call asks for.
pub(super) fn limited(limit: u32) -> u32 {
    limit.clamp(*LIMIT.start(), *LIMIT.end())
}
