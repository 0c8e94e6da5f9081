//! The webhooks of one channel in the hands of a test.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Held, Hook, emit, event::Event, post};
use crate::server::{Channel, Server};

/// What Meta sends along to be given back.
const CHALLENGE: &str = "1158201444";

/// The webhooks of one channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hooks {
    server: Arc<Server>,
    channel: Arc<Channel>,
}

impl Hooks {
    pub(crate) fn new(server: &Arc<Server>, channel: &Arc<Channel>) -> Self {
        Self { server: Arc::clone(server), channel: Arc::clone(channel) }
    }

    /// Sends to this hook and no other from now on, or to nobody.
    pub fn set(&self, hook: Option<Hook>) {
        self.channel.outbox.change_hooks(|hooks| *hooks = hook.into_iter().collect());
    }

    /// Where webhooks go, whoever registered it.
    #[must_use]
    pub fn registered(&self) -> Vec<Hook> {
        self.channel.outbox.hooks()
    }

    /// Keeps events from now on, until they are released one by one or all told to go on.
    pub fn hold(&self) {
        self.channel.outbox.hold();
    }

    /// Lets everything go that was held, in its order.
    pub fn go_on(&self) {
        self.channel.outbox.go_on();
    }

    /// Lets one event go although the others are held, behind those released before. Fails if it does not wait.
    pub fn release(&self, number: u64) -> Result<()> {
        let waits = self.channel.outbox.release(number);
        waits.then_some(()).with_context(|| format!("event {number} does not wait"))
    }

    /// What waits, in its order.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.channel.outbox.held()
    }

    /// Waits until at least so many events wait, and gives them.
    pub async fn wait_for_held(&self, count: usize) -> Vec<Held> {
        self.channel.outbox.holds(count).await;
        self.held()
    }

    /// Waits until nothing waits and nothing is under way, attempts to come included.
    pub async fn idle(&self) {
        self.channel.outbox.idle().await;
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.channel.outbox.waiting()
    }

    /// Tells anything at all: this body is posted as it is, under the headers and the signature of the provider.
    pub fn tell(&self, event: &str, body: Value) {
        emit::tell(&self.server, &self.channel, Event::new(event.to_owned(), body));
    }

    /// Asks every hook for what Meta asks before it sends: whether it gives the challenge back for this token. Fails where
    /// nobody answers, and where there is no hook.
    pub async fn verify(&self, verify_token: &str) -> Result<bool> {
        let token = super::body::form_encoded(verify_token);
        let hooks = self.registered();
        let mut verified = !hooks.is_empty();
        for hook in hooks {
            let query = format!("hub.mode=subscribe&hub.challenge={CHALLENGE}&hub.verify_token={token}");
            let url = format!("{}{}{query}", hook.url, if hook.url.contains('?') { '&' } else { '?' });
            let patience = Duration::from_millis(self.server.pace().timeout_ms);
            let answer = tokio::time::timeout(patience, post::get(&url)).await.context("no answer in time")?;
            let answer = answer.context("no answer")?;
            verified &= answer.status == 200 && answer.text.trim() == CHALLENGE;
        }
        Ok(verified)
    }
}
