//! Takes typed values out of the merged layers and collects what is wrong with them.
//!
//! A value that is refused is replaced by a stand-in nobody sees: [`Reader::finish`] gives nothing away once a problem
//! was noted.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::TimeDelta;
use config::{Map, Value, ValueKind};
use secrecy::SecretString;
use sincro_worker::target::{BadPlace, Place};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::Refused;

const SECRET_KEY_BYTES: usize = 32;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(super) struct Reader {
    values: Map<String, Value>,
    unread: Vec<String>,
    problems: Vec<String>,
}

impl Reader {
    pub(super) fn new(values: Map<String, Value>) -> Self {
        let mut unread: Vec<_> = values.keys().cloned().collect();
        unread.sort();
        Self { values, unread, problems: Vec::new() }
    }

    /// The configuration if all of it is right, else everything that is wrong.
    pub(super) fn finish<T>(mut self, config: T) -> Result<T, Refused> {
        self.problems.extend(self.unread.iter().map(|key| format!("{key}: there is no such key")));
        if self.problems.is_empty() { Ok(config) } else { Err(Refused(self.problems)) }
    }

    /// Notes a problem with the value of `key`, which is shown.
    pub(super) fn refuse(&mut self, key: &str, problem: &str) {
        let shown = self.values.get(key).map(|value| match &value.kind {
            // All variables are texts: one that holds a number is shown as one.
            ValueKind::String(text) if text.parse::<f64>().is_err() => format!(" = {text:?}"),
            _ => format!(" = {value}"),
        });
        self.note(key, &shown.unwrap_or_default(), problem);
    }

    /// Notes a problem with the value of `key`, which is a secret.
    fn refuse_unseen(&mut self, key: &str, problem: &str) {
        self.note(key, "", problem);
    }

    fn note(&mut self, key: &str, shown: &str, problem: &str) {
        let origin = self.values.get(key).and_then(Value::origin).unwrap_or("nowhere");
        self.problems.push(format!("{key}{shown} (from {origin}): {problem}"));
    }

    fn kind(&mut self, key: &str) -> ValueKind {
        self.unread.retain(|unread| unread != key);
        self.values.get(key).map(|value| value.kind.clone()).unwrap_or_default()
    }

    /// Numbers that stand where a text belongs are refused: `redis_namespace = 1` is more likely a mistake.
    fn text(&mut self, key: &str) -> Option<String> {
        match self.kind(key) {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn whole_number<T: TryFrom<i64> + Default>(&mut self, key: &str, bounds: RangeInclusive<i64>) -> T {
        let number = match self.kind(key) {
            ValueKind::I64(number) => Some(number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let fitting = number.filter(|number| bounds.contains(number)).and_then(|number| T::try_from(number).ok());
        fitting.unwrap_or_else(|| {
            let what = if number.is_some() { "must be" } else { "must be a whole number," };
            self.refuse(key, &format!("{what} {} to {}", bounds.start(), bounds.end()));
            T::default()
        })
    }

    /// None for 0.
    pub(super) fn days(&mut self, key: &str, bounds: RangeInclusive<i64>) -> Option<TimeDelta> {
        TimeDelta::try_days(self.whole_number(key, bounds)).filter(|days| !days.is_zero())
    }

    pub(super) fn seconds(&mut self, key: &str, bounds: RangeInclusive<f64>) -> Duration {
        let number = match self.kind(key) {
            #[expect(clippy::cast_precision_loss, reason = "numbers beyond 2^52 are out of every bound")]
            ValueKind::I64(number) => Some(number as f64),
            ValueKind::Float(number) => Some(number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| bounds.contains(number)).map_or_else(
            || {
                let what = if number.is_some() { "must be" } else { "must be a number of seconds," };
                self.refuse(key, &format!("{what} {} to {}", bounds.start(), bounds.end()));
                Duration::ZERO
            },
            Duration::from_secs_f64,
        )
    }

    pub(super) fn socket_address(&mut self, key: &str) -> SocketAddr {
        self.text(key).and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            self.refuse(key, "must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080");
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        })
    }

    /// None for an empty text.
    pub(super) fn optional_socket_address(&mut self, key: &str) -> Option<SocketAddr> {
        if self.text(key).as_deref() == Some("") { None } else { Some(self.socket_address(key)) }
    }

    pub(super) fn http_url(&mut self, key: &str) -> Option<Url> {
        let text = self.text(key);
        if text.as_deref() == Some("") {
            return None;
        }
        let url = text.and_then(|text| Url::parse(&text).ok()).filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        });
        if url.is_none() {
            self.refuse(key, "must be empty, or begin with http:// or https:// and have no query");
        }
        url
    }

    pub(super) fn secret_url(&mut self, key: &str, schemes: &[&str]) -> Option<SecretString> {
        let text = self.text(key);
        if text.as_deref() == Some("") {
            return None;
        }
        let right = text.filter(|text| Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme())));
        if right.is_none() {
            self.refuse_unseen(
                key,
                &format!("must be empty, or a URL that begins with {}://", schemes.join(":// or ")),
            );
        }
        right.map(SecretString::from)
    }

    /// What follows the scheme is up to the queue: lists of servers are no URLs.
    pub(super) fn redis_url(&mut self, key: &str) -> Option<SecretString> {
        let text = self.text(key);
        if text.as_deref() == Some("") {
            return None;
        }
        let url = SecretString::from(text.unwrap_or_default());
        match sincro_queue::check_redis_url(&url) {
            Ok(()) => Some(url),
            Err(error) => {
                let problem = match error {
                    sincro_queue::Error::Settings(problem) => problem,
                    other => other.to_string(),
                };
                self.refuse_unseen(key, &problem);
                None
            }
        }
    }

    pub(super) fn secret_key(&mut self, key: &str) -> Option<SecretString> {
        let text = self.text(key);
        if text.as_deref() == Some("") {
            return None;
        }
        let right =
            text.filter(|text| BASE64_STANDARD.decode(text.trim()).is_ok_and(|bytes| bytes.len() == SECRET_KEY_BYTES));
        if right.is_none() {
            self.refuse_unseen(key, "must be base64 of exactly 32 bytes (make one with: openssl rand -base64 32)");
        }
        right.map(SecretString::from)
    }

    pub(super) fn name(&mut self, key: &str) -> String {
        let allowed = |name: &String| {
            (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        self.text(key).filter(allowed).unwrap_or_else(|| {
            self.refuse(key, "must be 1 to 32 letters, digits, - or _");
            String::new()
        })
    }

    pub(super) fn media_place(&mut self, key: &str) -> Option<Place> {
        let read = self.text(key).ok_or(BadPlace).and_then(|text| Place::read(text.trim()));
        read.unwrap_or_else(|problem| {
            self.refuse(key, &problem.to_string());
            None
        })
    }

    /// The name of a key and the key: both or none.
    pub(super) fn key_pair(&mut self, name: &str, key: &str) -> Option<(String, SecretString)> {
        let plain = |text: &String, least| {
            text.is_empty() || (text.len() >= least && text.bytes().all(|byte| byte.is_ascii_graphic()))
        };
        let (name_text, key_text) = (self.text(name), self.text(key));
        let named = name_text.filter(|text| plain(text, 3));
        if named.is_none() {
            self.refuse_unseen(name, "must be empty, or at least 3 visible ASCII characters");
        }
        let secret = key_text.filter(|text| plain(text, 8));
        if secret.is_none() {
            self.refuse_unseen(key, "must be empty, or at least 8 visible ASCII characters");
        }
        let (named, secret) = (named?, secret?);
        if named.is_empty() != secret.is_empty() {
            let (missing, given) = if named.is_empty() { (name, key) } else { (key, name) };
            self.refuse_unseen(missing, &format!("is missing, and {given} is given"));
        }
        (!named.is_empty()).then(|| (named, secret.into()))
    }

    pub(super) fn truth(&mut self, key: &str) -> bool {
        let truth = match self.kind(key) {
            ValueKind::Boolean(truth) => Some(truth),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        truth.unwrap_or_else(|| {
            self.refuse(key, "must be true or false");
            false
        })
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> T {
        let text = self.text(key);
        let chosen = choices.iter().find(|(word, _)| Some(*word) == text.as_deref());
        chosen
            .unwrap_or_else(|| {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                self.refuse(key, &format!("must be {}", words.join(" or ")));
                &choices[0]
            })
            .1
    }

    pub(super) fn log_directives(&mut self, key: &str) -> String {
        let text = self.text(key).unwrap_or_default();
        if let Some(problem) = bad_log_directives(&text) {
            self.refuse(key, &problem);
        }
        text
    }
}

/// What is wrong with filter directives. Stricter than the parser, to which a misspelt level is the name of a module.
fn bad_log_directives(text: &str) -> Option<String> {
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let odd = text.split(',').map(str::trim).find(|part| !part.contains(['=', '[', ']', '{', '}']) && !is_level(part));
    match odd {
        Some(word) => Some(format!("{word:?} is not a level: one of {}, or module=level", LEVELS.join(", "))),
        None => EnvFilter::try_new(text).err().map(|error| format!("is not understood: {error}")),
    }
}
