//! Numbers of the queue in the text format of Prometheus.

use std::fmt::{Display, Write as _};

use chrono::{DateTime, Utc};
use sincro_core::scaling::Scaling;
use sincro_queue::{Depth, LevelView};

/// A gauge: what it is, and its values by their labels.
fn gauge<T: Display>(name: &str, help: &str, values: impl IntoIterator<Item = (String, T)>) -> String {
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (labels, value) in values {
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    text
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("{name}=\"{value}\"")
}

/// Whether Redis answered, and how many jobs it holds.
pub(super) fn depth(depth: Option<Depth>) -> String {
    let up = [(String::new(), u8::from(depth.is_some()))];
    let mut text = gauge("sincro_queue_up", "Whether Redis answered this scrape.", up);
    if let Some(Depth { queued, running, delayed }) = depth {
        let states = [("queued", queued), ("running", running), ("delayed", delayed)];
        let values = states.map(|(state, jobs)| (label("state", state), jobs));
        text.push_str(&gauge("sincro_queue_depth", "Jobs in the queue, by state.", values));
    }
    text
}

/// How many workers are worth having.
pub(super) fn scaling(scaling: &Scaling) -> String {
    let Scaling { useful_workers, runnable_jobs, admissible_rate, reason: _ } = scaling;
    [
        gauge(
            "sincro_useful_workers",
            "Worker processes that the limits keep busy.",
            [(String::new(), useful_workers)],
        ),
        gauge(
            "sincro_runnable_jobs",
            "Jobs that could run if there were room for all.",
            [(String::new(), runnable_jobs)],
        ),
        gauge(
            "sincro_admissible_rate",
            "Gateway calls per second that the limits admit for them.",
            [(String::new(), admissible_rate)],
        ),
    ]
    .concat()
}

/// The provider servers' rates, and how long they still rest.
pub(super) fn servers(servers: &[(String, LevelView)], now: DateTime<Utc>) -> String {
    if servers.is_empty() {
        return String::new();
    }
    let rates = servers.iter().flat_map(|(server, seen)| {
        let kinds = [
            ("configured", seen.configured_rate),
            ("effective", seen.effective_rate),
            ("observed", Some(seen.observed_rate)),
        ];
        // A server without a limit has no rate but the observed one.
        let known = kinds.into_iter().filter_map(|(kind, rate)| rate.map(|rate| (kind, rate)));
        known.map(move |(kind, rate)| (format!("{},{}", label("server", server), label("kind", kind)), rate))
    });
    let cooldowns = servers.iter().map(|(server, seen)| {
        let left = seen.cooldown.as_ref().map(|cooldown| (cooldown.until - now).to_std().unwrap_or_default());
        (label("server", server), left.unwrap_or_default().as_secs_f64())
    });
    [
        gauge("sincro_server_rate", "Gateway calls per second of a provider server with work, by kind.", rates),
        gauge("sincro_server_cooldown", "Seconds that a provider server with work still rests.", cooldowns),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use sincro_core::limit::Cooldown;

    use super::*;

    #[test]
    fn the_depth_is_told_by_state() {
        let text = depth(Some(Depth { queued: 1_990, running: 8, delayed: 2 }));
        assert!(text.contains("sincro_queue_up 1\n"));
        assert!(text.contains("sincro_queue_depth{state=\"queued\"} 1990\n"));
        assert!(text.contains("sincro_queue_depth{state=\"running\"} 8\n"));
        assert!(text.ends_with("sincro_queue_depth{state=\"delayed\"} 2\n"));
    }

    #[test]
    fn without_redis_no_depth_is_better_than_an_old_one() {
        let text = depth(None);
        assert!(text.ends_with("sincro_queue_up 0\n") && !text.contains("sincro_queue_depth"));
    }

    #[test]
    fn the_scaling_signal_is_three_gauges() {
        let signal = Scaling { useful_workers: 3, runnable_jobs: 1_200, admissible_rate: 62.5, reason: String::new() };
        let text = scaling(&signal);
        for line in ["sincro_useful_workers 3\n", "sincro_runnable_jobs 1200\n", "sincro_admissible_rate 62.5\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), 3);
    }

    #[test]
    fn a_server_shows_the_rates_it_has_and_the_rest_of_its_cooldown() {
        let now = DateTime::UNIX_EPOCH;
        let limited = LevelView {
            configured_rate: Some(50.0),
            effective_rate: Some(25.0),
            observed_rate: 24.8,
            concurrency: Some(100),
            running: 4,
            cooldown: Some(Cooldown { until: now + TimeDelta::milliseconds(1_500), reason: "throttled".into() }),
        };
        let unlimited = LevelView {
            configured_rate: None,
            effective_rate: None,
            cooldown: Some(Cooldown { until: now - TimeDelta::seconds(1), reason: "over".into() }),
            ..limited.clone()
        };
        let text = servers(&[("wuzapi/a\"b:1".into(), limited), ("whapi/b".into(), unlimited)], now);
        for line in [
            "sincro_server_rate{server=\"wuzapi/a\\\"b:1\",kind=\"configured\"} 50\n",
            "sincro_server_rate{server=\"wuzapi/a\\\"b:1\",kind=\"effective\"} 25\n",
            "sincro_server_rate{server=\"whapi/b\",kind=\"observed\"} 24.8\n",
            "sincro_server_cooldown{server=\"wuzapi/a\\\"b:1\"} 1.5\n",
            "sincro_server_cooldown{server=\"whapi/b\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("server=\"whapi/b\",kind=\"configured\""));
        assert_eq!(servers(&[], now), "");
    }
}
