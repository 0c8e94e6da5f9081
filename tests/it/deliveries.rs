//! Gateways that take a request and deliver later, by webhook: from the request over HTTP to a receipt that adds up.
//!
//! The simulator posts to the real address for webhooks; times are short, and no test waits longer than it has to.

mod allowing;
mod checking;
mod crash;
mod deep;
mod gdbrns;
mod inbox;
mod media;
mod positus;
mod readings;
mod refusing;
mod restoring;
mod topping_up;
mod trouble;
mod windows;
mod wsapi;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sincro_core::{
    drill::Point,
    job::{JobLine, JobState},
    message::StoredMessage,
    receipt::{Receipt, ReceiptLine},
    sync::{SyncId, SyncStatus},
};
use sincro_simulator::{AccountMessage, Hook, Population, Provider, Settings, Told};
use uuid::Uuid;

use crate::support::{
    Api, Gateway, World, audit::count, gateway::people, process::Process, stage::FAST, within, world::Setting,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Short waits. What has to come comes within milliseconds; what must not come is waited for no longer than this.
const HASTY: [Setting<'_>; 9] = [
    ("SINCRO_DELIVERY_QUIET_SECONDS", "1"),
    ("SINCRO_DELIVERY_BEGINS_SECONDS", "1"),
    ("SINCRO_DELIVERY_DEADLINE_SECONDS", "4"),
    ("SINCRO_EVENT_DEADLINE_SECONDS", "3"),
    ("SINCRO_PHONE_DEADLINE_SECONDS", "0.5"),
    ("SINCRO_PHONE_SILENCES", "2"),
    ("SINCRO_PHONE_QUIET_SECONDS", "0.2"),
    ("SINCRO_PHONE_SPACING_SECONDS", "0"),
    ("SINCRO_INITIAL_SYNC_SECONDS", "2"),
];

/// One number at one gateway that posts to us, and everything that runs for it.
struct Line {
    api: Api,
    channel: Uuid,
    gateway: Gateway,
    world: World,
}

impl Line {
    async fn of(provider: Provider, population: Population) -> Self {
        Self::with(Settings { provider, population, ..Settings::default() }, &[]).await
    }

    async fn with(gateway: Settings, settings: &[Setting<'_>]) -> Self {
        let world = World::waiting(&[&HASTY[..], settings].concat()).await;
        Self::served_by("all", world, gateway).await
    }

    /// Nobody works but whom the test starts.
    async fn without_worker(gateway: Settings, settings: &[Setting<'_>]) -> Self {
        let world = World::waiting(&[&HASTY[..], settings].concat()).await;
        Self::served_by("api", world, gateway).await
    }

    async fn served_by(verb: &str, world: World, gateway: Settings) -> Self {
        let gateway = Gateway::start(gateway).await;
        let api = world.listening(verb, &[]).await;
        let body = json!({
            "name": "number", "provider": gateway.provider().as_str(), "base_url": gateway.base_url(),
            "credentials": credentials(&gateway), "features": ["import_messages"], "limit": FAST,
        });
        let created: Value = api.post_json("/v1/channels", &body).await.ok();
        gateway.hooks().set(Some(hook(&gateway, created["hook_url"].as_str().unwrap())));
        Self { channel: created["id"].as_str().unwrap().parse().unwrap(), api, gateway, world }
    }

    /// Webhooks come although our address for the outside leads nowhere.
    async fn reached_at_its_own_address(self) -> Self {
        let channel = self.api.channel(self.channel).await;
        let url: url::Url = channel["hook_url"].as_str().unwrap().parse().unwrap();
        let own = format!("{}{}", self.api.base(), url.path());
        self.gateway.hooks().set(Some(hook(&self.gateway, &own)));
        self
    }

    /// A worker that ends where it is told to.
    fn worker_to_die_at(&self, point: Point) -> Process {
        let order = format!("abort={point}:1");
        self.world.start(&["worker"], &[("SINCRO_DRILL", &order), ("SINCRO_PUBLIC_URL", self.api.base())])
    }

    async fn worker(&self) -> Process {
        self.world.worker_with(&[("SINCRO_PUBLIC_URL", self.api.base())]).await
    }

    /// The number is paired while everything looks on; what the gateway tells of it has been read.
    async fn paired(&self) {
        self.gateway.pair(self.gateway.token()).unwrap();
        self.settled().await;
    }

    /// Everything that the gateway has to say was said, and read.
    async fn settled(&self) {
        within("the gateway's last word", self.gateway.hooks().idle()).await;
        let read = async {
            while self.world.number("SELECT count(*) FROM inbox WHERE state IN ('unread', 'arriving')").await > 0 {}
        };
        within("the end of the inbox", read).await;
    }

    async fn sync(&self) -> SyncStatus {
        let sync = self.api.start_sync(self.channel, 25).await.id;
        self.api.end_of(sync).await
    }

    /// The job that asked for everything.
    async fn account_job(&self, sync: SyncId) -> JobLine {
        let jobs = self.api.jobs(sync).await;
        jobs.into_iter().find(|job| job.contact_id.is_none()).expect("a job for the whole number")
    }

    /// Until the sync's jobs wait, so many of them, for this.
    async fn until_waiting(&self, sync: SyncId, so_many: usize, what: &str) {
        let waiting = async {
            loop {
                let jobs = self.api.jobs(sync).await;
                let waits = |job: &&JobLine| {
                    job.state == JobState::Awaiting
                        && job.waiting_for.as_deref().is_some_and(|told| told.starts_with(what))
                };
                if jobs.iter().filter(waits).count() == so_many {
                    return;
                }
            }
        };
        within(&format!("{so_many} jobs that wait for {what}"), waiting).await;
    }

    async fn receipt(&self, end: &SyncStatus) -> Receipt {
        let receipt = self.api.receipt(end.id).await;
        adds_up(&receipt, end);
        receipt
    }

    /// The messages that are stored are the account's, each once and under its person.
    async fn holds_the_truth(&self) {
        let truth = self.gateway.truth().account(usize::MAX);
        let mut expected: BTreeMap<&str, &AccountMessage> =
            truth.iter().map(|message| (message.message_id.as_str(), message)).collect();
        assert_eq!(expected.len(), truth.len());
        let mut threads: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for stored in self.api.messages(self.channel).await {
            let Some(message) = expected.remove(stored.message_id.as_str()) else {
                panic!("not the account's: {stored:?}")
            };
            is_the_same(&stored, message);
            let person = message.phone_jid.clone().or(message.lid.clone()).unwrap();
            threads.entry(person).or_default().insert(stored.contact_id);
        }
        assert!(expected.is_empty(), "{} are missing, such as {:?}", expected.len(), expected.values().next());
        assert!(threads.values().all(|contacts| contacts.len() == 1), "one person, one thread: {threads:?}");
    }
}

fn credentials(gateway: &Gateway) -> Value {
    let (token, name) = (gateway.token(), gateway.name_of(gateway.token()).unwrap());
    match gateway.provider() {
        Provider::Wuzapi => json!({"token": token, "hmac_key": SECRET}),
        Provider::Whapi => json!({"token": token, "hook_key": SECRET}),
        Provider::Wsapi => json!({"api_key": token, "instance_id": name, "signing_secret": SECRET}),
        Provider::Positus => {
            json!({"access_token": token, "number_id": name, "app_secret": SECRET, "verify_token": "verify me"})
        }
        Provider::Gdbrns => json!({"token": token, "webhook_secret": SECRET}),
    }
}

fn hook(gateway: &Gateway, url: &str) -> Hook {
    match gateway.provider() {
        Provider::Whapi => Hook::to(url).with_header("X-Ingest-Key", SECRET),
        _ => Hook::to(url).signed(SECRET),
    }
}

fn is_the_same(stored: &StoredMessage, message: &AccountMessage) {
    assert_eq!((stored.sent_at, stored.from_me), (message.sent_at, message.from_me), "{message:?}");
    let text = message.text.replace('\0', "");
    assert_eq!(stored.text.as_deref(), Some(text.as_str()).filter(|text| !text.is_empty()), "{message:?}");
    if message.told != Told::Placeholder {
        assert_eq!(json!(stored.kind), json!(message.kind), "{message:?}");
    }
}

/// The lines sum up to the totals, and each explains itself.
fn adds_up(receipt: &Receipt, end: &SyncStatus) {
    assert_eq!((receipt.sync_id, receipt.jobs, receipt.messages), (end.id, end.jobs, end.messages));
    let sum = |of: fn(&ReceiptLine) -> i64| receipt.lines.iter().map(of).sum::<i64>();
    assert_eq!(sum(|line| line.fetched), receipt.messages.fetched);
    assert_eq!(sum(|line| line.stored), receipt.messages.stored);
    assert_eq!(sum(|line| line.duplicate), receipt.messages.duplicate);
    assert_eq!(sum(|line| line.left_out), receipt.messages.left_out);
    let persons: BTreeSet<_> = receipt.lines.iter().filter_map(|line| line.contact_id).collect();
    assert_eq!(receipt.contacts, count(persons.len()));
    for line in &receipt.lines {
        assert_eq!(line.fetched, line.stored + line.duplicate, "{line:?}");
        let explained = match line.outcome {
            JobState::Succeeded => line.contact_id.is_none() || line.fetched > 0,
            JobState::Empty => {
                let told = line.reason.is_some() || line.contact_id.is_some() || receipt.messages.left_out > 0;
                line.fetched == 0 && told
            }
            JobState::Skipped | JobState::Failed => line.reason.is_some(),
            _ => false,
        };
        assert!(explained, "a line that explains nothing: {line:?}");
    }
}

/// So many people, all of them with something to tell.
fn talkative(contacts: u32) -> Population {
    Population { share_empty: 0.0, ..people(contacts) }
}
