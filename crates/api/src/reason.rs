//! Why something is paused or cancelled: said by whoever does it, or at least who it was.

use serde::Deserialize;
use sincro_store::access::Principal;

use crate::{body::Input, problem::Problem, text};

const LONGEST: usize = 500;

/// Why.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the phone is being replaced"}))]
pub(crate) struct Reason {
    /// Shown wherever something waits for it, 1 to 500 characters; the API key's name if left out.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

impl Input for Reason {
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl Reason {
    /// The reason that was given, or who did it.
    pub(crate) fn or_by(&self, caller: &Principal) -> Result<String, Problem> {
        match &self.reason {
            Some(reason) => text::line("reason", reason, LONGEST),
            None => Ok(format!("by {}", caller.name)),
        }
    }
}

/// A body that says nothing: none at all, or `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl Input for Nothing {
    fn absent() -> Option<Self> {
        Some(Self {})
    }
}

#[cfg(test)]
mod tests {
    use sincro_store::access::Scope;
    use uuid::Uuid;

    use super::*;
    use crate::body::parse;

    #[test]
    fn a_pause_without_a_reason_says_whose_it_is() {
        let caller = Principal { key_id: Uuid::nil(), name: "crm".into(), scope: Scope::Admin };
        let reason = |body: &[u8]| parse::<Reason>(body).unwrap().or_by(&caller);
        assert_eq!(reason(b"{}").unwrap(), "by crm");
        assert_eq!(reason(br#"{"reason":" moving house "}"#).unwrap(), "moving house");
        assert_eq!(reason(br#"{"reason":""}"#).unwrap_err().field(), Some("reason"));
    }
}
