//! Call -> request. Every path of this gateway is here.

use sincro_core::{
    gateway::{Call, Refusal},
    provider::Provider,
};
use url::Url;

use crate::{http::Request, wording::not_supported};

/// The request of a call for a number, without its token. There is no call that shows a session, and none that shows how far a
/// request is.
pub(super) fn request(base: &Url, call: &Call, number_id: &str) -> Result<Request, Refusal> {
    let what = match call {
        Call::RequestContacts => "sync-contacts",
        // How much comes is decided by the phone's owner and by Meta.
        Call::RequestHistory { .. } => "sync-message-history",
        _ => return Err(not_supported(Provider::Positus, call)),
    };
    Request::post(base, &["v2", "whatsapp", "numbers", number_id, "onboarding-smb-app", what], None)
}
