//! A backend that does not give up: it repeats a request until it is answered, and remembers what was promised to it.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::Deed;
use crate::support::{Client, within};

/// Messages per address, always the same, so that what must be there does not depend on who asked last.
pub(super) const MESSAGES: u32 = 25;
/// A frozen API does not answer.
const PATIENCE: Duration = Duration::from_secs(8);
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A sync that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) sync: Uuid,
    pub(super) channel: usize,
    /// The person of a ticket sync.
    pub(super) person: Option<usize>,
}

/// Asks for what the plan says.
pub(super) struct Backend {
    pub(super) client: Client,
    /// By their numbers.
    pub(super) channels: Vec<Uuid>,
    /// Each person's first address, by channel.
    pub(super) addresses: Vec<Vec<String>>,
    promises: Mutex<Vec<Promise>>,
    asked: AtomicUsize,
    repeated: AtomicUsize,
    done: Mutex<Vec<&'static str>>,
}

impl Backend {
    pub(super) fn new(client: Client, channels: Vec<Uuid>, addresses: Vec<Vec<String>>) -> Self {
        Self {
            client,
            channels,
            addresses,
            promises: Mutex::default(),
            asked: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            done: Mutex::default(),
        }
    }

    /// Does what the plan asks for, however long it takes to be heard.
    pub(super) async fn perform(&self, deed: Deed) {
        match deed {
            Deed::SyncChannel { channel } => self.sync_channel(channel).await,
            Deed::SyncTicket { channel, person } => self.sync_ticket(channel, person).await,
            Deed::PauseSync { sync, after } => {
                let Some(sync) = self.recent(sync) else { return };
                self.steer("syncs", sync, "pause").await;
                tokio::time::sleep(after).await;
                self.steer("syncs", sync, "resume").await;
            }
            Deed::PauseChannel { channel, after } => {
                self.steer("channels", self.channels[channel], "pause").await;
                tokio::time::sleep(after).await;
                self.steer("channels", self.channels[channel], "resume").await;
            }
            Deed::Cancel { sync } => {
                if let Some(sync) = self.recent(sync) {
                    self.steer("syncs", sync, "cancel").await;
                }
            }
            Deed::Retry { sync } => {
                if let Some(sync) = self.recent(sync) {
                    self.steer("syncs", sync, "retry").await;
                }
            }
        }
    }

    pub(super) async fn sync_channel(&self, channel: usize) {
        let path = format!("/v1/channels/{}/syncs", self.channels[channel]);
        let body = json!({"messages_per_contact": MESSAGES});
        self.start(&path, &body, channel, None).await;
    }

    async fn sync_ticket(&self, channel: usize, person: usize) {
        let person = person % self.addresses[channel].len();
        let address = &self.addresses[channel][person];
        let path = format!("/v1/channels/{}/contacts/{address}/syncs", self.channels[channel]);
        self.start(&path, &json!({"messages": MESSAGES}), channel, Some(person)).await;
    }

    /// `pause`, `resume`, `cancel` or `retry`; whether it was taken.
    pub(super) async fn steer(&self, what: &str, id: Uuid, verb: &'static str) -> bool {
        let path = format!("/v1/{what}/{id}/{verb}");
        let (status, body) = self.insist(&|| self.client.request(Method::POST, &path)).await;
        assert!([200, 409].contains(&status), "{path}: {status} {body}");
        if status == 200 {
            self.done.lock().unwrap().push(verb);
        }
        status == 200
    }

    /// Everything that was accepted so far.
    pub(super) fn promises(&self) -> Vec<Promise> {
        self.promises.lock().unwrap().clone()
    }

    /// Whether this verb was ever taken.
    pub(super) fn has_done(&self, verb: &str) -> bool {
        self.done.lock().unwrap().contains(&verb)
    }

    /// How often each verb was taken, and how many requests had to be repeated.
    pub(super) fn tally(&self) -> String {
        let done = self.done.lock().unwrap();
        let verbs: BTreeSet<&str> = done.iter().copied().collect();
        let counts = verbs.iter().map(|verb| format!("{verb} {}", done.iter().filter(|done| done == &verb).count()));
        let counts: Vec<String> = counts.collect();
        format!("{}; {} requests repeated", counts.join(", "), self.repeated.load(Ordering::Relaxed))
    }

    async fn start(&self, path: &str, body: &Value, channel: usize, person: Option<usize>) {
        let key = format!("chaos-{}", self.asked.fetch_add(1, Ordering::Relaxed));
        let request = || self.client.request(Method::POST, path).header("Idempotency-Key", &key).json(body);
        let (status, answer) = self.insist(&request).await;
        // Refused: another sync of the whole channel is open.
        assert!([202, 409].contains(&status), "{path}: {status} {answer}");
        if status == 202 {
            let sync = answer["id"].as_str().and_then(|id| id.parse().ok()).expect("a sync has an id");
            self.promises.lock().unwrap().push(Promise { sync, channel, person });
        }
    }

    /// Repeats a request until its answer is one. Its key makes it one and the same request.
    async fn insist(&self, request: &(dyn Fn() -> RequestBuilder + Sync)) -> (u16, Value) {
        within("an answer of the API", async {
            loop {
                match request().timeout(PATIENCE).send().await {
                    Ok(answer) if answer.status().as_u16() == 503 => {
                        let headers = answer.headers();
                        assert!(headers.contains_key("retry-after"), "503 without Retry-After: {answer:?}");
                    }
                    Ok(answer) => {
                        let status = answer.status().as_u16();
                        if let Ok(text) = answer.text().await {
                            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
                            return (status, body);
                        }
                    }
                    Err(_) => {}
                }
                self.repeated.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        })
        .await
    }

    /// One of the syncs accepted lately.
    fn recent(&self, number: usize) -> Option<Uuid> {
        let promises = self.promises.lock().unwrap();
        let recent = &promises[promises.len().saturating_sub(10)..];
        (!recent.is_empty()).then(|| recent[number % recent.len()].sync)
    }
}
