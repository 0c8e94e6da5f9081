//! Call -> request. Every path of this gateway is here.

use sincro_core::{
    gateway::{Call, Refusal},
    media::MediaPlace,
    provider::Provider,
};
use url::Url;

use crate::{http::Request, wording::not_supported};

/// The request of a call for a number, without its token. There is no call that shows a session, and none that shows how far a
/// request is.
pub(super) fn request(base: &Url, call: &Call, number_id: &str) -> Result<Request, Refusal> {
    let number = ["v2", "whatsapp", "numbers", number_id];
    let what = match call {
        Call::Media { place: MediaPlace::Id(id), .. } => {
            return Request::get(base, &[&number[..], &["media", id]].concat(), &[]);
        }
        Call::RequestContacts => "sync-contacts",
        // How much comes is decided by the phone's owner and by Meta.
        Call::RequestHistory { .. } => "sync-message-history",
        _ => return Err(not_supported(Provider::Positus, call)),
    };
    Request::post(base, &[&number[..], &["onboarding-smb-app", what]].concat(), None)
}
