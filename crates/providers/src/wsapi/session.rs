//! `GET /session/status`: whether the instance can work.

use sincro_core::gateway::Session;

use crate::json;

/// Whether history was kept at pairing is nowhere to be read.
pub(super) fn read(body: &str) -> Result<Session, String> {
    let status = json::object(body.trim_start_matches('\u{feff}')).ok_or("a session status that is no object")?;
    let flag = |name| json::field(&status, name).and_then(json::flag);
    Ok(Session {
        connected: flag("isConnected").ok_or("a session status without `isConnected`")?,
        logged_in: flag("isLoggedIn").ok_or("a session status without `isLoggedIn`")?,
        keeps_history: None,
        clock: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_page_is_read_and_one_that_says_nothing_is_not() {
        let body = r#"{"isConnected":true,"isLoggedIn":true,"deviceId":"5511999990000:3@s.whatsapp.net"}"#;
        assert_eq!(read(body), Ok(Session { connected: true, logged_in: true, keeps_history: None, clock: None }));
        for body in ["", "[]", "{}", r#"{"isConnected":true}"#, r#"{"isConnected":"perhaps","isLoggedIn":true}"#] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
