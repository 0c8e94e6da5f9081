//! What shows that a webhook comes from the gateway: a signature over its raw bytes, or a secret header.
//!
//! Signatures are HMAC-SHA256 in hexadecimal everywhere; what differs is the header, what stands before the digits, and which
//! of a channel's credentials is the key.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, HMAC_SHA256},
};
use sincro_core::{
    channel::Connection,
    hook::{Proof, Seal},
    provider::HookProof,
};

use crate::{credentials, registry::gateway};

/// How a provider's webhooks show where they come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    /// `header` holds `prefix` and the signature of the body, made with the credential `field`.
    Signature {
        /// Names in small letters; one of them is enough.
        headers: &'static [&'static str],
        prefix: &'static str,
        field: &'static str,
    },
    /// `header` holds the credential `field` itself.
    Secret { header: &'static str, field: &'static str },
}

impl Sign {
    /// The same, as the planner and people see it.
    pub(crate) const fn proof(self) -> HookProof {
        match self {
            Self::Signature { headers, .. } => HookProof::Signature(headers[0]),
            Self::Secret { header, .. } => HookProof::Secret(header),
        }
    }
}

/// Asks for a parameter of a query by its name.
pub(crate) type Query<'q> = dyn Fn(&str) -> Option<String> + 'q;

/// The answer to whoever registers a webhook address and asks whether it is ours: what has to be sent back, or `Err` where the
/// token is wrong. None where the provider has no such question, or this is none.
#[must_use]
pub fn challenge(connection: &Connection, query: &dyn Fn(&str) -> Option<String>) -> Option<Result<String, ()>> {
    gateway(connection.channel.provider).challenge(connection, query)
}

/// What the headers of a webhook for this channel say; see [`sincro_core::hook::Prove`].
#[must_use]
pub fn prove(connection: &Connection, header: &dyn Fn(&str) -> Option<String>) -> Proof {
    match gateway(connection.channel.provider).sign() {
        Sign::Signature { headers, prefix, field } => {
            let Some(key) = secret(connection, field) else { return Proof::Address };
            let given = headers.iter().find_map(|name| header(name));
            match given.as_deref().and_then(|given| digest(given.strip_prefix(prefix)?)) {
                Some(expected) => Proof::Signature(Box::new(Signature::new(&key, expected))),
                None => Proof::Missing(headers[0]),
            }
        }
        Sign::Secret { header: name, field } => {
            let Some(key) = secret(connection, field) else { return Proof::Address };
            match header(name) {
                Some(given) if same(&given, &key) => Proof::Secret,
                _ => Proof::Missing(name),
            }
        }
    }
}

/// The field of a channel's credentials that holds the secret of its webhooks, and whether it is there.
#[must_use]
pub fn hook_secret(connection: &Connection) -> (&'static str, bool) {
    let (Sign::Signature { field, .. } | Sign::Secret { field, .. }) = gateway(connection.channel.provider).sign();
    (field, secret(connection, field).is_some())
}

/// Whether two secrets are the same, in a time that says nothing about where they differ.
pub(crate) fn same(given: &str, secret: &str) -> bool {
    verify_slices_are_equal(given.as_bytes(), secret.as_bytes()).is_ok()
}

/// A credential of a channel by its name.
pub(crate) fn secret(connection: &Connection, field: &str) -> Option<String> {
    let given = credentials::given(connection).ok()?;
    Some(given.get(field)?.as_str()?.to_owned())
}

/// 32 bytes in hexadecimal.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

struct Signature {
    made: hmac::Context,
    expected: [u8; 32],
}

impl Signature {
    fn new(key: &str, expected: [u8; 32]) -> Self {
        Self { made: hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, key.as_bytes())), expected }
    }
}

impl Seal for Signature {
    fn take(&mut self, bytes: &[u8]) {
        self.made.update(bytes);
    }

    fn holds(self: Box<Self>) -> bool {
        verify_slices_are_equal(self.made.sign().as_ref(), &self.expected).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::DateTime;
    use serde_json::{Value, json};
    use sincro_core::{channel::Channel, limit::Limit, provider::Provider};
    use uuid::Uuid;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    // printf 'hello' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    const SIGNED: &str = "db68b47b63c2397eac785025b1c9c2103ae06c28998234a783b3eb6453d1ad70";

    fn proof(provider: Provider, credentials: &Value, headers: &[(&str, &str)]) -> Proof {
        let channel = Channel {
            id: Uuid::nil(),
            name: String::new(),
            provider,
            base_url: "http://localhost".parse().unwrap(),
            features: BTreeSet::new(),
            limit: Limit { rate_per_second: 1.0, burst: 1, concurrency: 1 },
            paused: None,
            hook_token: String::new(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        };
        let connection = Connection { channel, credentials: credentials.to_string().into() };
        let header =
            |name: &str| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        prove(&connection, &header)
    }

    fn holds(proof: Proof, bytes: &[&[u8]]) -> bool {
        let Proof::Signature(mut seal) = proof else { panic!("{proof:?}") };
        for bytes in bytes {
            seal.take(bytes);
        }
        seal.holds()
    }

    #[test]
    fn a_signature_is_made_of_the_raw_bytes_in_whatever_pieces_they_come() {
        let credentials = json!({"token": "t", "hmac_key": KEY});
        let signed = || proof(Provider::Wuzapi, &credentials, &[("x-hmac-signature", SIGNED)]);
        assert!(holds(signed(), &[b"hello"]));
        assert!(holds(signed(), &[b"he", b"", b"llo"]));
        assert!(!holds(signed(), &[b"hello "]));
        assert!(!holds(signed(), &[]));
    }

    #[test]
    fn without_a_signature_or_with_one_that_nobody_can_read_nothing_is_believed() {
        let credentials = json!({"token": "t", "hmac_key": KEY});
        for given in [None, Some(""), Some("abc"), Some(&SIGNED[1..]), Some(&*format!("sha256={SIGNED}"))] {
            let headers: Vec<_> = given.map(|given| ("x-hmac-signature", given)).into_iter().collect();
            assert!(matches!(proof(Provider::Wuzapi, &credentials, &headers), Proof::Missing("x-hmac-signature")));
        }
    }

    #[test]
    fn a_secret_header_is_the_secret_and_nothing_else() {
        let credentials = json!({"token": "t", "hook_key": "s3cret"});
        let given = |value| proof(Provider::Whapi, &credentials, &[("x-ingest-key", value)]);
        assert!(matches!(given("s3cret"), Proof::Secret));
        for wrong in ["S3cret", "s3cre", "s3cret ", ""] {
            assert!(matches!(given(wrong), Proof::Missing("x-ingest-key")), "{wrong:?}");
        }
        assert!(matches!(proof(Provider::Whapi, &credentials, &[]), Proof::Missing(_)));
    }

    #[test]
    fn a_channel_without_a_secret_believes_whoever_knows_its_address() {
        for provider in [Provider::Wuzapi, Provider::Whapi] {
            assert!(matches!(proof(provider, &json!({"token": "t"}), &[]), Proof::Address));
        }
    }
}
