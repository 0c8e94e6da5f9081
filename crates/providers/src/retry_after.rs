//! The wait that a gateway asks for with `Retry-After`.
//!
//! Both forms of RFC 9110 are read, seconds (fractions allowed, as some servers send them) and an HTTP date. A date is held
//! against the gateway's own `Date` where it sends one, so that a clock that is off does no harm. No wait at all counts as
//! none said: the caller's own wait grows with each refusal, a zero would not.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The longest wait taken from a header; a gateway that is further off its mind is asked again by then.
const LONGEST: Duration = Duration::from_hours(1);

/// The wait, more than nothing and at most an hour.
pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let said = text(headers, RETRY_AFTER)?;
    let wait = if let Ok(seconds) = said.parse::<f64>() {
        let beyond = if seconds > 0.0 { LONGEST } else { Duration::ZERO };
        Duration::try_from_secs_f64(seconds).unwrap_or(beyond)
    } else {
        let now = date(headers).unwrap_or(now);
        (http_date(said)? - now).to_std().unwrap_or_default()
    };
    Some(wait.min(LONGEST)).filter(|wait| !wait.is_zero())
}

/// When the gateway answered, by its own clock.
pub(crate) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    text(headers, DATE).and_then(http_date)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `Wed, 21 Oct 2026 07:28:00 GMT`; the two obsolete forms of the RFC are not worth their code.
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        read(&headers, "2026-10-21T07:27:30Z".parse().unwrap())
    }

    #[test]
    fn seconds_are_read_and_bounded_to_an_hour() {
        assert_eq!(wait("7", None), Some(Duration::from_secs(7)));
        assert_eq!(wait(" 1.5 ", None), Some(Duration::from_millis(1_500)));
        for long in ["86400", "99999999999999999999999", "inf"] {
            assert_eq!(wait(long, None), Some(LONGEST), "{long}");
        }
    }

    #[test]
    fn a_date_is_held_against_the_gateways_own_clock_where_it_shows_one() {
        let until = "Wed, 21 Oct 2026 07:28:00 GMT";
        assert_eq!(wait(until, None), Some(Duration::from_secs(30)));
        assert_eq!(wait(until, Some("Wed, 21 Oct 2026 07:27:50 GMT")), Some(Duration::from_secs(10)));
        assert_eq!(wait("Wed, 21 Oct 2037 07:28:00 GMT", None), Some(LONGEST));
    }

    #[test]
    fn no_wait_and_rubbish_say_nothing() {
        for nothing in ["0", "-3", "NaN", "", "soon", "Wed, 21 Oct 2020 07:28:00 GMT"] {
            assert_eq!(wait(nothing, None), None, "{nothing}");
        }
    }
}
