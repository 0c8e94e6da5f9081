//! The contract of gdbrns: a request for the whole account, and events that may be nothing but counts.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{Bodies, Call, Faults, GdbrnsReadings, HookFaults, Population, Provider, Settings, Simulator};

use crate::{
    client::{Answer, few, get, send},
    receiver::Receiver,
};

async fn gdbrns(population: Population, gdbrns: GdbrnsReadings) -> Result<(Simulator, Receiver)> {
    let settings = Settings { provider: Provider::Gdbrns, population, gdbrns, ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook().signed("secret")));
    Ok((simulator, receiver))
}

async fn usual(contacts: u32) -> Result<(Simulator, Receiver)> {
    gdbrns(few(contacts), GdbrnsReadings::default()).await
}

async fn post(simulator: &Simulator, path: &str, body: &str) -> Result<Answer> {
    send(simulator, "POST", path, Some(simulator.token()), body).await
}

async fn ask(simulator: &Simulator, body: &str) -> Result<Answer> {
    let answer = post(simulator, "/history/sync", body).await?;
    simulator.hooks().idle().await;
    Ok(answer)
}

fn events(receiver: &Receiver, name: &str) -> Vec<Value> {
    receiver.bodies().into_iter().filter(|body| body["event_type"] == name).collect()
}

#[tokio::test]
async fn answers_are_enveloped_and_a_bare_token_is_none() -> Result<()> {
    let (simulator, _receiver) = usual(3).await?;
    let status = get(&simulator, "/devices/me/status").await?.json()?;
    assert_eq!((&status["status"], &status["code"]), (&json!(true), &json!(200)));
    assert_eq!(status["data"]["db_status"], "active");
    let refused = send(&simulator, "GET", "/devices/me/status", None, "").await?;
    assert_eq!((refused.status, &refused.json()?["status"]), (401, &json!(false)));
    simulator.set_session(false);
    assert_eq!(get(&simulator, "/devices/me/status").await?.json()?["data"]["is_connected"], json!(false));
    let refused = ask(&simulator, "").await?;
    assert_eq!((refused.status, &refused.json()?["code"]), (500, &json!(400)), "the body says something else");
    assert!(refused.body.contains("not connected"));
    Ok(())
}

#[tokio::test]
async fn contacts_are_keyed_by_their_addresses() -> Result<()> {
    let (simulator, _receiver) =
        gdbrns(Population { share_paired: 0.3, share_lid_only: 0.1, ..few(40) }, GdbrnsReadings::default()).await?;
    let listed = get(&simulator, "/users/me/contacts").await?.json()?;
    let listed: BTreeSet<&str> =
        listed["data"].as_array().context("a list")?.iter().filter_map(|contact| contact["jid"].as_str()).collect();
    let truth = simulator.truth();
    assert_eq!(listed, truth.persons().iter().flat_map(sincro_simulator::Person::listed_keys).collect());
    Ok(())
}

#[tokio::test]
async fn a_request_is_for_25_unless_it_says_otherwise_and_too_many_are_taken() -> Result<()> {
    let (simulator, _receiver) = usual(1).await?;
    for (body, count) in [("", 25), ("{}", 25), (r#"{"count":7}"#, 7), (r#"{"count":5000}"#, 5_000)] {
        let answer = ask(&simulator, body).await?;
        assert_eq!((answer.status, &answer.json()?["data"]["count"]), (200, &json!(count)), "{body}");
    }
    assert_eq!(ask(&simulator, "{").await?.status, 400);
    simulator.set_gdbrns(GdbrnsReadings { refuses_counts: true, ..GdbrnsReadings::default() });
    assert_eq!(ask(&simulator, r#"{"count":101}"#).await?.status, 400, "as the page says");
    Ok(())
}

#[tokio::test]
async fn by_the_source_events_carry_counts_and_no_message() -> Result<()> {
    let (simulator, receiver) = usual(50).await?;
    ask(&simulator, "").await?;
    let (pieces, ends) = (events(&receiver, "history.sync"), events(&receiver, "history.sync_complete"));
    let counts: Vec<u64> = pieces.iter().filter_map(|piece| piece["data"]["conversation_count"].as_u64()).collect();
    let progress: Vec<u64> = pieces.iter().filter_map(|piece| piece["data"]["progress"].as_u64()).collect();
    assert_eq!((counts, progress), (vec![20, 20, 10], vec![40, 80, 100]));
    assert!(pieces.iter().all(|piece| piece["data"]["messages"].is_null() && piece["data"]["conversations"].is_null()));
    assert_eq!((ends.len(), &ends[0]["device_id"]), (1, &json!("dev-0")));
    Ok(())
}

#[tokio::test]
async fn by_the_page_messages_come_in_either_place() -> Result<()> {
    for bodies in [Bodies::Messages, Bodies::Conversations] {
        let readings = GdbrnsReadings { bodies, ..GdbrnsReadings::default() };
        let (simulator, receiver) = gdbrns(Population { share_lid_only: 0.2, ..few(45) }, readings).await?;
        ask(&simulator, r#"{"count":10}"#).await?;
        let mut found = BTreeSet::new();
        for piece in events(&receiver, "history.sync") {
            let data = &piece["data"];
            let in_chats = data["conversations"].as_array().into_iter().flatten();
            let in_chats = in_chats.filter_map(|chat| chat["messages"].as_array()).flatten().map(|one| &one["message"]);
            for message in in_chats.chain(data["messages"].as_array().into_iter().flatten()) {
                let id = message["key"]["ID"].as_str().context("an id")?.to_owned();
                let at = message["messageTimestamp"].as_i64().context("a time")?;
                found.insert((id, at, message["key"]["fromMe"] == true));
            }
        }
        let truth = simulator.truth().account(10);
        let expected: BTreeSet<(String, i64, bool)> = truth
            .iter()
            .map(|message| (message.message_id.clone(), message.sent_at.timestamp(), message.from_me))
            .collect();
        assert_eq!(found, expected, "{bodies:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_end_may_never_be_told_and_the_phone_never_answer() -> Result<()> {
    let readings = GdbrnsReadings { completes: false, ..GdbrnsReadings::default() };
    let (simulator, receiver) = gdbrns(few(10), readings).await?;
    ask(&simulator, "").await?;
    assert_eq!(receiver.all().len(), 1);
    assert!(events(&receiver, "history.sync_complete").is_empty());
    simulator.set_gdbrns(GdbrnsReadings { phone_answers: false, ..readings });
    assert_eq!(ask(&simulator, "").await?.status, 200);
    simulator.set_gdbrns(GdbrnsReadings::default());
    simulator.set_hook_faults("silent=x1,last-missing=x1".parse::<HookFaults>()?)?;
    ask(&simulator, "").await?;
    assert_eq!(receiver.all().len(), 1, "nothing came of either");
    ask(&simulator, "").await?;
    assert!(events(&receiver, "history.sync_complete").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_pairing_completes_something_nobody_asked_for() -> Result<()> {
    let (simulator, receiver) = usual(5).await?;
    simulator.pair(simulator.token())?;
    simulator.hooks().idle().await;
    let told = events(&receiver, "history.sync_complete");
    assert_eq!(told[0]["data"]["sync_type"], "RECENT");
    assert!(told[0]["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(simulator.calls().count(Call::is_request), 0);
    Ok(())
}

#[tokio::test]
async fn hooks_are_registered_up_to_five_and_their_secret_is_told_once() -> Result<()> {
    let (simulator, _receiver) = usual(2).await?;
    simulator.hooks().set(None);
    let receiver = Receiver::start().await?;
    let wanted = json!({ "url": receiver.url(), "events": ["history.sync_complete"] }).to_string();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let data = post(&simulator, "/webhooks", &wanted).await?.json()?["data"].take();
        assert_eq!(data["secret"].as_str().map(str::len), Some(64));
        ids.push(data["webhook_id"].clone());
    }
    assert_eq!(post(&simulator, "/webhooks", &wanted).await?.status, 400, "a sixth");
    let listed = get(&simulator, "/webhooks").await?.json()?["data"].take();
    assert_eq!(listed.as_array().map(Vec::len), Some(5));
    assert!(listed[0]["secret"].is_null());
    for id in &ids[1..] {
        assert_eq!(
            send(&simulator, "DELETE", &format!("/webhooks/{id}"), Some(simulator.token()), "").await?.status,
            200
        );
    }
    assert_eq!(post(&simulator, "/webhooks/99/test", "").await?.status, 404);
    let path = format!("/webhooks/{}", ids[0]);
    let resubscribe = |events: Value| {
        let (simulator, path) = (&simulator, &path);
        async move {
            let body = json!({ "events": events }).to_string();
            anyhow::Ok(send(simulator, "PATCH", path, Some(simulator.token()), &body).await?.status)
        }
    };
    assert_eq!(resubscribe(json!([])).await?, 200);
    assert_eq!(post(&simulator, &format!("{path}/test"), "").await?.status, 200);
    simulator.hooks().idle().await;
    assert_eq!(receiver.bodies()[0]["event_type"], "test.ping");
    assert_eq!(resubscribe(json!(["history.sync_complete"])).await?, 200);
    ask(&simulator, "").await?;
    let posts = receiver.all().split_off(1);
    assert_eq!(posts.len(), 1, "one hook, one event of the two kinds");
    let [one, other] = ["x-webhook-signature", "x-hub-signature-256"].map(|name| posts[0].header(name));
    assert!(one.is_some_and(|signature| signature.starts_with("sha256=")) && one == other);
    assert_eq!(posts[0].header("x-webhook-event"), Some("history.sync_complete"));
    assert_eq!(posts[0].header("user-agent"), Some("WhatsApp-API-MultiSession/1.0"));
    simulator.set_gdbrns(GdbrnsReadings { public_hooks_only: true, ..GdbrnsReadings::default() });
    assert_eq!(post(&simulator, "/webhooks", &wanted).await?.status, 400, "not a public address");
    Ok(())
}

#[tokio::test]
async fn what_becomes_of_the_session_is_told() -> Result<()> {
    let (simulator, receiver) = usual(1).await?;
    simulator.set_session(false);
    simulator.set_session(true);
    simulator.lose_session_with(simulator.token(), "temporary_ban")?;
    simulator.set_session(true);
    simulator.lose_session_with(simulator.token(), "logged_out")?;
    simulator.hooks().idle().await;
    let told: Vec<String> =
        receiver.bodies().iter().filter_map(|body| Some(body["event_type"].as_str()?.to_owned())).collect();
    let expected = ["disconnected", "connected", "temporary_ban", "connected", "logged_out"];
    assert_eq!(told, expected.map(|word| format!("connection.{word}")));
    assert_eq!(get(&simulator, "/devices/me/status").await?.json()?["data"]["db_status"], "logged_out");
    Ok(())
}

#[tokio::test]
async fn faults_are_told_in_its_own_words() -> Result<()> {
    let (simulator, _receiver) = usual(1).await?;
    for (fault, status, text) in [
        ("429:2=all", 429, "too many requests"),
        ("500=all", 500, "internal server error"),
        ("overlimit=all", 500, "rate-overlimit"),
        ("banned=all", 500, "temporarily banned"),
        ("401=all", 401, "expired token"),
        ("no-session=all", 500, "not connected"),
    ] {
        simulator.set_faults(fault.parse::<Faults>()?)?;
        let answer = get(&simulator, "/users/me/contacts").await?;
        assert_eq!(answer.status, status, "{fault}");
        assert!(answer.body.contains(text), "{fault}: {}", answer.body);
    }
    Ok(())
}
