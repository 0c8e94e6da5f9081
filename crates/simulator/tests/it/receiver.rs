//! Somebody who gets webhooks: keeps each of them as it came, and answers what the test says.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use parking_lot::Mutex;
use serde_json::Value;
use sincro_simulator::Hook;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

const TOKEN: &str = "verify me";

/// A webhook as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    headers: HeaderMap,
    pub(crate) raw: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Nothing where it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.raw).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Inbox {
    received: Mutex<Vec<Received>>,
    /// What the next ones are answered; 200 behind them.
    answers: Mutex<VecDeque<u16>>,
    changed: Notify,
}

/// A running receiver. Dropped, it stops listening.
#[derive(Debug)]
pub(crate) struct Receiver {
    url: String,
    inbox: Arc<Inbox>,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hooks", listener.local_addr()?);
        let inbox = Arc::new(Inbox::default());
        let router = Router::new()
            .route("/hooks", get(verify).post(keep))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&inbox));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, inbox, serving })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn hook(&self) -> Hook {
        Hook::to(&self.url)
    }

    /// The token it is to be verified with.
    pub(crate) fn verify_token() -> &'static str {
        TOKEN
    }

    /// Answers the next ones so.
    pub(crate) fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.answers.lock().extend(statuses);
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.inbox.received.lock().clone()
    }

    /// All of them, as soon as there are so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let mut changed = pin!(self.inbox.changed.notified());
            changed.as_mut().enable();
            let all = self.all();
            if all.len() >= count {
                return all;
            }
            changed.await;
        }
    }

    /// The bodies of all of them.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.all().iter().map(Received::json).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keep(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let status = inbox.answers.lock().pop_front().unwrap_or(200);
    inbox.received.lock().push(Received { headers, raw });
    inbox.changed.notify_waiters();
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}

async fn verify(Query(asked): Query<std::collections::HashMap<String, String>>) -> (StatusCode, String) {
    if asked.get("hub.verify_token").map(String::as_str) != Some(TOKEN) {
        return (StatusCode::FORBIDDEN, String::new());
    }
    (StatusCode::OK, asked.get("hub.challenge").cloned().unwrap_or_default())
}
