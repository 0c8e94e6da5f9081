//! Times as other people write them.

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value;

/// Above this a number counts milliseconds: as seconds it would lie in the year 5138.
const LARGEST_SECONDS: i64 = 100_000_000_000;
/// No message is older (2000-01-01) or from later (2100-01-01). Outside lie the zero times of Go (year 1) and of Unix, which
/// mean that nobody set a time, numbers of other units, and what Postgres could not hold.
const PLAUSIBLE_S: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// An RFC 3339 text, or seconds or milliseconds since 1970 as a number or a text; to the microsecond, as Postgres keeps it.
/// None when it is no such time, or not a plausible one.
pub(crate) fn read(value: &Value) -> Option<DateTime<Utc>> {
    let moment = match value {
        Value::Number(number) => since_1970(number.as_i64()?),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => since_1970(number),
            Err(_) => DateTime::parse_from_rfc3339(text.trim()).ok().map(|moment| moment.to_utc()),
        },
        _ => None,
    }?;
    PLAUSIBLE_S.contains(&moment.timestamp()).then(|| moment.trunc_subsecs(6))
}

fn since_1970(number: i64) -> Option<DateTime<Utc>> {
    if number > LARGEST_SECONDS { DateTime::from_timestamp_millis(number) } else { DateTime::from_timestamp(number, 0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_moment_is_read_from_every_way_to_write_it() {
        let moment: DateTime<Utc> = "2026-01-10T09:00:00Z".parse().unwrap();
        for written in [
            json!("2026-01-10T09:00:00Z"),
            json!("2026-01-10T06:00:00-03:00"),
            json!("2026-01-10T09:00:00.000000123Z"),
            json!(1_768_035_600),
            json!("1768035600"),
            json!(1_768_035_600_000_i64),
        ] {
            assert_eq!(read(&written), Some(moment), "{written}");
        }
    }

    #[test]
    fn unset_implausible_and_unreadable_times_are_none() {
        for written in [
            json!("0001-01-01T00:00:00Z"),
            json!(0),
            json!(-5),
            json!(u64::MAX),
            json!(i64::MAX),
            json!("9999-12-31T23:59:59Z"),
            json!("yesterday"),
            json!(""),
            json!(null),
            json!({}),
            json!(1.5),
        ] {
            assert_eq!(read(&written), None, "{written}");
        }
    }
}
