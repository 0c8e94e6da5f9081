//! How a refusal is told: the call, the cause, and never the token.

use sincro_core::gateway::{Call, Refusal};

use crate::excerpt::{self, excerpt};

/// The words of one call.
pub(crate) struct Wording<'a> {
    pub(crate) call: &'a Call,
    /// Method and path.
    pub(crate) name: &'a str,
    pub(crate) token: &'a str,
}

impl Wording<'_> {
    /// The call and the cause.
    pub(crate) fn detail(&self, cause: &str) -> String {
        format!("{}: {}", self.name, excerpt(&self.redacted(cause), excerpt::CAUSE))
    }

    /// The refusal of an answer that cannot be read, with its beginning where that may be shown.
    pub(crate) fn unreadable(&self, cause: &str, body: &str) -> Refusal {
        let shown = match self.call {
            // It may hold the token, and one that the answer itself cut short would pass the redaction.
            Call::Status => String::new(),
            _ if body.trim().is_empty() => String::new(),
            _ => format!(": {}", excerpt(&self.redacted(body), excerpt::BODY)),
        };
        let detail = format!("{}: the answer is {cause}{shown}", self.name);
        Refusal::Transient { code: "unreadable_answer", detail }
    }

    /// Before anything is cut, so that no cut leaves a piece of the token.
    fn redacted(&self, text: &str) -> String {
        text.replace(self.token, "***")
    }
}
