//! What is measured of gateways: how long each call takes and how it ends, and what could not be read.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use sincro_core::{
    gateway::{Call, Refusal},
    provider::Provider,
};

use crate::gateways::Answered;

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
pub(crate) fn call_ended(provider: Provider, call: &Call, outcome: &Result<Answered, Refusal>, took: Duration) {
    let labels = [("provider", provider.as_str()), ("call", call.name()), ("result", word(outcome))];
    histogram!(CALL_SECONDS, &labels).record(took);
}

/// Records that parts of an answer were left out.
pub(crate) fn left_out(provider: Provider, call: &'static str, reason: &'static str, count: usize) {
    let labels = [("provider", provider.as_str()), ("call", call), ("reason", reason)];
    counter!(LEFT_OUT, &labels).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

fn word(outcome: &Result<Answered, Refusal>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(Refusal::Throttled { .. }) => "throttled",
        Err(Refusal::SessionLost { .. }) => "session_lost",
        Err(Refusal::Unreachable { .. }) => "unreachable",
        Err(Refusal::Unauthorized { .. }) => "unauthorized",
        Err(Refusal::Banned { .. }) => "banned",
        Err(Refusal::Permanent { code, .. } | Refusal::Transient { code, .. }) => code,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString};

    use sincro_core::gateway::Answer;

    use super::*;
    use crate::room::Held;

    /// Notes every histogram value with the key it came under.
    #[derive(Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    struct Note {
        key: String,
        notes: Arc<Mutex<Vec<String>>>,
    }

    impl HistogramFn for Note {
        fn record(&self, value: f64) {
            self.notes.lock().unwrap().push(format!("{} = {value}", self.key));
        }
    }

    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            self.0.lock().unwrap().push(format!("{} in {unit:?}", name.as_str()));
        }
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let key = format!("{} {}", key.name(), labels.join(" "));
            Histogram::from_arc(Arc::new(Note { key, notes: Arc::clone(&self.0) }))
        }
    }

    #[test]
    fn a_call_is_measured_under_its_provider_its_name_and_how_it_ended() {
        let notes = Notes::default();
        metrics::with_local_recorder(&notes, || {
            describe_metrics();
            let took = Duration::from_millis(250);
            call_ended(Provider::Wuzapi, &Call::Status, &Ok(Answered::Whole(Answer::Lid(None), Held::default())), took);
            let timeout = Err(Refusal::Transient { code: "timeout", detail: String::new() });
            call_ended(Provider::Wuzapi, &Call::Contacts { cursor: None }, &timeout, took);
        });
        assert_eq!(
            *notes.0.lock().unwrap(),
            [
                "sincro_gateway_call_seconds in Some(Seconds)",
                "sincro_gateway_call_seconds provider=wuzapi call=status result=ok = 0.25",
                "sincro_gateway_call_seconds provider=wuzapi call=contacts result=timeout = 0.25",
            ]
        );
    }
}
