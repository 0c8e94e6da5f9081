//! Meta's question whether a webhook address is ours: `hub.mode=subscribe`, a token, and a number that has to come back.

use secrecy::{ExposeSecret as _, SecretString};

use crate::hooks::{Query, same};

/// What is sent back goes to a page: nothing but what Meta's numbers could become.
const LONGEST: usize = 256;

/// None where nobody asks; `Err` for a wrong token, and for any where the channel has none.
pub(super) fn answer(token: Option<&SecretString>, query: &Query<'_>) -> Option<Result<String, ()>> {
    if query("hub.mode")? != "subscribe" {
        return Some(Err(()));
    }
    let given = query("hub.verify_token").unwrap_or_default();
    let is_right = token.is_some_and(|token| same(&given, token.expose_secret()));
    let challenge = query("hub.challenge").filter(|challenge| is_plain(challenge));
    Some(challenge.filter(|_| is_right).ok_or(()))
}

fn is_plain(challenge: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&challenge.len()) && challenge.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(token: Option<&str>, query: &[(&str, &str)]) -> Option<Result<String, ()>> {
        let token = token.map(SecretString::from);
        answer(token.as_ref(), &|name: &str| {
            query.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_challenge_comes_back_to_whoever_knows_the_token() {
        let asked = [("hub.mode", "subscribe"), ("hub.verify_token", "t0ken"), ("hub.challenge", "1158201444")];
        assert_eq!(answered(Some("t0ken"), &asked), Some(Ok("1158201444".to_owned())));
        assert_eq!(answered(Some("other"), &asked), Some(Err(())));
        assert_eq!(answered(None, &asked), Some(Err(())));
        assert_eq!(answered(Some("t0ken"), &[]), None, "nobody asks");
    }

    #[test]
    fn anything_else_is_refused() {
        for asked in [
            vec![("hub.mode", "unsubscribe"), ("hub.verify_token", "t"), ("hub.challenge", "1")],
            vec![("hub.mode", "subscribe"), ("hub.challenge", "1")],
            vec![("hub.mode", "subscribe"), ("hub.verify_token", "t")],
            vec![("hub.mode", "subscribe"), ("hub.verify_token", "t"), ("hub.challenge", "<script>")],
            vec![("hub.mode", "subscribe"), ("hub.verify_token", "t"), ("hub.challenge", "")],
        ] {
            assert_eq!(answered(Some("t"), &asked), Some(Err(())), "{asked:?}");
        }
    }
}
