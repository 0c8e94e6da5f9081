//! How a refusal is told, and how an order was taken: the call, the cause, and never a secret.

use sincro_core::{
    gateway::{Answer, Call, Refusal},
    provider::Provider,
};

use crate::{
    excerpt::{self, excerpt},
    http::Reply,
};

/// The words of one call.
pub(crate) struct Wording<'a> {
    pub(crate) call: &'a Call,
    /// Method and path.
    pub(crate) name: &'a str,
    /// Every secret that was sent; none is empty.
    pub(crate) secrets: &'a [&'a str],
}

impl Wording<'_> {
    /// The call and the cause.
    pub(crate) fn detail(&self, cause: &str) -> String {
        format!("{}: {}", self.name, excerpt(&self.redacted(cause), excerpt::CAUSE))
    }

    /// The refusal of an answer that cannot be read, with its beginning where that may be shown.
    pub(crate) fn unreadable(&self, cause: &str, body: &str) -> Refusal {
        let shown = match self.call {
            // They may hold a secret: the token, one of another receiver, or one that was just made. And one that the answer itself cut
            // short would pass the redaction.
            Call::Status | Call::Subscriptions | Call::Connect { .. } => String::new(),
            _ if body.trim().is_empty() => String::new(),
            _ => format!(": {}", excerpt(&self.redacted(body), excerpt::KEPT)),
        };
        let detail = format!("{}: the answer is {cause}{shown}", self.name);
        Refusal::Transient { code: "unreadable_answer", detail }
    }

    /// The answer to an order that was taken.
    pub(crate) fn accepted(&self, reply: &Reply) -> Answer {
        let body = excerpt(&self.redacted(&reply.body), excerpt::KEPT);
        Answer::Accepted(format!("{} {body}", reply.status).trim_end().to_owned())
    }

    /// Before anything is cut, so that no cut leaves a piece of a secret.
    fn redacted(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            redacted = redacted.replace(secret, "***");
        }
        redacted
    }
}

/// The refusal of a call that a provider has not.
pub(crate) fn not_supported(provider: Provider, call: &Call) -> Refusal {
    Refusal::Permanent { code: "not_supported", detail: format!("{provider} has no call for {}", call.name()) }
}
