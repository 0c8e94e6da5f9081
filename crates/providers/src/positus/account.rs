//! The field `account_update`: whether the number is still onboarded.

use sincro_core::hook::{Event, SessionChange};

use crate::{
    excerpt::{self, excerpt},
    json,
};

const FIELD: &str = "account_update";

/// What an update says of the session. A field of its own may be all that names the event.
pub(super) fn read(field: &str, value: &str) -> Event {
    let Some(update) = json::object(value) else { return Event::Unknown };
    let word = |path: &[&str]| {
        json::at(&update, path)
            .and_then(json::text)
            .map(|word| excerpt(&word, excerpt::BODY))
            .filter(|word| !word.is_empty())
    };
    let own_field = (!field.eq_ignore_ascii_case(FIELD)).then(|| field.to_ascii_uppercase());
    let Some(event) = word(&["event"]).or(own_field) else { return Event::Unknown };
    let reason = word(&["disconnection_info", "reason"]).or_else(|| word(&["reason"]));
    let by = word(&["disconnection_info", "initiated_by"]).map(|by| format!(", initiated by {by}"));
    let told = format!(
        "{event}{}{}",
        reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default(),
        by.unwrap_or_default()
    );
    match event.to_ascii_uppercase().as_str() {
        "ACCOUNT_RECONNECTED" => Event::Session(SessionChange::Up),
        // Whether a phone wakes up, or its owner connects it again: `ACCOUNT_RECONNECTED` ends it.
        "PARTNER_REMOVED" | "ACCOUNT_OFFBOARDED" => Event::Session(SessionChange::Lost(told)),
        "ACCOUNT_DELETED" => Event::Session(SessionChange::Ended(told)),
        "DISABLED_UPDATE" if word(&["ban_info", "waba_ban_state"]).is_some_and(|state| state == "DISABLE") => {
            Event::Session(SessionChange::Ended(told))
        }
        // Violations, restrictions, limits, verifications.
        known if known.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') => Event::Ignored,
        _ => Event::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(event: &str, reason: &str) -> Event {
        read(
            FIELD,
            &json!({"event": event, "disconnection_info": {"reason": reason, "initiated_by": "BUSINESS"}}).to_string(),
        )
    }

    #[test]
    fn whoever_was_removed_for_whatever_reason_can_come_back() {
        for reason in [
            "ACCOUNT_DISCONNECTED",
            "BUSINESS_DOWNGRADE",
            "CHANGE_NUMBER",
            "COMPANION_INACTIVITY",
            "PRIMARY_INACTIVITY",
            "USER_RE_REGISTERED",
        ] {
            let told = format!("PARTNER_REMOVED: {reason}, initiated by BUSINESS");
            assert!(
                matches!(of("PARTNER_REMOVED", reason), Event::Session(SessionChange::Lost(said)) if said == told),
                "{reason}"
            );
        }
        assert!(matches!(of("ACCOUNT_DELETED", "x"), Event::Session(SessionChange::Ended(_))));
    }

    #[test]
    fn an_offboarded_number_stops_and_a_reconnected_one_goes_on() {
        assert!(matches!(
            read(FIELD, r#"{"event":"ACCOUNT_OFFBOARDED"}"#),
            Event::Session(SessionChange::Lost(said)) if said == "ACCOUNT_OFFBOARDED"
        ));
        assert!(matches!(read(FIELD, r#"{"event":"ACCOUNT_RECONNECTED"}"#), Event::Session(SessionChange::Up)));
        assert!(matches!(read(FIELD, r#"{"event":"VERIFIED_ACCOUNT"}"#), Event::Ignored));
        assert!(matches!(read("account_reconnected", "{}"), Event::Session(SessionChange::Up)));
        assert!(matches!(
            read("account_offboarded", r#"{"reason":"HISTORY_SYNC_DEADLINE_EXPIRED"}"#),
            Event::Session(SessionChange::Lost(said)) if said == "ACCOUNT_OFFBOARDED: HISTORY_SYNC_DEADLINE_EXPIRED"
        ));
        for unknown in ["{}", "7", r#"{"event":"something else"}"#] {
            assert!(matches!(read(FIELD, unknown), Event::Unknown), "{unknown}");
        }
    }
}
