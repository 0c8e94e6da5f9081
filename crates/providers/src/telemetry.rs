//! What is measured of gateways: how long each call takes and how it ends, and what could not be read.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use sincro_core::{
    gateway::{Answer, Call, Refusal},
    provider::Provider,
};

const CALL_SECONDS: &str = "sincro_gateway_call_seconds";
const LEFT_OUT: &str = "sincro_gateway_left_out_total";

/// Tells the metrics recorder what this crate's names mean; called once, after the recorder is installed.
pub fn describe_metrics() {
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "Gateway calls from sending to the last byte read; result is ok or the word of the refusal"
    );
    describe_counter!(LEFT_OUT, "Records of gateway answers that could not be taken over, by reason");
}

/// Records one finished call.
pub(crate) fn call_ended(provider: Provider, call: &Call, outcome: &Result<Answer, Refusal>, took: Duration) {
    let labels = [("provider", provider.as_str()), ("call", call.name()), ("result", word(outcome))];
    histogram!(CALL_SECONDS, &labels).record(took);
}

/// Records that parts of an answer were left out.
pub(crate) fn left_out(provider: Provider, call: &'static str, reason: &'static str, count: usize) {
    let labels = [("provider", provider.as_str()), ("call", call), ("reason", reason)];
    counter!(LEFT_OUT, &labels).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

fn word(outcome: &Result<Answer, Refusal>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(Refusal::Throttled { .. }) => "throttled",
        Err(Refusal::SessionLost { .. }) => "session_lost",
        Err(Refusal::Unauthorized { .. }) => "unauthorized",
        Err(Refusal::Permanent { code, .. } | Refusal::Transient { code, .. }) => code,
    }
}
