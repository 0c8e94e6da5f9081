//! What a provider's folder has to say for the rest of the simulator to serve it: the one place that knows which there are.
//!
//! People, chats, the gate with its log, limit and faults, and the steering are the same for all. A contract brings its paths,
//! reads from the head of a call what it is about, and has words of its own for what goes wrong.

use std::{fmt, sync::Arc};

use axum::{Router, extract::Request, response::Response};
use serde::{Deserialize, Serialize};

use crate::{archive::Keeping, call_log::Arrival, faults::Fault, server::Server, whapi::Whapi, wuzapi::Wuzapi};

/// Whose contract all channels of a simulator speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// asternic/wuzapi.
    #[default]
    Wuzapi,
    /// Whapi.Cloud.
    Whapi,
}

impl Provider {
    /// The name that the product knows it by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wuzapi => "wuzapi",
            Self::Whapi => "whapi",
        }
    }

    pub(crate) fn contract(self) -> &'static dyn Contract {
        match self {
            Self::Wuzapi => &Wuzapi,
            Self::Whapi => &Whapi,
        }
    }
}

/// One provider's contract.
pub(crate) trait Contract: fmt::Debug + Send + Sync {
    /// The calls it answers. Each handler finds the [`Pretence`](crate::gate::Pretence) of its call in the request.
    fn router(&self, server: Arc<Server>) -> Router;

    /// What a call is about, read from its head alone.
    fn arrival(&self, server: &Server, request: &Request) -> Arrival;

    /// Whether a fault can be told to this call at all.
    fn concerns(&self, fault: &Fault, arrival: &Arrival) -> bool;

    /// A fault that has words of the provider's own; none for those that look alike everywhere.
    fn tell(&self, server: &Server, fault: &Fault) -> Option<Response>;

    /// For calls that were kept waiting when the simulator stops.
    fn stopping(&self) -> Response;

    /// What its store keeps of a message, and in which order it gives a chat.
    fn keeping(&self) -> Keeping;
}
