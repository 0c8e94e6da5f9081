//! Call -> request. Every path and query of this gateway is here.

use sincro_core::{
    address::Address,
    gateway::{Call, Refusal},
    provider::Provider,
};
use url::Url;

use super::place::{Lost, Offset, Place};
use crate::{http::Request, wording::not_supported};

/// The most that both lists give at once; the least is 1.
pub(super) const LONGEST_PAGE: u32 = 500;

/// The request of a call, without its token.
pub(super) fn request(base: &Url, call: &Call) -> Result<Request, Refusal> {
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
        Call::History { address, limit, cursor, .. } => {
            let place = Place::read(cursor.as_deref()).map_err(lost)?;
            let (count, offset) = (place.count(*limit).to_string(), place.offset.to_string());
            let until = place.until_s.map(|until_s| until_s.to_string());
            let mut query = vec![("count", count.as_str()), ("offset", offset.as_str()), ("sort", "desc")];
            query.extend(until.as_deref().map(|until| ("time_to", until)));
            Request::get(base, &["messages", "list", address.as_str()], &query)
        }
        _ => Err(not_supported(Provider::Whapi, call)),
    }
}

/// A contact is named by its number alone: the gateway takes 7 to 15 digits and no domain.
fn digits(phone: &Address) -> &str {
    phone.as_str().split('@').next().unwrap_or_default()
}
