//! The contract of WSAPI: one record for both identities, and history that is flushed once.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sincro_simulator::{
    AccountMessage, Call, Faults, HookFault, HookRule, Kind, Population, Provider, Settings, Simulator, Step, Told,
    WSAPI_ADMIN_KEY, When, WsapiReadings,
};

use crate::{
    client::{Answer, few, send_with},
    receiver::Receiver,
};

const HISTORY: &str = "message_history_sync";

async fn wsapi(population: Population) -> Result<Simulator> {
    Simulator::start(Settings { provider: Provider::Wsapi, population, ..Settings::default() }).await
}

async fn call(simulator: &Simulator, method: &str, path: &str, body: &str) -> Result<Answer> {
    let headers = [("X-Api-Key", simulator.token()), ("X-Instance-Id", "ins_0")];
    send_with(simulator, method, path, &headers, body).await
}

async fn flush(simulator: &Simulator) -> Result<u16> {
    let status = call(simulator, "POST", "/session/flush-history", "").await?.status;
    simulator.hooks().idle().await;
    Ok(status)
}

/// A simulator, and a receiver that gets what it tells.
async fn told(population: Population) -> Result<(Simulator, Receiver)> {
    let (simulator, receiver) = (wsapi(population).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    Ok((simulator, receiver))
}

fn events(receiver: &Receiver, name: &str) -> Vec<Value> {
    receiver.bodies().into_iter().filter(|body| body["eventType"] == name).collect()
}

fn messages(events: &[Value]) -> Vec<Value> {
    let lists = events.iter().filter_map(|event| event["eventData"]["messages"].as_array());
    lists.flatten().cloned().collect()
}

fn said(message: &Value) -> &str {
    let places = ["/text", "/media/caption", "/reaction/emoji", "/contact/displayName"];
    places.iter().find_map(|place| message.pointer(place)?.as_str()).unwrap_or_default()
}

/// Every message of the truth is there once, with its chat, words, time and direction.
fn assert_is(found: &[Value], truth: &[AccountMessage]) -> Result<()> {
    let by_id: BTreeMap<&str, &Value> =
        found.iter().filter_map(|message| Some((message["id"].as_str()?, message))).collect();
    assert_eq!((found.len(), by_id.len()), (truth.len(), truth.len()));
    for expected in truth {
        let message = by_id.get(expected.message_id.as_str()).context("missing")?;
        assert_eq!(message["chatId"].as_str(), expected.phone_jid.as_deref());
        let time: DateTime<Utc> = message["time"].as_str().context("a time")?.parse()?;
        assert_eq!(time, expected.sent_at);
        assert_eq!(message["sender"]["isMe"], expected.from_me);
        assert_eq!(said(message), expected.text);
        assert_eq!(expected.told == Told::Placeholder, expected.kind == Kind::Location);
        if !expected.from_me {
            assert_eq!(message["sender"]["lid"].as_str(), expected.lid.as_deref());
        }
    }
    Ok(())
}

#[tokio::test]
async fn key_and_instance_are_both_asked_for() -> Result<()> {
    let simulator = wsapi(few(1)).await?;
    let key = ("X-Api-Key", simulator.token());
    let status = |headers: Vec<(&'static str, &'static str)>| {
        let simulator = &simulator;
        async move { send_with(simulator, "GET", "/session/status", &headers, "").await }
    };
    assert_eq!(key.1, "simulated-token");
    let known = ("X-Api-Key", "simulated-token");
    let answer = status(vec![]).await?;
    assert_eq!((answer.status, answer.json()?), (401, json!({ "status": 401, "detail": "unauthorized" })));
    assert_eq!(status(vec![known]).await?.status, 400);
    assert_eq!(status(vec![known, ("X-Instance-Id", "ins_7")]).await?.status, 404);
    assert_eq!(status(vec![("X-Api-Key", "wrong"), ("X-Instance-Id", "ins_0")]).await?.status, 401);
    let answer = status(vec![known, ("X-Instance-Id", "ins_0")]).await?;
    assert_eq!((answer.status, &answer.json()?["isLoggedIn"]), (200, &json!(true)));
    assert_eq!(simulator.name_of(simulator.token()).as_deref(), Some("ins_0"));
    Ok(())
}

#[tokio::test]
async fn one_contact_is_one_record_with_both_identities() -> Result<()> {
    let mixed = Population { share_lid_only: 0.2, share_paired: 0.3, ..few(60) };
    let simulator = wsapi(mixed).await?;
    let listed = call(&simulator, "GET", "/contacts", "").await?.json()?;
    let listed = listed.as_array().context("a list")?;
    let truth = simulator.truth();
    assert_eq!(listed.len(), truth.persons().len());
    for (record, person) in listed.iter().zip(truth.persons()) {
        assert_eq!(record["lid"].as_str(), person.lid.as_deref());
        assert_eq!(record["id"].as_str(), person.phone_jid.as_deref().or(person.lid.as_deref()));
    }
    Ok(())
}

#[tokio::test]
async fn a_flush_brings_every_chat_once_and_the_truth_says_so() -> Result<()> {
    let (simulator, receiver) = told(Population { share_lid_only: 0.1, ..few(40) }).await?;
    assert_eq!(flush(&simulator).await?, 202);
    let events = events(&receiver, HISTORY);
    let truth = simulator.truth();
    let chats = truth.persons().iter().filter(|person| person.phone_jid.is_some());
    let chats = chats.filter(|person| person.addresses().any(|address| !truth.chat(address, 1).is_empty()));
    assert_eq!(events.len(), chats.count());
    assert_is(&messages(&events), &truth.account(usize::MAX))?;
    assert!(simulator.deliveries().all().iter().all(|delivery| delivery.history && delivery.event == HISTORY));
    Ok(())
}

#[tokio::test]
async fn a_long_chat_is_split_at_500_messages() -> Result<()> {
    let long = Population { messages_mean: 1_100, messages_max: 1_100, share_empty: 0.0, ..few(1) };
    let (simulator, receiver) = told(long).await?;
    flush(&simulator).await?;
    let sizes: Vec<usize> =
        events(&receiver, HISTORY).iter().map(|event| messages(std::slice::from_ref(event)).len()).collect();
    assert_eq!(sizes, [500, 500, 100]);
    Ok(())
}

#[tokio::test]
async fn the_cache_is_gone_after_a_flush_even_where_nobody_received_it() -> Result<()> {
    let (simulator, receiver) = told(few(10)).await?;
    simulator.hooks().set(Some(sincro_simulator::Hook::to("http://127.0.0.1:9/dead")));
    assert_eq!(flush(&simulator).await?, 202);
    simulator.hooks().set(Some(receiver.hook()));
    simulator.deliveries().clear();
    assert_eq!(flush(&simulator).await?, 202, "an empty cache is no error");
    assert!(receiver.all().is_empty() && simulator.deliveries().all().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_second_flush_before_the_first_is_done_brings_everything_twice() -> Result<()> {
    let (simulator, receiver) = told(few(10)).await?;
    simulator.hooks().hold();
    for _ in 0..2 {
        assert_eq!(call(&simulator, "POST", "/session/flush-history", "").await?.status, 202);
    }
    let once = simulator.truth().account(usize::MAX).len();
    let chats = simulator.truth().persons().iter().filter(|person| !empty(&simulator, person)).count();
    simulator.hooks().wait_for_held(2 * chats).await;
    simulator.hooks().go_on();
    simulator.hooks().idle().await;
    assert_eq!(messages(&events(&receiver, HISTORY)).len(), 2 * once);
    Ok(())
}

fn empty(simulator: &Simulator, person: &sincro_simulator::Person) -> bool {
    person.addresses().all(|address| simulator.truth().chat(address, 1).is_empty())
}

#[tokio::test]
async fn the_initial_sync_is_finished_once_per_pairing_and_fills_the_cache() -> Result<()> {
    let (simulator, receiver) = told(few(20)).await?;
    simulator.expire_cache(simulator.token())?;
    flush(&simulator).await?;
    assert!(events(&receiver, HISTORY).is_empty(), "an hour later");
    simulator.pair_step(simulator.token(), Step::Begin)?;
    flush(&simulator).await?;
    let early = messages(&events(&receiver, HISTORY)).len();
    assert_eq!(events(&receiver, "initial_sync_finished").len(), 0);
    simulator.pair_step(simulator.token(), Step::Finish)?;
    simulator.pair_step(simulator.token(), Step::Finish)?;
    flush(&simulator).await?;
    let all = messages(&events(&receiver, HISTORY)).len();
    assert!(0 < early && early < all);
    assert_eq!(all, simulator.truth().account(usize::MAX).len());
    assert_eq!((events(&receiver, "logged_in").len(), events(&receiver, "initial_sync_finished").len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn without_history_nothing_is_cached_and_the_finish_is_told_by_one_reading_only() -> Result<()> {
    let (simulator, receiver) = told(few(5)).await?;
    simulator.set_history(false);
    simulator.pair(simulator.token())?;
    assert_eq!(flush(&simulator).await?, 202);
    assert!(events(&receiver, HISTORY).is_empty() && events(&receiver, "initial_sync_finished").is_empty());
    simulator.set_wsapi(WsapiReadings { finishes_without_history: true, ..WsapiReadings::default() });
    simulator.pair(simulator.token())?;
    flush(&simulator).await?;
    assert!(events(&receiver, HISTORY).is_empty());
    assert_eq!(events(&receiver, "initial_sync_finished").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_lost_session_is_told_and_refuses() -> Result<()> {
    let (simulator, receiver) = told(few(2)).await?;
    simulator.set_session(false);
    simulator.hooks().idle().await;
    assert_eq!(events(&receiver, "logged_out")[0]["eventData"]["reason"], "server_logout");
    assert_eq!(flush(&simulator).await?, 400);
    let answer = call(&simulator, "GET", "/contacts", "").await?;
    assert_eq!((answer.status, answer.json()?), (409, json!({ "status": 409, "detail": "device not paired" })));
    simulator.lose_session_of(simulator.token())?;
    assert_eq!(call(&simulator, "GET", "/contacts", "").await?.status, 503);
    simulator.set_session(true);
    simulator.set_session(true);
    simulator.hooks().idle().await;
    assert_eq!(events(&receiver, "logged_in").len(), 1, "told once");
    Ok(())
}

#[tokio::test]
async fn more_of_a_chat_comes_before_an_anchor() -> Result<()> {
    let (simulator, receiver) = told(Population { older_on_phone: 30, share_empty: 0.0, ..few(3) }).await?;
    let truth = simulator.truth();
    let phone = truth.persons()[0].phone_jid.clone().context("a phone")?;
    let all = truth.account(usize::MAX);
    let oldest = all.iter().find(|message| message.phone_jid.as_ref() == Some(&phone)).context("a message")?;
    let sender = if oldest.from_me { "5511999990000@s.whatsapp.net" } else { &phone };
    let ask = |body: Value| {
        let (simulator, path) = (&simulator, format!("/chats/{phone}/messages"));
        async move {
            let status = call(simulator, "POST", &path, &body.to_string()).await?.status;
            simulator.hooks().idle().await;
            anyhow::Ok(status)
        }
    };
    let anchor = json!({ "lastMessageId": oldest.message_id, "lastMessageSenderId": sender, "count": 10 });
    assert_eq!(ask(anchor.clone()).await?, 202);
    let expected: Vec<String> = truth.older(&phone).into_iter().take(10).map(|message| message.message_id).collect();
    let mut found: Vec<String> = messages(&events(&receiver, HISTORY))
        .iter()
        .filter_map(|message| message["id"].as_str().map(str::to_owned))
        .collect();
    found.reverse();
    assert_eq!(found, expected, "the last ten before the anchor");

    for (body, status) in [
        (json!({}), 400),
        (json!({ "lastMessageId": oldest.message_id, "count": 501 }), 400),
        (json!({ "lastMessageId": "3EB0INVENTED", "count": 5 }), 202),
        (json!({ "lastMessageId": truth.older(&phone).last().context("oldest")?.message_id, "count": 5 }), 202),
    ] {
        assert_eq!(ask(body).await?, status);
    }
    assert_eq!(receiver.all().len(), 1, "no answer is no event");
    simulator.set_wsapi(WsapiReadings { nameless_answers: true, ..WsapiReadings::default() });
    assert_eq!(ask(anchor.clone()).await?, 202);
    let nameless = events(&receiver, HISTORY).pop().context("an event")?;
    assert_eq!(
        (&nameless["eventData"]["chatId"], &messages(std::slice::from_ref(&nameless))[0]["chatId"]),
        (&json!(""), &json!(phone))
    );
    simulator.set_hook_faults(HookRule::new(HookFault::Silent, When::Always))?;
    assert_eq!(ask(anchor).await?, 202);
    assert_eq!(receiver.all().len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_event_is_signed_names_its_instance_and_may_name_another() -> Result<()> {
    let (simulator, receiver) = (wsapi(few(3)).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook().signed("secret")));
    simulator.set_hook_faults(HookRule::new(HookFault::WrongNumber, When::Next(1)).on_event(HISTORY))?;
    flush(&simulator).await?;
    let posts = receiver.all();
    assert!(posts[0].header("x-webhook-signature").is_some_and(|signature| signature.len() == 7 + 64));
    assert_eq!(posts[0].header("x-instance-id"), Some("ins_0"));
    assert_eq!(posts[0].json()["instanceId"], "ins_elsewhere");
    assert_eq!(posts[1].json()["instanceId"], "ins_0");
    let ids: std::collections::BTreeSet<String> =
        receiver.bodies().iter().map(|body| body["eventId"].to_string()).collect();
    assert_eq!(ids.len(), posts.len());
    Ok(())
}

#[tokio::test]
async fn a_session_lost_in_the_middle_takes_the_rest_with_it() -> Result<()> {
    let (simulator, receiver) = told(Population { share_empty: 0.0, ..few(10) }).await?;
    simulator.set_hook_faults("session-lost@message_history_sync=x1".parse::<sincro_simulator::HookFaults>()?)?;
    simulator.hooks().hold();
    call(&simulator, "POST", "/session/flush-history", "").await?;
    let held = simulator.hooks().wait_for_held(10).await;
    simulator.hooks().release(held[0].number)?;
    simulator.hooks().wait_for_held(1).await;
    simulator.deliveries().wait_for(10, |delivery| delivery.fault.as_deref() == Some("session-lost")).await;
    simulator.hooks().go_on();
    simulator.hooks().idle().await;
    assert_eq!(receiver.bodies().iter().map(|body| body["eventType"].clone()).collect::<Vec<_>>(), ["logged_out"]);
    assert_eq!(flush(&simulator).await?, 400);
    Ok(())
}

#[tokio::test]
async fn files_are_downloaded_by_id_and_old_ones_are_gone() -> Result<()> {
    let simulator = wsapi(few(30)).await?;
    let (mut there, mut gone) = (0, 0);
    for message in simulator.truth().account(usize::MAX) {
        let file = matches!(message.kind, Kind::Image | Kind::Document | Kind::Sticker);
        let path = format!("/media/download?id=med_{}", message.message_id);
        let answer = call(&simulator, "GET", &path, "").await?;
        assert!(
            answer.status == 404 || file || matches!(message.kind, Kind::Audio | Kind::Video),
            "{:?}",
            message.kind
        );
        there += usize::from(answer.status == 200);
        gone += usize::from(file && answer.status == 404);
    }
    assert!(there > 0 && gone > 0);
    simulator.set_session(false);
    assert_eq!(call(&simulator, "GET", "/media/download?id=med_1", "").await?.status, 409);
    Ok(())
}

#[tokio::test]
async fn faults_are_told_in_its_own_words_and_requests_are_logged() -> Result<()> {
    let simulator = wsapi(few(1)).await?;
    for (fault, status, detail) in [
        ("429:7=all", 429, "too many requests"),
        ("500=all", 500, "internal error"),
        ("overlimit=all", 502, "rate-overlimit"),
        ("banned=all", 502, "banned"),
        ("401=all", 401, "unauthorized"),
        ("no-session=all", 409, "device not paired"),
    ] {
        simulator.set_faults(fault.parse::<Faults>()?)?;
        let answer = call(&simulator, "GET", "/contacts", "").await?;
        assert_eq!(answer.status, status, "{fault}");
        assert!(answer.body.contains(detail), "{fault}: {}", answer.body);
    }
    simulator.set_faults(Faults::default())?;
    flush(&simulator).await?;
    call(&simulator, "POST", "/chats/1@lid/messages", "{}").await?;
    assert_eq!((simulator.calls().count(Call::is_request), simulator.calls().count(Call::is_contacts)), (2, 6));
    assert_eq!(simulator.calls().count(|call| call.address.as_deref() == Some("1@lid")), 1);
    Ok(())
}

/// The time is written in whole seconds.
#[tokio::test]
async fn times_are_utc() -> Result<()> {
    let (simulator, receiver) = told(Population { share_empty: 0.0, ..few(1) }).await?;
    flush(&simulator).await?;
    let message = messages(&events(&receiver, HISTORY)).pop().context("a message")?;
    let truth = simulator.truth().account(usize::MAX).pop().context("a message")?;
    assert_eq!(message["time"], truth.sent_at.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(())
}

#[tokio::test]
async fn an_instance_is_set_up_with_the_key_of_the_server() -> Result<()> {
    let (simulator, receiver) = (wsapi(few(3)).await?, Receiver::start().await?);
    let config = "/admin/instances/ins_0/config";
    let put = |key: &'static str, path: &'static str, body: Value| {
        let simulator = &simulator;
        async move { send_with(simulator, "PUT", path, &[("X-Api-Key", key)], &body.to_string()).await }
    };
    let wanted = json!({ "webhookUrl": receiver.url(), "signingSecret": "key", "eventFilters": ["message"] });
    assert_eq!(put("simulated-token", config, wanted.clone()).await?.status, 401);
    assert_eq!(put(WSAPI_ADMIN_KEY, "/admin/instances/ins_9/config", wanted.clone()).await?.status, 404);
    let told = put(WSAPI_ADMIN_KEY, config, wanted).await?.json()?;
    assert_eq!((&told["signingSecret"], &told["historySync"]), (&json!("***"), &json!(true)));
    simulator.pair(simulator.token())?;
    flush(&simulator).await?;
    let names: Vec<Value> = receiver.bodies().iter().map(|body| body["eventType"].clone()).collect();
    assert_eq!(names, ["logged_in", "initial_sync_finished"], "no filter keeps these out, and all others stay out");
    let more = json!({ "eventFilters": ["message_history_sync"], "historySync": false });
    let told = put(WSAPI_ADMIN_KEY, config, more).await?.json()?;
    assert_eq!((&told["webhookUrl"], &told["historySync"]), (&json!(receiver.url()), &json!(false)));
    Ok(())
}
