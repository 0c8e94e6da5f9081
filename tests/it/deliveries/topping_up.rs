//! WSAPI behind its flush: chats with fewer messages than were asked for are topped up by the phone, one request at a time.

use std::collections::{BTreeMap, BTreeSet};

use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{AccountMessage, Call, Population, Provider, Settings, TrueMessage, WsapiReadings};

use super::{Line, is_the_same, talkative};
use crate::support::world::Setting;

/// Fewer at the gateway than are asked for, and enough on the phone for one answer.
fn few_at_the_gateway(contacts: u32) -> Population {
    Population { messages_mean: 6, messages_max: 12, older_on_phone: 60, ..talkative(contacts) }
}

/// The phone answers whatever is asked here; a busy machine may take its time for it.
const PATIENT: [Setting<'_>; 1] = [("SINCRO_PHONE_DEADLINE_SECONDS", "30")];

fn wsapi(population: Population, readings: WsapiReadings) -> Settings {
    Settings { provider: Provider::Wsapi, population, wsapi: readings, ..Settings::default() }
}

fn is_top_up(call: &Call) -> bool {
    call.path.starts_with("/chats/")
}

impl Line {
    /// Who is in the account, and who of them wrote anything.
    fn chats(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let account = self.gateway.truth().account(usize::MAX);
        let phone = |message: AccountMessage| message.phone_jid.unwrap();
        let incoming = account.iter().filter(|message| !message.from_me).cloned().map(phone).collect();
        (account.into_iter().map(phone).collect(), incoming)
    }

    /// All of the account is stored, and beside it nothing but what phones hold, each as it is; how much of that, by address.
    async fn holds_the_truth_and_what_phones_gave(&self) -> BTreeMap<String, usize> {
        let truth = self.gateway.truth();
        let mut account: BTreeMap<String, _> =
            truth.account(usize::MAX).into_iter().map(|message| (message.message_id.clone(), message)).collect();
        let older: BTreeMap<String, TrueMessage> = truth
            .addresses()
            .flat_map(|address| truth.older(address))
            .map(|message| (message.message_id.clone(), message))
            .collect();
        let (mut given, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for stored in self.api.messages(self.channel).await {
            assert!(seen.insert(stored.message_id.clone()), "twice: {stored:?}");
            if let Some(message) = account.remove(&stored.message_id) {
                is_the_same(&stored, &message);
                continue;
            }
            let Some(message) = older.get(&stored.message_id) else { panic!("nobody's: {stored:?}") };
            assert_eq!((stored.sent_at, stored.from_me), (message.readable_at, message.from_me), "{message:?}");
            *given.entry(stored.address).or_default() += 1;
        }
        assert!(account.is_empty(), "{} are missing, such as {:?}", account.len(), account.values().next());
        given
    }
}

#[tokio::test]
async fn chats_with_too_few_messages_are_topped_up_by_the_phone_whether_its_answers_name_them_or_not() {
    for nameless_answers in [false, true] {
        let readings = WsapiReadings { nameless_answers, ..WsapiReadings::default() };
        let line = Line::with(wsapi(few_at_the_gateway(4), readings), &PATIENT).await;
        let (_, incoming) = line.chats();
        line.paired().await;
        let end = line.sync().await;
        assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
        let given = line.holds_the_truth_and_what_phones_gave().await;
        assert_eq!(given.keys().cloned().collect::<BTreeSet<_>>(), incoming, "each of them: {given:?}");
        assert!(given.values().all(|&messages| messages >= 13), "25 less the 12 that may be there: {given:?}");
        assert_eq!(line.gateway.calls().count(is_top_up), incoming.len(), "one request was enough for each");
        line.receipt(&end).await;
    }
}

#[tokio::test]
async fn a_chat_that_begins_with_an_own_message_is_asked_about_by_one_that_came_in() {
    let line = Line::with(wsapi(few_at_the_gateway(8), WsapiReadings::default()), &PATIENT).await;
    let account = line.gateway.truth().account(usize::MAX);
    let (_, incoming) = line.chats();
    let mut first: BTreeMap<String, bool> = BTreeMap::new();
    for message in account {
        // Oldest first for each.
        first.entry(message.phone_jid.unwrap()).or_insert(message.from_me);
    }
    let begun_by_us = first.into_iter().filter_map(|(phone, own)| (own && incoming.contains(&phone)).then_some(phone));
    let begun_by_us: Vec<String> = begun_by_us.collect();
    assert!(!begun_by_us.is_empty(), "somebody who answered us");
    line.paired().await;
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    let given = line.holds_the_truth_and_what_phones_gave().await;
    // The gateway misjudges an own message, and hands on no answer for it.
    assert!(begun_by_us.iter().all(|phone| given.contains_key(phone)), "{begun_by_us:?}: {given:?}");
}

#[tokio::test]
async fn a_chat_to_which_nobody_wrote_has_nothing_to_begin_from() {
    let mut population = few_at_the_gateway(6);
    (population.messages_mean, population.messages_max, population.share_sent_by_api) = (2, 2, 0.6);
    let line = Line::with(wsapi(population, WsapiReadings::default()), &PATIENT).await;
    let (all, incoming) = line.chats();
    let silent = all.len() - incoming.len();
    assert!(silent > 0 && !incoming.is_empty(), "some of each: {all:?} {incoming:?}");
    line.paired().await;
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    let jobs = line.api.jobs(end.id).await;
    let unasked = jobs.iter().filter(|job| job.reason.as_deref() == Some("no anchor")).count();
    assert_eq!((unasked, line.gateway.calls().count(is_top_up)), (silent, incoming.len()));
    assert!(jobs.iter().all(|job| job.reason.as_deref() != Some("no anchor") || job.state == JobState::Skipped));
    assert_eq!(line.holds_the_truth_and_what_phones_gave().await.len(), incoming.len());
    line.receipt(&end).await;
}
