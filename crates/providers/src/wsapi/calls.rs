//! Call -> request. Every path and body of this gateway is here.

use serde_json::json;
use sincro_core::{
    gateway::{Call, Refusal},
    media::MediaPlace,
    provider::Provider,
};
use url::Url;

use crate::{http::Request, wording::not_supported};

/// What the gateway takes for one chat; how much a phone gives is its own choice.
const COUNT: std::ops::RangeInclusive<u32> = 1..=500;

/// The request of a call, without its key.
pub(super) fn request(base: &Url, call: &Call) -> Result<Request, Refusal> {
    match call {
        Call::Status => Request::get(base, &["session", "status"], &[]),
        Call::Contacts { .. } => Request::get(base, &["contacts"], &[]),
        Call::RequestHistory { .. } => Request::post(base, &["session", "flush-history"], None),
        Call::TopUp { address, anchor, count } => {
            // The gateway takes a message for its own when its sender is its own number, which nobody has told us. So the sender is
            // always the person, in the form of the phone where that is known: a LID would be misjudged as well.
            let body = json!({
                "lastMessageId": anchor.message_id,
                "lastMessageSenderId": address.as_str(),
                "count": (*count).clamp(*COUNT.start(), *COUNT.end()),
            });
            Request::post(base, &["chats", address.as_str(), "messages"], Some(&body))
        }
        Call::Media { place: MediaPlace::Id(id), .. } => Request::get(base, &["media", "download"], &[("id", id)]),
        _ => Err(not_supported(Provider::Wsapi, call)),
    }
}
