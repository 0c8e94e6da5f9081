//! A database of its own for each test, and the few gestures that all tests share.

use std::{collections::BTreeSet, time::Duration};

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::{
    address::Address,
    awaiting::Pace,
    channel::{Channel, Feature},
    clock,
    contact::Contact,
    gateway::ContactsPiece,
    job::{Ending, Job, JobId, Outcome, Step},
    limit::Limit,
    message::{Message, MessageKind},
    notice::{Entry, Notice},
    provider::{Capabilities, Provider},
    sync::{SyncId, SyncKind, SyncStatus},
};
use sincro_store::{
    SecretKey, Store,
    channels::{NewChannel, NewCredentials},
    settle::{Fence, Recorded, Settled, Settlement},
    syncs::NewSync,
};
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) const WUZAPI: Capabilities =
    Capabilities { lid_lookup: true, ..Capabilities::per_address(Provider::Wuzapi) };
pub(crate) const ATTEMPTS: u32 = 3;
/// Phones that may be asked one request after the other.
pub(crate) const AT_ONCE: Pace = Pace { gap: Duration::ZERO, per_hour: 1_000, per_day: 10_000 };

/// A fresh ledger with one channel. Its database is dropped with it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) channel: Channel,
    pub(crate) epoch: i64,
    /// For looking at rows that the ledger's own functions do not show.
    pub(crate) sql: PgPool,
    _database: Database,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = Database::create().await;
        let key = SecretKey::from_base64("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
        let store = Store::connect(&database.url, 8, Some(key)).await.unwrap();
        store.migrate().await.unwrap();
        let channel = create_channel(&store, Provider::Wuzapi, "http://127.0.0.1:1").await;
        let mut restoration = store.lock_restoration("test", 0).await.unwrap().unwrap();
        let epoch = restoration.begin_epoch(2).await.unwrap();
        restoration.end().await.unwrap();
        let sql = PgPool::connect(&database.url).await.unwrap();
        Self { store, channel, epoch, sql, _database: database }
    }

    /// One more channel, at this gateway.
    pub(crate) async fn channel_at(&self, provider: Provider, base_url: &str) -> Channel {
        create_channel(&self.store, provider, base_url).await
    }

    pub(crate) fn wanted(&self, contacts: Option<Vec<Contact>>) -> NewSync {
        NewSync {
            channel: self.channel.id,
            kind: SyncKind::Channel,
            messages_wanted: 25,
            contacts,
            only: None,
            deep: false,
            window_days: None,
            capabilities: WUZAPI,
            max_attempts: ATTEMPTS,
            idempotency: None,
        }
    }

    /// A sync of these contacts, planned at once, with its open jobs.
    pub(crate) async fn sync_of(&self, contacts: Vec<Contact>) -> (SyncId, Vec<Job>) {
        let created = self.store.create_sync(self.wanted(Some(contacts))).await.unwrap();
        let jobs = self.jobs(&ids_of(&created.notice.unwrap())).await;
        (created.id, jobs)
    }

    /// A sync whose contacts the gateway lists, with its plan job.
    pub(crate) async fn unplanned_sync(&self) -> (SyncId, Job) {
        let created = self.store.create_sync(self.wanted(None)).await.unwrap();
        let job = self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
        (created.id, job)
    }

    pub(crate) async fn plan(&self, job: &Job, contacts: Vec<Contact>, next: Option<&str>) -> (Recorded, Vec<JobId>) {
        let page = ContactsPiece { contacts, pairings: Vec::new() };
        match self.list(job, vec![page], next).await {
            Ok(listed) => self.plan_listed(&listed).await,
            Err(refused) => (refused, Vec::new()),
        }
    }

    /// Keeps a page of the gateway in these pieces; gives the plan job as it is then.
    pub(crate) async fn list(
        &self,
        job: &Job,
        pieces: Vec<ContactsPiece>,
        next: Option<&str>,
    ) -> Result<Job, Recorded> {
        let fence = self.fence(job, job.attempts + 1);
        self.store.begin_listing(job, fence).await.unwrap()?;
        for (place, piece) in (0..).zip(pieces) {
            self.store.keep_piece(job, fence, place, &piece).await.unwrap()?;
        }
        let step = self.store.end_listing(job, fence, next.map(str::to_owned)).await.unwrap()?;
        Ok(Job { step, steps_done: job.steps_done + 1, ..job.clone() })
    }

    /// Plans what is kept, to its last piece.
    pub(crate) async fn plan_listed(&self, job: &Job) -> (Recorded, Vec<JobId>) {
        let (mut job, mut ids) = (job.clone(), Vec::new());
        loop {
            let fence = self.fence(&job, job.attempts + 1);
            let planned = self.store.plan_piece(&job, fence, WUZAPI, ATTEMPTS).await.unwrap();
            ids.extend(planned.notices.iter().flat_map(ids_of));
            match planned.step {
                Some(step @ Step::Contacts { listed: Some(_), .. }) => {
                    job = Job { step, steps_done: job.steps_done + 1, ..job };
                }
                _ => return (planned.recorded, ids),
            }
        }
    }

    pub(crate) async fn jobs(&self, ids: &[JobId]) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.store.open_jobs(ids).await.unwrap().into_iter().map(Result::unwrap).collect();
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    pub(crate) fn fence(&self, job: &Job, attempt: i32) -> Fence {
        Fence { job: job.id, attempt, steps_done: job.steps_done, epoch: self.epoch }
    }

    pub(crate) fn settlement(&self, job: &Job, outcome: Outcome, messages: Vec<Message>) -> Settlement {
        let address = match &job.step {
            Step::History { address, .. } => Some(address.clone()),
            _ => None,
        };
        Settlement {
            fence: self.fence(job, job.attempts + 1),
            job: job.clone(),
            outcome,
            address,
            messages,
            left_out: 0,
            learned: None,
        }
    }

    pub(crate) async fn settle(&self, batch: &[Settlement]) -> Settled {
        self.store.settle(batch).await.unwrap()
    }

    /// Ends a job well, with these messages.
    pub(crate) async fn finish(&self, job: &Job, messages: Vec<Message>) -> Recorded {
        let done = self.settlement(job, Outcome::Ended(Ending::Succeeded), messages);
        self.settle(&[done]).await.recorded[0]
    }

    pub(crate) async fn status(&self, sync: SyncId) -> SyncStatus {
        self.store.sync(sync).await.unwrap()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.sql).await.unwrap()
    }

    /// The one row of a view, with null as in JSON.
    pub(crate) async fn row(&self, view: &'static str) -> Value {
        let query = sqlx::AssertSqlSafe(format!("SELECT to_jsonb(v) FROM ({view}) v"));
        sqlx::query_scalar(query).fetch_one(&self.sql).await.unwrap()
    }

    /// Somebody else's hand in the tables, or an older version of ours.
    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.sql).await.unwrap();
    }
}

async fn create_channel(store: &Store, provider: Provider, base_url: &str) -> Channel {
    let new = NewChannel {
        name: "test".to_owned(),
        provider,
        base_url: base_url.parse().unwrap(),
        credentials: NewCredentials { text: SecretString::from(r#"{"token":"t"}"#), account: None },
        features: BTreeSet::from([Feature::ImportMessages]),
        limit: Limit::default(),
    };
    store.create_channel(new).await.unwrap()
}

pub(crate) fn ids_of(notice: &Notice) -> Vec<JobId> {
    let entries = notice.lane.as_ref().map(|lane| lane.jobs.as_slice()).unwrap_or_default();
    entries
        .iter()
        .flat_map(|entry| match *entry {
            Entry::Span { first, last } => first..=last,
            Entry::Tried { job, .. } => job..=job,
        })
        .collect()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn phone(n: u32) -> Address {
    address(&format!("5511900{n:06}@s.whatsapp.net"))
}

pub(crate) fn lid(n: u32) -> Address {
    address(&format!("19000000{n:06}@lid"))
}

pub(crate) fn by_phone(n: u32) -> Contact {
    Contact::under(phone(n), None)
}

pub(crate) fn by_lid(n: u32) -> Contact {
    Contact::under(lid(n), None)
}

pub(crate) fn by_both(n: u32) -> Contact {
    Contact::new(Some(phone(n)), Some(lid(n)), None).unwrap()
}

pub(crate) fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        from_me: false,
        sent_at: clock::now(),
        kind: MessageKind::Text,
        text: Some(format!("text of {id}")),
        status: None,
        media: None,
        payload: serde_json::value::RawValue::from_string(format!(r#"{{"id":"{id}"}}"#)).unwrap(),
    }
}

/// A database without a schema.
pub(crate) struct Database {
    pub(crate) url: String,
    admin: String,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where their servers are")]
        let admin = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL is not set: run the tests with ./just test, which starts the servers they need");
        let name = format!("sincro_test_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&admin).await.expect("the server at DATABASE_URL answers");
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let mut url = url::Url::parse(&admin).unwrap();
        url.set_path(&name);
        Self { url: url.into(), admin, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let drop = async move {
            let mut connection = PgConnection::connect(&admin).await?;
            let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            sqlx::query(drop).execute(&mut connection).await
        };
        // The test's own runtime may be on its way out.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(drop)
        });
        let _ = dropped.join();
    }
}
