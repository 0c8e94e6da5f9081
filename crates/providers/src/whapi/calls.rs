//! Call -> request. Every path and query of this gateway is here.

use std::time::Duration;

use sincro_core::{
    address::Address,
    gateway::{Call, Refusal},
    media::MediaPlace,
    provider::Provider,
};
use url::Url;

use super::{
    place::{Lost, Offset, Place},
    settings,
};
use crate::{http::Request, wording::not_supported};

/// The most that both lists give at once; the least is 1.
pub(super) const LONGEST_PAGE: u32 = 500;

/// A resync holds for some 15 seconds, and its answer takes as long as the phone does: to give up sooner would waste what the phone
/// was asked for.
const RESYNC: Duration = Duration::from_secs(45);

/// The request of a call, without its token. `hook_key` is the secret that webhooks shall come with.
pub(super) fn request(base: &Url, call: &Call, hook_key: Option<&str>) -> Result<Request, Refusal> {
    let lost = |lost: Lost| Refusal::Permanent { code: "bad_cursor", detail: format!("{}: {lost}", call.name()) };
    match call {
        // Without it, looking at a sleeping channel would wake it up.
        Call::Status => Request::get(base, &["health"], &[("wakeup", "false")]),
        Call::Contacts { cursor } => {
            let offset = Offset::read(cursor.as_deref()).map_err(lost)?.0.to_string();
            let count = LONGEST_PAGE.to_string();
            Request::get(base, &["contacts"], &[("count", &count), ("offset", &offset)])
        }
        Call::LookUpLid { phone } => Request::get(base, &["contacts", "lids", digits(phone)], &[]),
        Call::History { address, limit, cursor, since } => {
            let place = Place::read(cursor.as_deref()).map_err(lost)?;
            let (count, offset) = (place.count(*limit).to_string(), place.offset.to_string());
            let until = place.until_s.map(|until_s| until_s.to_string());
            let mut query = vec![("count", count.as_str()), ("offset", offset.as_str()), ("sort", "desc")];
            let from = since.map(|since| since.timestamp().to_string());
            query.extend(from.as_deref().map(|from| ("time_from", from)));
            query.extend(until.as_deref().map(|until| ("time_to", until)));
            Request::get(base, &["messages", "list", address.as_str()], &query)
        }
        Call::Message { id, resync } => message(base, id, *resync),
        Call::Media { place: MediaPlace::Id(id), .. } => Request::get(base, &["media", id], &[]),
        Call::Subscriptions => Request::get(base, &["settings"], &[]),
        Call::Connect { url, kept } => {
            let body = settings::patch(url, hook_key, kept.as_ref()).ok_or_else(|| {
                let detail = format!("{}: what stands in the settings has to be read first", call.name());
                Refusal::Permanent { code: "subscriptions_unknown", detail }
            })?;
            Request::patch(base, &["settings"], body)
        }
        _ => Err(not_supported(Provider::Whapi, call)),
    }
}

/// One message. With `resync` the phone is asked for it, which is not repeated while it is looked for afterwards.
fn message(base: &Url, id: &str, resync: bool) -> Result<Request, Refusal> {
    // They would lead to another path.
    if matches!(id, "" | "." | "..") {
        return Err(Refusal::Permanent { code: "bad_request", detail: "message: no id of a message".to_owned() });
    }
    if resync {
        Ok(Request::get(base, &["messages", id], &[("resync", "true")])?.with_patience(RESYNC))
    } else {
        Request::get(base, &["messages", id], &[])
    }
}

/// A contact is named by its number alone: the gateway takes 7 to 15 digits and no domain.
fn digits(phone: &Address) -> &str {
    phone.as_str().split('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(call: &Call) -> Request {
        super::request(&"http://gate".parse().unwrap(), call, None).unwrap()
    }

    #[test]
    fn a_resync_is_waited_for_however_impatient_the_settings_are_and_a_plain_read_is_not() {
        let id = "PsqXn.SOAjx-xQA".to_owned();
        assert_eq!(request(&Call::Message { id: id.clone(), resync: true }).least_patience(), Duration::from_secs(45));
        assert_eq!(request(&Call::Message { id, resync: false }).least_patience(), Duration::ZERO);
    }
}
