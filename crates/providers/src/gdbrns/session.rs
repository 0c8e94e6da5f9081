//! `GET /devices/me/status`: whether the device can work.

use sincro_core::gateway::Session;

use crate::json;

/// Both facts are written in two ways, with and without `is`.
pub(super) fn read(body: &str) -> Result<Session, String> {
    let answer = json::object(body.trim_start_matches('\u{feff}')).ok_or("a device status that is no object")?;
    let data = json::field(&answer, "data").unwrap_or(&answer);
    let flag = |names: [&str; 3]| names.iter().find_map(|name| json::field(data, name)).and_then(json::flag);
    Ok(Session {
        connected: flag(["is_connected", "connected", "isConnected"])
            .ok_or("a device status without `is_connected`")?,
        logged_in: flag(["is_logged_in", "logged_in", "isLoggedIn"]).ok_or("a device status without `is_logged_in`")?,
        keeps_history: None,
        clock: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_page_is_read_in_either_spelling() {
        let page = r#"{"status":true,"code":200,"message":"..","data":{"db_status":"active","client_loaded":true,"connected":true,"is_connected":true,"is_logged_in":true,"error":""}}"#;
        assert_eq!(read(page), Ok(Session { connected: true, logged_in: true, keeps_history: None, clock: None }));
        let short = r#"{"data":{"connected":false,"logged_in":true}}"#;
        assert_eq!(read(short), Ok(Session { connected: false, logged_in: true, keeps_history: None, clock: None }));
        for body in ["", "[]", "{}", r#"{"data":{"connected":true}}"#, r#"{"data":null}"#] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
