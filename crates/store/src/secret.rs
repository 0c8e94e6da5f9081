//! Sealing credentials, and making and hashing API keys.
//!
//! Credentials are sealed with AES-256-GCM under the operator's key, bound to their channel's id, so a sealed value
//! moved to another row does not open.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::Error;

const KEY_BYTES: usize = 32;
const API_KEY_PREFIX: &str = "sincro_";

/// The key that seals credentials at rest (`SINCRO_SECRET_KEY`).
#[derive(Clone)]
pub struct SecretKey([u8; KEY_BYTES]);

/// A text that is not a key.
#[derive(Debug, thiserror::Error)]
#[error("must be base64 of exactly 32 bytes (make one with: openssl rand -base64 32)")]
pub struct BadSecretKey;

impl SecretKey {
    /// Reads base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, BadSecretKey> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| BadSecretKey)?;
        bytes.try_into().map(Self).map_err(|_| BadSecretKey)
    }

    /// Makes a key; the text is what [`SecretKey::from_base64`] reads.
    pub fn generate() -> Result<SecretString, Error> {
        Ok(SecretString::from(BASE64_STANDARD.encode(random_bytes()?)))
    }

    pub(crate) fn seal(&self, channel: Uuid, secret: &str) -> Result<Vec<u8>, Error> {
        let mut sealed = secret.as_bytes().to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(Aad::from(channel.as_bytes()), &mut sealed)
            .map_err(|_| Error::unreadable("credentials could not be sealed"))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, channel: Uuid, sealed: &[u8]) -> Result<SecretString, Error> {
        let damaged = || Error::Sealed("credentials do not open: was SINCRO_SECRET_KEY changed?".to_owned());
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = body.to_vec();
        let plain =
            self.cipher()?.open_in_place(nonce, Aad::from(channel.as_bytes()), &mut body).map_err(|_| damaged())?;
        Ok(SecretString::from(String::from_utf8(plain.to_vec()).map_err(|_| damaged())?))
    }

    /// A text that only this key makes of a secret, to tell whether two of one kind are the same.
    pub(crate) fn hash(&self, kind: &str, secret: &SecretString) -> Vec<u8> {
        let mut hash = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        hash.update(kind.as_bytes());
        hash.update(&[0]);
        hash.update(secret.expose_secret().as_bytes());
        hash.sign().as_ref().to_vec()
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Error> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).map_err(|_| Error::unreadable("the secret key is unusable"))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// A new API key: 256 random bits behind a prefix that secret scanners can find.
pub(crate) fn new_api_key() -> Result<SecretString, Error> {
    Ok(SecretString::from(format!("{API_KEY_PREFIX}{}", random_token()?)))
}

/// 256 random bits as 43 characters that are safe in an address.
pub(crate) fn random_token() -> Result<String, Error> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random_bytes()?))
}

fn random_bytes() -> Result<[u8; KEY_BYTES], Error> {
    let mut bytes = [0_u8; KEY_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::unreadable("the system gives no random numbers"))?;
    Ok(bytes)
}

pub(crate) fn hash_api_key(key: &SecretString) -> Vec<u8> {
    sha256(key.expose_secret().as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_base64("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap()
    }

    #[test]
    fn credentials_open_for_their_own_channel_only() {
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = key().seal(mine, r#"{"token":"t"}"#).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(key().open(mine, &sealed).unwrap().expose_secret(), r#"{"token":"t"}"#);
        assert!(key().open(other, &sealed).is_err());
    }

    #[test]
    fn a_damaged_or_short_seal_is_an_error_and_not_a_panic() {
        let channel = Uuid::from_u128(1);
        let mut sealed = key().seal(channel, "x").unwrap();
        *sealed.last_mut().unwrap() ^= 1;
        assert!(key().open(channel, &sealed).is_err());
        assert!(key().open(channel, &sealed[..3]).is_err());
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        assert!(SecretKey::from_base64("c2hvcnQ=").is_err());
        assert!(SecretKey::from_base64("not base64!").is_err());
    }

    #[test]
    fn two_api_keys_never_look_alike() {
        let (a, b) = (new_api_key().unwrap(), new_api_key().unwrap());
        assert_eq!(a.expose_secret().len(), API_KEY_PREFIX.len() + 43);
        assert_ne!(hash_api_key(&a), hash_api_key(&b));
    }
}
