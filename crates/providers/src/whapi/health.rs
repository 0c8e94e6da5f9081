//! `GET /health?wakeup=false`: the state of the channel, in a word.
//!
//! Known are `NOT_INIT`, `INIT`, `LAUNCH`, `QR`, `AUTH`, `ERROR`, `SYNC_ERROR` and `STOP`. The number beside the word is known
//! for some of them only, so the word decides; what it means for the session is the verdict's.

use serde_json::Value;

use crate::json;

/// Words are shorter than this; the rest of what stands in their place is not shown.
const LONGEST: usize = 40;

/// The word, in capital letters.
pub(super) fn read(body: &str) -> Result<String, String> {
    let health = json::object(body.trim_start_matches('\u{feff}')).ok_or("a health that is no object")?;
    let word = json::at(&health, &["status", "text"]).or_else(|| json::field(&health, "status"));
    let word = word.and_then(Value::as_str).map(str::trim).filter(|word| !word.is_empty());
    let word = word.ok_or("a health without a status in words")?;
    Ok(word.chars().filter(|c| !c.is_control()).take(LONGEST).collect::<String>().to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_of_the_page_is_read() {
        let body = r#"{"channel_id":"CH-1","start_at":1766000000,"uptime":3600,"version":"1.8",
            "status":{"code":4,"text":"AUTH"},"user":{"id":"5511999990000","name":"Acme"}}"#;
        assert_eq!(read(body).as_deref(), Ok("AUTH"));
        assert_eq!(read(r#"{"status":"Sync_Error"}"#).as_deref(), Ok("SYNC_ERROR"));
    }

    #[test]
    fn the_number_beside_the_word_decides_nothing() {
        assert_eq!(read(r#"{"status":{"code":4,"text":"QR"}}"#).as_deref(), Ok("QR"));
        for body in [r#"{"status":{"code":4}}"#, r#"{"status":4}"#, r#"{"status":{"text":" "}}"#, "{}", "[]", "null"] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
