//! `GET /session/status`: whether the instance can work.
//!
//! The answer holds the instance's token and its proxy and storage settings; only three facts leave this file.

use serde_json::Value;
use sincro_core::gateway::Session;

use crate::json;

/// Old builds write `Connected` and `LoggedIn`. `history` comes from a map of texts, so it is `"100"` rather than 100; 0
/// means that nothing is kept (asternic/wuzapi, `GetStatus` as of April 2026).
pub(super) fn read(data: &str) -> Result<Session, String> {
    let data = json::object(data).ok_or("a session status that is no object")?;
    let flag = |names: [&str; 2]| names.iter().find_map(|name| json::field(&data, name)).and_then(json::flag);
    Ok(Session {
        connected: flag(["connected", "is_connected"]).ok_or("a session status without `connected`")?,
        logged_in: flag(["loggedIn", "logged_in"]).ok_or("a session status without `loggedIn`")?,
        keeps_history: json::field(&data, "history").and_then(kept).map(|kept| kept > 0),
        clock: None,
    })
}

fn kept(history: &Value) -> Option<i64> {
    json::text(history)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_page_is_read() {
        let data = r#"{"id":"b1","name":"acct-7","connected":true,"loggedIn":true,"token":"hush","jid":"5511999990000:12@s.whatsapp.net",
            "webhook":"","events":"Message,HistorySync","history":"100","proxy_config":{},"hmac_configured":true}"#;
        assert_eq!(
            read(data),
            Ok(Session { connected: true, logged_in: true, keeps_history: Some(true), clock: None })
        );
    }

    #[test]
    fn history_is_a_text_or_a_number_or_unsaid() {
        for (history, keeps) in [
            ("\"0\"", Some(false)),
            ("0", Some(false)),
            ("25", Some(true)),
            ("\"\"", None),
            ("null", None),
            ("[]", None),
        ] {
            let data = format!(r#"{{"Connected":false,"LoggedIn":"true","history":{history}}}"#);
            assert_eq!(
                read(&data),
                Ok(Session { connected: false, logged_in: true, keeps_history: keeps, clock: None }),
                "{history}"
            );
        }
    }

    #[test]
    fn a_status_that_says_nothing_is_unreadable() {
        for data in [
            "null",
            "[]",
            "\"unexpected\"",
            "{}",
            r#"{"connected":true}"#,
            r#"{"connected":"perhaps","loggedIn":true}"#,
        ] {
            assert!(read(data).is_err(), "{data}");
        }
    }
}
