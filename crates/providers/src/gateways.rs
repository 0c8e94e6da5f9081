//! The door of the crate: one call over one connection, measured.

use std::time::Duration;

use sincro_core::{
    channel::Connection,
    gateway::{Answer, Call, Refusal},
};
use tokio::time::Instant;

use crate::{contacts::ContactList, http::Http, media, media::FetchedMedia, registry, room::Held, telemetry};

/// How patient and how greedy a gateway call may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest a call may take, from the first byte sent to the last one read.
    pub call_timeout: Duration,
    /// The longest answer, counted after decompression.
    pub max_body_bytes: usize,
    /// The longest contact list; it goes to a file.
    pub max_contacts_bytes: usize,
    /// Room for all answers in memory together, beside what is free and one answer of full length.
    pub memory_bytes: usize,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
            max_body_bytes: 16 * 1_024 * 1_024,
            max_contacts_bytes: 256 * 1_024 * 1_024,
            memory_bytes: 8 * 1_024 * 1_024,
        }
    }
}

/// Why no gateway can be called at all; met at the start, never by a job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting makes no sense: fix the configuration.
    #[error("gateway setting {field} {problem}")]
    Setting {
        /// The field of [`GatewaySettings`].
        field: &'static str,
        /// What it has to be.
        problem: &'static str,
    },
    /// The HTTP client could not be built, as a rule because the system has no root certificates: install them.
    #[error("the HTTP client for gateways could not be built; are root certificates (ca-certificates) installed?")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A gateway's good answer.
#[derive(Debug)]
pub enum Answered {
    /// Read whole. It keeps its place in memory for as long as what is beside it is held.
    Whole(Answer, Held),
    /// To [`Call::Contacts`]: to be read piece by piece.
    Contacts(ContactList),
    /// To [`Call::Media`].
    Media(FetchedMedia),
}

/// All gateways, over one pool of connections. Clones share it.
#[derive(Debug, Clone)]
pub struct Gateways {
    http: Http,
}

impl Gateways {
    /// Checks the settings and builds the client; connects nowhere.
    pub fn new(settings: &GatewaySettings) -> Result<Self, Error> {
        let nothing = |duration: Duration| duration.is_zero();
        for (field, wrong) in [
            ("connect_timeout", nothing(settings.connect_timeout)),
            ("call_timeout", nothing(settings.call_timeout)),
            ("max_body_bytes", settings.max_body_bytes == 0),
            ("max_contacts_bytes", settings.max_contacts_bytes == 0),
        ] {
            if wrong {
                return Err(Error::Setting { field, problem: "must be more than 0" });
            }
        }
        Ok(Self { http: Http::new(settings)? })
    }

    /// Makes one call with exactly one HTTP request.
    ///
    /// A refusal's detail names the call and the cause and holds no secret. Dropping the future abandons the request.
    pub async fn call(&self, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        let provider = connection.channel.provider;
        let started = Instant::now();
        let outcome = registry::gateway(provider).call(&self.http, connection, call).await;
        let outcome = outcome.and_then(|answered| media::expected(call, answered));
        telemetry::call_ended(provider, call, &outcome, started.elapsed());
        outcome
    }

    /// Whether somebody answers at an address, such as our own for webhooks: with any good status, within five seconds. `Err` says
    /// what came instead.
    pub async fn knock(&self, url: &str) -> Result<(), String> {
        self.http.knock(url).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_nothing_is_refused_by_name() {
        let settings = GatewaySettings { max_body_bytes: 0, ..GatewaySettings::default() };
        let refused = Gateways::new(&settings).unwrap_err();
        assert_eq!(refused.to_string(), "gateway setting max_body_bytes must be more than 0");
    }
}
