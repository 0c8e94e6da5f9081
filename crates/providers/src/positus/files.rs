//! A file at the address that an answer named: given the token only where that is at home.

use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use sincro_core::{channel::Connection, gateway::Refusal};
use url::Url;

use super::credentials::Credentials;
use crate::{
    http::Http,
    media::{self, FetchedMedia},
};

/// Where Meta has files; it asks for the token there.
const META: [&str; 3] = ["facebook.com", "fbsbx.com", "whatsapp.net"];

pub(super) async fn at(
    http: &Http,
    connection: &Connection,
    credentials: &Credentials,
    link: &str,
    most: u64,
) -> Result<FetchedMedia, Refusal> {
    media::at_link(http, link, most, |url, request| {
        if !is_at_home(url, &connection.channel.base_url) {
            return Some(request);
        }
        let token = credentials.access_token.expose_secret();
        request.with_secret(AUTHORIZATION, &format!("Bearer {token}"))
    })
    .await
}

/// Whether an address is the gateway's own, or Meta's.
fn is_at_home(url: &Url, base: &Url) -> bool {
    let metas = |host: &str| {
        META.iter().any(|meta| host.strip_suffix(meta).is_some_and(|sub| sub.is_empty() || sub.ends_with('.')))
    };
    url.origin() == base.origin() || (url.scheme() == "https" && url.host_str().is_some_and(metas))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_the_gateway_and_to_meta_and_to_nobody_else() {
        let base: Url = "https://api.positus.global/prefix".parse().unwrap();
        for (url, given) in [
            ("https://api.positus.global/files/1", true),
            ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", true),
            ("https://graph.facebook.com/v20.0/1", true),
            ("https://mmg.whatsapp.net/a", true),
            ("http://lookaside.fbsbx.com/a", false),
            ("http://api.positus.global/files/1", false),
            ("https://api.positus.global:8443/files/1", false),
            ("https://evilfbsbx.com/a", false),
            ("https://fbsbx.com.example.org/a", false),
        ] {
            assert_eq!(is_at_home(&url.parse().unwrap(), &base), given, "{url}");
        }
    }
}
