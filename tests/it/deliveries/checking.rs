//! A look at a channel's set-up, and having webhooks sent here: what is right is said, what is wrong is named with the way to mend it.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _};

use serde_json::{Value, json};
use sincro_core::{
    channel::ChannelState,
    check::{Aspect, Finding, Health},
    sync::{SyncKind, SyncState, SyncStatus},
};
use sincro_simulator::{Fault, GdbrnsReadings, Hook, Provider, Restoring, Rule, Settings, When};

use super::{Line, SECRET, talkative};

const THEIRS: &str = "https://crm.example/in?key=hush";

type Found = BTreeMap<Aspect, Finding>;

fn gateway(provider: Provider) -> Settings {
    Settings { provider, population: talkative(3), ..Settings::default() }
}

impl Line {
    /// Nothing of the gateway comes here yet.
    async fn unconnected(provider: Provider) -> Self {
        let line = Self::with(gateway(provider), &[]).await;
        line.gateway.hooks().set(None);
        line
    }

    async fn checked(&self) -> Found {
        self.found_by("check", &json!({})).await
    }

    async fn connected(&self, replace: bool) -> Found {
        self.found_by("connect", &json!({ "replace": replace })).await
    }

    async fn found_by(&self, verb: &str, body: &Value) -> Found {
        let path = format!("/v1/channels/{}/{verb}", self.channel);
        let sync: SyncStatus = self.api.post_json(&path, body).await.ok();
        assert_eq!(sync.kind, SyncKind::Check);
        let end = self.api.end_of(sync.id).await;
        assert_eq!((end.state, end.jobs.succeeded), (SyncState::Completed, 1), "a check fails nothing: {end:?}");
        self.found().await
    }

    /// What the last look found.
    async fn found(&self) -> Found {
        let checked: Value = self.api.get(&format!("/v1/channels/{}/check", self.channel)).await.ok();
        let findings: Vec<Finding> = serde_json::from_value(checked["findings"].clone()).unwrap();
        let wants_mending = |finding: &Finding| finding.health != Health::Good;
        assert!(findings.iter().all(|finding| finding.mend.is_some() == wants_mending(finding)), "{findings:?}");
        findings.into_iter().map(|finding| (finding.about, finding)).collect()
    }

    async fn change(&self, change: Value) {
        self.api.patch(&format!("/v1/channels/{}", self.channel), &change).await.ok::<Value>();
    }

    fn paths_called(&self) -> Vec<String> {
        self.gateway.calls().all().into_iter().map(|call| call.path.into_owned()).collect()
    }

    async fn hook_url(&self) -> String {
        self.api.channel(self.channel).await["hook_url"].as_str().unwrap().to_owned()
    }

    fn receivers(&self) -> Vec<String> {
        self.gateway.hooks().registered().into_iter().map(|hook| hook.url).collect()
    }
}

/// What is not as it should be.
fn amiss(found: &Found) -> Vec<(Aspect, Health)> {
    let amiss = found.values().filter(|finding| finding.health != Health::Good);
    amiss.map(|finding| (finding.about, finding.health)).collect()
}

#[tokio::test]
async fn a_channel_that_is_set_up_is_found_so_with_two_calls_that_change_nothing() {
    let line = Line::with(gateway(Provider::Wuzapi), &[]).await;
    let found = line.checked().await;
    assert_eq!(amiss(&found), [], "{found:?}");
    let looked_at = Aspect::ALL.iter().copied().filter(|aspect| *aspect != Aspect::Age);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), looked_at.collect::<Vec<_>>());
    assert_eq!(line.paths_called(), ["/session/status", "/webhook"]);
    assert!(found[&Aspect::Clock].says.contains("the gateway is"), "{:?}", found[&Aspect::Clock]);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_paused_for_it() {
    let line = Line::unconnected(Provider::Wuzapi).await;
    line.change(json!({ "credentials": { "token": line.gateway.token() } })).await;
    line.gateway.set_session(false);
    line.gateway.set_history(false);
    let expected = [
        (Aspect::Session, Health::Bad),
        (Aspect::History, Health::Bad),
        (Aspect::Webhooks, Health::Bad),
        (Aspect::Proof, Health::Warning),
    ];
    assert_eq!(amiss(&line.checked().await), expected);
    assert_eq!(line.api.channel(line.channel).await["state"], json!(ChannelState::Active));
    line.gateway.set_session(true);
    line.gateway.set_history(true);
    assert_eq!(amiss(&line.checked().await), [(Aspect::Webhooks, Health::Bad), (Aspect::Proof, Health::Warning)]);
}

#[tokio::test]
async fn refused_credentials_end_the_look_and_leave_the_channel_as_it_is() {
    let line = Line::with(gateway(Provider::Wuzapi), &[]).await;
    line.change(json!({ "credentials": { "token": "nobody's", "hmac_key": SECRET } })).await;
    let found = line.checked().await;
    assert_eq!(amiss(&found), [(Aspect::Credentials, Health::Bad)]);
    assert!(!found.contains_key(&Aspect::Webhooks), "nobody was let in to see");
    assert!(!format!("{found:?}").contains("nobody's"), "no secret is shown");
    assert_eq!(line.api.channel(line.channel).await["state"], json!(ChannelState::Active));
}

#[tokio::test]
async fn a_gateway_that_is_not_there_and_an_address_of_ours_that_leads_nowhere_are_said_at_once() {
    let nowhere = Settings { population: talkative(1), ..gateway(Provider::Wuzapi) };
    let line = Line::with(nowhere, &[("SINCRO_PUBLIC_URL", "http://127.0.0.1:9")]).await;
    line.change(json!({ "base_url": "http://127.0.0.1:9" })).await;
    assert_eq!(amiss(&line.checked().await), [(Aspect::Receiver, Health::Bad), (Aspect::Credentials, Health::Bad)]);
}

#[tokio::test]
async fn a_gateway_with_room_for_one_receiver_forgets_another_one_only_if_that_is_meant() {
    let line = Line::unconnected(Provider::Wuzapi).await;
    line.gateway.hooks().set(Some(Hook::to(THEIRS)));
    let found = line.connected(false).await;
    assert!(found[&Aspect::Webhooks].says.contains("crm.example"), "{found:?}");
    assert!(!format!("{found:?}").contains("hush"), "the rest of an address may be a secret");
    assert_eq!(line.receivers(), [THEIRS]);
    let found = line.connected(true).await;
    assert_eq!(amiss(&found), [], "{found:?}");
    assert_eq!(line.receivers(), [line.hook_url().await]);
}

#[tokio::test]
async fn a_receiver_is_added_beside_others_whether_the_gateway_appends_or_replaces_what_it_is_sent() {
    for appends_webhooks in [false, true] {
        let line = Line::unconnected(Provider::Whapi).await;
        line.gateway.set_restoring(Restoring { appends_webhooks, ..Restoring::default() });
        line.gateway.hooks().set(Some(Hook::to(THEIRS)));
        let found = line.connected(false).await;
        assert_eq!(amiss(&found), [(Aspect::History, Health::Warning)], "full_history is off: {found:?}");
        let (ours, receivers) = (line.hook_url().await, line.receivers());
        assert!(receivers.contains(&THEIRS.to_owned()) && receivers.contains(&ours), "{receivers:?}");
        let hook = line.gateway.hooks().registered().into_iter().find(|hook| hook.url == ours).unwrap();
        assert!(hook.headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-ingest-key") && value == SECRET));
        let kept = "SELECT count(*) FROM channel_checks WHERE receivers IS NOT NULL";
        assert_eq!(line.world.number(kept).await, 0, "what others registered is not kept longer than it takes");
    }
}

#[tokio::test]
async fn the_secret_that_a_gateway_makes_is_kept_and_its_webhooks_are_believed_from_then_on() {
    let line = Line::unconnected(Provider::Gdbrns).await;
    line.change(json!({ "credentials": { "token": line.gateway.token() } })).await;
    let found = line.connected(false).await;
    assert_eq!(found[&Aspect::Webhooks].health, Health::Good, "{found:?}");
    assert_eq!(line.gateway.hooks().registered().len(), 1);
    assert_eq!(amiss(&line.checked().await), [], "the secret is in the credentials");
    line.sync().await;
    line.settled().await;
    assert_eq!(line.world.number("SELECT count(*) FROM inbox WHERE NOT verified").await, 0);
    assert!(line.world.number("SELECT count(*) FROM inbox WHERE verified").await > 0);
    line.connected(false).await;
    assert_eq!(line.gateway.hooks().registered().len(), 1, "registered once");
}

#[tokio::test]
async fn a_worker_that_dies_over_a_registration_leaves_one_and_says_that_its_secret_is_not_known() {
    let line = Line::without_worker(gateway(Provider::Gdbrns), &[("SINCRO_LEASE_SECONDS", "1")]).await;
    line.gateway.hooks().set(None);
    let path = format!("/v1/channels/{}/connect", line.channel);
    let sync: SyncStatus = line.api.post(&path).await.ok();
    // Status, subscriptions, registration.
    let order = ("SINCRO_DRILL", "abort=called:3");
    let mut worker = line.world.start(&["worker"], &[order, ("SINCRO_PUBLIC_URL", line.api.base())]);
    assert_eq!(worker.exit().await.signal(), Some(6));
    assert_eq!(line.gateway.hooks().registered().len(), 1);
    let _next = line.worker().await;
    line.api.end_of(sync.id).await;
    assert_eq!(line.gateway.hooks().registered().len(), 1, "looked at again, not registered again");
    let found = line.found().await;
    assert!(found[&Aspect::Webhooks].says.contains("secret"), "{found:?}");
}

#[tokio::test]
async fn what_a_gateway_has_no_call_for_is_unknown_and_cannot_be_registered() {
    let line = Line::with(gateway(Provider::Positus), &[]).await;
    let found = line.checked().await;
    assert_eq!(amiss(&found), [(Aspect::Credentials, Health::Unknown), (Aspect::Webhooks, Health::Unknown)]);
    assert_eq!(found[&Aspect::History].health, Health::Good, "the number was onboarded a moment ago");
    assert_eq!(line.paths_called(), [""; 0], "there is nothing to call");
    let path = format!("/v1/channels/{}/connect", line.channel);
    assert_eq!(line.api.post(&path).await.refused(422), "not_supported");

    let line = Line::with(gateway(Provider::Wsapi), &[]).await;
    let found = line.checked().await;
    assert_eq!(amiss(&found), [(Aspect::History, Health::Warning), (Aspect::Webhooks, Health::Unknown)]);
    line.paired().await;
    assert_eq!(amiss(&line.checked().await), [], "its first sync is over, and webhooks came");
}

#[tokio::test]
async fn a_channel_that_stands_still_is_not_looked_at_and_says_why() {
    let line = Line::with(gateway(Provider::Wuzapi), &[]).await;
    line.api.steer_channel(line.channel, "pause").await;
    let path = format!("/v1/channels/{}/check", line.channel);
    assert_eq!(line.api.post(&path).await.refused(409), "channel_paused");
    let none: Value = line.api.get(&path).await.ok();
    assert_eq!((&none["sync"], &none["findings"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn the_command_line_shows_what_is_wrong_and_how_to_mend_it_and_says_so_to_scripts() {
    let line = Line::unconnected(Provider::Wuzapi).await;
    let (channel, base) = (line.channel.to_string(), line.api.base().to_owned());
    let run = async |verb: &str, json: &[&str]| {
        let arguments = [json, &["--api-url", &base, "channel", verb, &channel]].concat();
        line.world.sincro_with(&arguments, &[("SINCRO_API_KEY", &line.world.key)]).await
    };
    let checked = run("check", &[]).await;
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{shown}");
    assert!(shown.contains("no webhooks are registered") && shown.contains("-> `sincro channel connect"), "{shown}");
    assert_eq!(run("connect", &[]).await.status.code(), Some(0));
    let again = run("check", &["--json"]).await;
    assert_eq!(again.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(document["sync"]["state"], "completed");
}

#[tokio::test]
async fn why_a_gateway_does_not_take_our_address_is_said_in_its_own_words() {
    let line = Line::unconnected(Provider::Gdbrns).await;
    line.gateway.set_gdbrns(GdbrnsReadings { public_hooks_only: true, ..GdbrnsReadings::default() });
    let found = line.connected(false).await;
    let webhooks = &found[&Aspect::Webhooks];
    assert_eq!(webhooks.health, Health::Bad);
    assert!(webhooks.says.contains("https"), "{webhooks:?}");
}

#[tokio::test]
async fn a_registration_whose_answer_is_lost_is_looked_for_and_not_made_again() {
    let line = Line::unconnected(Provider::Gdbrns).await;
    line.gateway.set_faults(Rule::new(Fault::LostAnswer, When::Always).on_path("POST /webhooks")).unwrap();
    let found = line.connected(false).await;
    assert_eq!(line.gateway.hooks().registered().len(), 1);
    assert!(found[&Aspect::Webhooks].says.contains("secret"), "nobody was told it: {found:?}");

    let line = Line::unconnected(Provider::Wuzapi).await;
    line.gateway.set_faults(Rule::new(Fault::LostAnswer, When::Always).on_path("POST /webhook")).unwrap();
    assert_eq!(amiss(&line.connected(false).await), [], "it makes no secret, and took the address");
}
