//! `window_days`: what is older than that is not stored, and counted where the gateway sent it. The request is moved back in time, to where
//! messages lie on both sides of its window.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::json;
use sincro_core::sync::{SyncState, SyncStatus};
use sincro_simulator::{Call, Population, Provider, Settings, TrueMessage};

use super::{Line, talkative};
use crate::support::audit::count;

fn gateway(provider: Provider) -> Settings {
    let population = Population { messages_mean: 10, messages_max: 20, share_cross_posted: 0.0, ..talkative(8) };
    Settings { provider, population, ..Settings::default() }
}

impl Line {
    /// The time with about half of what these addresses hold on each side.
    fn middle(&self, addresses: &[String]) -> DateTime<Utc> {
        let truth = self.gateway.truth();
        let mut times: Vec<_> =
            addresses.iter().flat_map(|address| truth.chat(address, 25)).map(|message| message.readable_at).collect();
        times.sort_unstable();
        times[times.len() / 2].trunc_subsecs(0)
    }

    /// What is asked for here, as if it had been asked for a day after this time and for a day; nobody works before that.
    async fn asked_for_since(&self, what: &str, from: DateTime<Utc>) -> SyncStatus {
        let path = format!("/v1/channels/{}/{what}", self.channel);
        let sync: SyncStatus = self.api.post_json(&path, &json!({"window_days": 1})).await.ok();
        assert_eq!(sync.window_days, Some(1));
        let moved = format!("UPDATE syncs SET created_at = '{}'", (from + TimeDelta::days(1)).to_rfc3339());
        self.world.run(&moved).await;
        let _worker = self.worker().await;
        let end = self.api.end_of(sync.id).await;
        assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
        end
    }

    /// What is stored is what these addresses hold from this time on; how much is older.
    async fn holds_nothing_older(&self, addresses: &[String], from: DateTime<Utc>) -> i64 {
        let truth = self.gateway.truth();
        let all: Vec<TrueMessage> = addresses.iter().flat_map(|address| truth.chat(address, 25)).collect();
        let (new, old): (Vec<_>, Vec<_>) = all.into_iter().partition(|message| message.readable_at >= from);
        assert!(!new.is_empty() && !old.is_empty(), "there is something on both sides");
        let stored = self.api.messages(self.channel).await;
        let ids = |messages: Vec<TrueMessage>| messages.into_iter().map(|message| message.message_id);
        assert_eq!(stored.into_iter().map(|message| message.message_id).collect::<BTreeSet<_>>(), ids(new).collect());
        count(old.len())
    }

    fn everybody(&self) -> Vec<String> {
        self.gateway.truth().addresses().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_wuzapi_sends_beyond_the_window_is_left_out_and_counted() {
    let line = Line::without_worker(gateway(Provider::Wuzapi), &[]).await;
    let addresses = line.everybody();
    let from = line.middle(&addresses);
    let end = line.asked_for_since("syncs", from).await;
    let old = line.holds_nothing_older(&addresses, from).await;
    assert_eq!(end.messages.left_out, old, "{end:?}");
    let receipt = line.receipt(&end).await;
    assert!(receipt.lines.iter().any(|line| line.left_out > 0 && line.fetched > 0), "{:?}", receipt.lines);
}

#[tokio::test]
async fn whapi_is_asked_for_nothing_older_than_the_window() {
    let line = Line::without_worker(gateway(Provider::Whapi), &[]).await;
    let addresses = line.everybody();
    let from = line.middle(&addresses);
    let end = line.asked_for_since("syncs", from).await;
    line.holds_nothing_older(&addresses, from).await;
    assert_eq!(end.messages.left_out, 0, "the gateway sent none of it: {end:?}");
    line.receipt(&end).await;
    let reads: Vec<Call> = line.gateway.calls().all().into_iter().filter(Call::is_history).collect();
    assert!(reads.len() >= addresses.len());
    assert!(reads.iter().all(|call| call.since_s == Some(from.timestamp())), "{from}: {reads:?}");
}

#[tokio::test]
async fn a_ticket_has_a_window_as_well() {
    for provider in [Provider::Wuzapi, Provider::Whapi] {
        let line = Line::without_worker(gateway(provider), &[]).await;
        let truth = line.gateway.truth();
        let persons = truth.persons().iter();
        let talker = persons.max_by_key(|person| person.addresses().map(|of| truth.chat(of, 25).len()).sum::<usize>());
        let addresses: Vec<String> = talker.unwrap().addresses().map(str::to_owned).collect();
        let from = line.middle(&addresses);
        let end = line.asked_for_since(&format!("contacts/{}/syncs", addresses[0]), from).await;
        let old = line.holds_nothing_older(&addresses, from).await;
        let sent = if provider == Provider::Whapi { 0 } else { old };
        assert_eq!(end.messages.left_out, sent, "{provider:?}: {end:?}");
        line.receipt(&end).await;
    }
}
