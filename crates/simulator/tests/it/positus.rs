//! The contract of Positus, with Meta's coexistence behind it: requests that are taken once, and history that is pushed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{
    Call, Faults, HookFault, HookFaults, HookRule, Kind, Population, PositusReadings, Provider, Refusal, Settings,
    Simulator, Told, When,
};

use crate::{
    client::{Answer, few, get, send},
    receiver::Receiver,
};

const NUMBER: &str = "/v2/whatsapp/numbers/number-0";

async fn positus(population: Population, positus: PositusReadings) -> Result<(Simulator, Receiver)> {
    let settings = Settings { provider: Provider::Positus, population, positus, ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    Ok((simulator, receiver))
}

async fn usual(population: Population) -> Result<(Simulator, Receiver)> {
    positus(population, PositusReadings { chunk: 40, ..PositusReadings::default() }).await
}

async fn ask(simulator: &Simulator, what: &str) -> Result<Answer> {
    let path = format!("{NUMBER}/onboarding-smb-app/{what}");
    let answer = send(simulator, "POST", &path, Some(simulator.token()), "").await?;
    simulator.hooks().idle().await;
    Ok(answer)
}

async fn ask_history(simulator: &Simulator) -> Result<Answer> {
    ask(simulator, "sync-message-history").await
}

/// The values of the changes of one field.
fn values(receiver: &Receiver, field: &str) -> Vec<Value> {
    let bodies = receiver.bodies();
    let changes = bodies.iter().filter_map(|body| body["entry"][0]["changes"].as_array()).flatten();
    changes.filter(|change| change["field"] == field).map(|change| change["value"].clone()).collect()
}

/// Phase, order and progress of each chunk, in the order they came.
fn chunks(receiver: &Receiver) -> Vec<(u64, u64, u64)> {
    let values = values(receiver, "history");
    let metadata = values.iter().filter_map(|value| value.pointer("/history/0/metadata"));
    let number = |metadata: &Value, name: &str| metadata[name].as_u64().unwrap_or(u64::MAX);
    metadata
        .map(|metadata| (number(metadata, "phase"), number(metadata, "chunk_order"), number(metadata, "progress")))
        .collect()
}

/// Messages of threads, by id, each with the id of its thread.
fn threads(receiver: &Receiver) -> BTreeMap<String, (String, Value)> {
    let mut found = BTreeMap::new();
    for thread in values(receiver, "history").iter().filter_map(|value| value["history"][0]["threads"].as_array()) {
        for thread in thread {
            for message in thread["messages"].as_array().into_iter().flatten() {
                let id = message["id"].as_str().unwrap_or_default().to_owned();
                found.insert(id, (thread["id"].as_str().unwrap_or_default().to_owned(), message.clone()));
            }
        }
    }
    found
}

fn assets(receiver: &Receiver) -> Vec<Value> {
    let values = values(receiver, "history");
    values.iter().filter_map(|value| value["messages"].as_array()).flatten().cloned().collect()
}

#[tokio::test]
async fn one_webhook_may_hold_several_changes() -> Result<()> {
    let readings = PositusReadings { chunk: 10, batch: 3, ..PositusReadings::default() };
    let (simulator, receiver) = positus(few(30), readings).await?;
    ask_history(&simulator).await?;
    let changes = values(&receiver, "history").len();
    assert_eq!(receiver.all().len(), changes.div_ceil(3));
    assert_eq!(threads(&receiver).len(), simulator.truth().account(usize::MAX).len());
    Ok(())
}

#[tokio::test]
async fn contacts_are_those_whose_phone_is_known() -> Result<()> {
    let readings = PositusReadings { contacts_chunk: 16, ..PositusReadings::default() };
    let (simulator, receiver) = positus(Population { share_lid_only: 0.2, ..few(50) }, readings).await?;
    let answer = ask(&simulator, "sync-contacts").await?;
    assert_eq!(answer.status, 200);
    assert!(answer.json()?["message"].is_string());
    let values = values(&receiver, "smb_app_state_sync");
    let numbers: BTreeSet<String> = values
        .iter()
        .filter_map(|value| value["state_sync"].as_array())
        .flatten()
        .filter_map(|entry| Some(format!("{}@s.whatsapp.net", entry["contact"]["phone_number"].as_str()?)))
        .collect();
    let truth = simulator.truth();
    let expected: BTreeSet<String> = truth.persons().iter().filter_map(|person| person.phone_jid.clone()).collect();
    assert_eq!(numbers, expected);
    assert_eq!(values.len(), expected.len().div_ceil(16));
    assert!(values.iter().all(|value| value["metadata"]["phone_number_id"] == "1060"));
    Ok(())
}

#[tokio::test]
async fn history_comes_in_phases_and_chunks_up_to_a_hundred_percent() -> Result<()> {
    let (simulator, receiver) = usual(few(60)).await?;
    assert_eq!(ask_history(&simulator).await?.status, 200);
    let chunks = chunks(&receiver);
    assert!(chunks.len() > 3, "{chunks:?}");
    assert!(chunks.is_sorted(), "phase by phase, chunk by chunk: {chunks:?}");
    let mut expected_order: BTreeMap<u64, u64> = BTreeMap::new();
    for (phase, order, _) in &chunks {
        let next = expected_order.entry(*phase).or_default();
        *next += 1;
        assert_eq!(order, next, "orders begin with 1 in each phase");
    }
    let complete = chunks.iter().filter(|(_, _, progress)| *progress == 100).count();
    assert_eq!((complete, chunks.last().map(|(_, _, progress)| *progress)), (1, Some(100)));
    Ok(())
}

#[tokio::test]
async fn what_is_told_is_the_truth_of_180_days_without_the_words_of_files() -> Result<()> {
    let (simulator, receiver) = usual(Population { share_lid_only: 0.1, ..few(60) }).await?;
    ask_history(&simulator).await?;
    let (found, truth) = (threads(&receiver), simulator.truth().account(usize::MAX));
    assert_eq!(found.keys().collect::<BTreeSet<_>>(), truth.iter().map(|message| &message.message_id).collect());
    for expected in &truth {
        let (thread, message) = &found[&expected.message_id];
        assert!(expected.message_id.starts_with("wamid."));
        assert_eq!(Some(format!("{thread}@s.whatsapp.net")), expected.phone_jid);
        assert_eq!(message["timestamp"], expected.sent_at.timestamp().to_string());
        assert_eq!(message["to"].is_string(), expected.from_me, "only what the business sent says to whom");
        assert_eq!(message["type"] == "media_placeholder", expected.told != Told::Whole);
        assert!(message["history_context"]["status"].is_string());
        if expected.kind == Kind::Text {
            assert_eq!(message["text"]["body"], expected.text);
        }
    }
    let stored: usize = simulator.truth().persons().iter().map(|person| rows(&simulator, person)).sum();
    assert!(truth.len() < stored, "older ones are left out");
    Ok(())
}

#[tokio::test]
async fn the_truth_of_the_account_is_told_over_http() -> Result<()> {
    let (simulator, _receiver) = usual(Population { older_on_phone: 3, ..few(9) }).await?;
    let told: Vec<sincro_simulator::AccountMessage> =
        serde_json::from_str(&get(&simulator, "/__sim/account?limit=4").await?.body)?;
    assert_eq!(told, simulator.truth().account(4));
    let address = told.iter().find_map(|message| message.phone_jid.clone()).context("a phone")?;
    let older: Vec<sincro_simulator::TrueMessage> =
        serde_json::from_str(&get(&simulator, &format!("/__sim/older?address={address}")).await?.body)?;
    assert_eq!(older, simulator.truth().older(&address));
    assert!((2..=3).contains(&older.len()));
    Ok(())
}

fn rows(simulator: &Simulator, person: &sincro_simulator::Person) -> usize {
    person.addresses().map(|address| simulator.truth().chat(address, usize::MAX).len()).max().unwrap_or(0)
}

#[tokio::test]
async fn files_of_the_last_days_come_on_their_own_afterwards() -> Result<()> {
    let (simulator, receiver) = usual(few(80)).await?;
    ask_history(&simulator).await?;
    let truth = simulator.truth().account(usize::MAX);
    let files: BTreeMap<&str, &sincro_simulator::AccountMessage> = truth
        .iter()
        .filter(|message| message.told == Told::Asset)
        .map(|message| (message.message_id.as_str(), message))
        .collect();
    let assets = assets(&receiver);
    assert!(!files.is_empty() && truth.iter().any(|message| message.told == Told::Placeholder));
    assert_eq!(assets.len(), files.len());
    for asset in &assets {
        let expected = files[asset["id"].as_str().context("an id")?];
        let content = &asset[asset["type"].as_str().context("a type")?];
        assert_eq!(content["caption"].as_str().unwrap_or_default(), expected.text);
        let media = get(&simulator, &format!("{NUMBER}/media/{}", content["id"].as_str().context("a file")?)).await?;
        assert_eq!(media.status, 200);
    }
    assert_eq!(get(&simulator, &format!("{NUMBER}/media/media-1")).await?.status, 404);
    let kinds: Vec<bool> = values(&receiver, "history").iter().map(|value| value["history"].is_array()).collect();
    assert!(kinds.is_sorted_by(|chunk, later| chunk >= later), "chunks first");
    Ok(())
}

#[tokio::test]
async fn a_second_request_is_refused_until_the_number_is_onboarded_anew() -> Result<()> {
    let (simulator, _receiver) = usual(few(2)).await?;
    assert_eq!(ask_history(&simulator).await?.status, 200);
    let refused = ask_history(&simulator).await?;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()?["errors"][0],
        json!({
            "code": "4", "title": "sync request limit exceeded", "details": "(#4) sync request limit exceeded",
        })
    );
    simulator.set_positus(PositusReadings { meta_errors: true, ..PositusReadings::default() })?;
    assert_eq!(ask_history(&simulator).await?.json()?["error"]["code"], 4);
    let other = PositusReadings { meta_errors: true, refusal: Refusal::AlreadySynced, ..PositusReadings::default() };
    simulator.set_positus(other)?;
    assert_eq!(ask_history(&simulator).await?.json()?["error"]["error_subcode"], 2_593_107);
    assert_eq!(ask(&simulator, "sync-contacts").await?.status, 200, "each is counted on its own");
    simulator.pair(simulator.token())?;
    assert_eq!(ask_history(&simulator).await?.status, 200);
    simulator.set_hook_faults(HookRule::new(HookFault::AlreadyRequested, When::Always))?;
    simulator.pair(simulator.token())?;
    assert_eq!(ask_history(&simulator).await?.status, 400, "as if somebody had asked before");
    Ok(())
}

#[tokio::test]
async fn a_day_after_onboarding_nothing_is_taken() -> Result<()> {
    let (simulator, receiver) = usual(few(2)).await?;
    simulator.expire_onboarding(simulator.token())?;
    for what in ["sync-contacts", "sync-message-history"] {
        assert_eq!(ask(&simulator, what).await?.status, 400);
    }
    assert!(receiver.all().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_owner_may_decline_with_and_without_the_envelope() -> Result<()> {
    for bare in [false, true] {
        let readings = PositusReadings { bare_decline: bare, ..PositusReadings::default() };
        let (simulator, receiver) = positus(few(5), readings).await?;
        simulator.set_hook_faults("declined=all".parse::<HookFaults>()?)?;
        assert_eq!(ask_history(&simulator).await?.status, 200, "accepted, all the same");
        let body = &receiver.bodies()[0];
        let at = if bare { "/history/0" } else { "/entry/0/changes/0/value/history/0" };
        assert_eq!(body.pointer(&format!("{at}/errors/0/code")), Some(&json!(2_593_109)), "{body}");
        assert_eq!(receiver.all().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_phone_may_be_silent_and_the_last_chunk_missing() -> Result<()> {
    let (simulator, receiver) = usual(few(30)).await?;
    simulator.set_hook_faults("silent=x1,last-missing=x1".parse::<HookFaults>()?)?;
    assert_eq!(ask_history(&simulator).await?.status, 200);
    assert!(receiver.all().is_empty());
    simulator.pair(simulator.token())?;
    assert_eq!(ask_history(&simulator).await?.status, 200);
    let chunks = chunks(&receiver);
    assert!(!chunks.is_empty() && chunks.iter().all(|(_, _, progress)| *progress < 100), "{chunks:?}");
    assert!(!assets(&receiver).is_empty(), "files come all the same");
    Ok(())
}

#[tokio::test]
async fn the_account_tells_what_becomes_of_it() -> Result<()> {
    let (simulator, receiver) = usual(few(1)).await?;
    simulator.set_session(false);
    assert_eq!(ask_history(&simulator).await?.status, 403);
    simulator.set_session(true);
    simulator.lose_session_with(simulator.token(), "PRIMARY_INACTIVITY")?;
    simulator.set_session(true);
    simulator.lose_session_of(simulator.token())?;
    simulator.hooks().idle().await;
    let told: Vec<(Value, Value)> = values(&receiver, "account_update")
        .iter()
        .map(|value| (value["event"].clone(), value["disconnection_info"]["reason"].clone()))
        .collect();
    let expected = [
        (json!("PARTNER_REMOVED"), json!("ACCOUNT_DISCONNECTED")),
        (json!("ACCOUNT_RECONNECTED"), Value::Null),
        (json!("PARTNER_REMOVED"), json!("PRIMARY_INACTIVITY")),
        (json!("ACCOUNT_RECONNECTED"), Value::Null),
        (json!("ACCOUNT_OFFBOARDED"), Value::Null),
    ];
    assert_eq!(told, expected);
    Ok(())
}

#[tokio::test]
async fn webhooks_are_signed_verified_and_may_be_of_another_number() -> Result<()> {
    let (simulator, receiver) = usual(few(3)).await?;
    assert!(simulator.hooks().verify(Receiver::verify_token()).await?);
    assert!(!simulator.hooks().verify("something else").await?);
    simulator.hooks().set(Some(receiver.hook().signed("app secret")));
    simulator.set_hook_faults("wrong-number=x1".parse::<HookFaults>()?)?;
    ask(&simulator, "sync-contacts").await?;
    ask_history(&simulator).await?;
    let signature = receiver.all()[0].header("x-hub-signature-256").map(str::len);
    assert_eq!(signature, Some("sha256=".len() + 64));
    assert_eq!(values(&receiver, "smb_app_state_sync")[0]["metadata"]["phone_number_id"], "999999");
    assert_eq!(values(&receiver, "history")[0]["metadata"]["phone_number_id"], "1060");
    Ok(())
}

#[tokio::test]
async fn token_and_number_belong_together() -> Result<()> {
    let (simulator, _receiver) = usual(few(1)).await?;
    let path = |number: &str| format!("/v2/whatsapp/numbers/{number}/onboarding-smb-app/sync-contacts");
    let answer = send(&simulator, "POST", &path("number-0"), Some("wrong"), "").await?;
    assert_eq!((answer.status, &answer.json()?["errors"][0]["code"]), (401, &json!("401")));
    assert_eq!(send(&simulator, "POST", &path("number-1"), Some(simulator.token()), "").await?.status, 404);
    for (fault, status) in [("429:3=all", 429), ("overlimit=all", 400), ("banned=all", 403), ("500=all", 500)] {
        simulator.set_faults(fault.parse::<Faults>()?)?;
        assert_eq!(ask_history(&simulator).await?.status, status, "{fault}");
    }
    assert_eq!(simulator.calls().count(Call::is_request), 4);
    simulator.set_faults(Faults::default())?;
    assert_eq!(ask_history(&simulator).await?.status, 200, "a fault in front of the gateway is no request");
    Ok(())
}
