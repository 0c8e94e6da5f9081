//! WuzAPI's requests to the phone and its webhooks: what a deep request adds, the trap of its parameters, and both formats.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{
    AnswersUnder, Call, Format, HookFaults, Person, Population, Settings, Simulator, TrueMessage, WuzapiReadings,
};

use crate::{
    client::{Answer, few, get, history, send},
    receiver::Receiver,
};

/// A phone that holds more than the gateway, and somebody who gets what it tells.
async fn deep(population: Population) -> Result<(Simulator, Receiver)> {
    let population = Population { older_on_phone: 30, share_empty: 0.0, share_without_lid: 0.0, ..population };
    let settings = Settings { population, ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    Ok((simulator, receiver))
}

/// Somebody, an address with messages, and the oldest of them.
fn anchor(simulator: &Simulator) -> Result<(Person, String, TrueMessage)> {
    let truth = simulator.truth();
    let oldest = |address: &str| truth.chat(address, usize::MAX).into_iter().min_by_key(|message| message.sent_at);
    let found = |person: &Person| {
        // The oldest of all the person's messages, so that nothing stored is before it.
        let oldest = person.addresses().filter_map(|address| Some((address.to_owned(), oldest(address)?)));
        let (address, message) = oldest.min_by_key(|(_, message)| message.sent_at)?;
        Some((person.clone(), address, message))
    };
    truth.persons().iter().find_map(found).context("somebody with messages")
}

fn query(address: &str, oldest: &TrueMessage, count: usize) -> String {
    format!(
        "/session/history?count={count}&chat_jid={address}&oldest_msg_id={}&oldest_msg_from_me={}&oldest_msg_timestamp={}",
        oldest.message_id,
        oldest.from_me,
        oldest.sent_at.timestamp_millis()
    )
}

async fn ask(simulator: &Simulator, path: &str) -> Result<Answer> {
    let answer = get(simulator, path).await?;
    simulator.hooks().idle().await;
    Ok(answer)
}

fn data(receiver: &Receiver) -> Vec<Value> {
    let bodies = receiver.bodies().into_iter().filter(|body| body["type"] == "HistorySync");
    bodies.map(|body| body["event"]["Data"].clone()).collect()
}

fn ids(conversation: &Value) -> Vec<String> {
    let messages = conversation["messages"].as_array().into_iter().flatten();
    messages.filter_map(|message| Some(message["message"]["key"]["ID"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_deep_request_brings_what_only_the_phone_holds_and_the_chat_has_it_afterwards() -> Result<()> {
    let (simulator, receiver) = deep(few(3)).await?;
    let (person, address, oldest) = anchor(&simulator)?;
    let older: Vec<String> = simulator.truth().older(&address).into_iter().map(|older| older.message_id).collect();
    assert!(older.len() >= 15);
    assert!(older.iter().all(|id| !simulator.truth().expected(usize::MAX).contains(id)), "no chat has them");
    let before = simulator.truth().chat(&address, usize::MAX).len();

    let answer = ask(&simulator, &query(&address, &oldest, 10)).await?.data()?;
    assert_eq!((&answer["count"], &answer["chat_jid"]), (&json!(10), &json!(address)));
    let told = data(&receiver).pop().context("told")?;
    assert_eq!((&told["syncType"], &told["progress"]), (&json!(6), &json!(100)));
    let conversation = &told["conversations"][0];
    assert_eq!(ids(conversation), older[..10], "the ten before the anchor, newest first");
    assert_eq!((&conversation["ID"], &conversation["endOfHistoryTransferType"]), (&json!(address), &json!(2)));
    let mapping = json!([{ "pnJID": person.phone_jid, "lidJID": person.lid }]);
    assert_eq!(told["phoneNumberToLidMappings"], mapping);

    let rows = history(&simulator, &address, 100).await?.data()?;
    let rows: Vec<&str> =
        rows.as_array().context("rows")?.iter().filter_map(|row| row["message_id"].as_str()).collect();
    assert_eq!(rows.len(), before + 10);
    assert_eq!(rows[..10].iter().rev().copied().collect::<Vec<_>>(), older[..10], "inserted last, so they come first");
    ask(&simulator, &query(&address, &oldest, 10)).await?;
    assert_eq!(history(&simulator, &address, 100).await?.data()?.as_array().map(Vec::len), Some(before + 10));
    Ok(())
}

#[tokio::test]
async fn the_end_is_told_and_behind_it_comes_nothing() -> Result<()> {
    let (simulator, receiver) = deep(few(1)).await?;
    let (_, address, oldest) = anchor(&simulator)?;
    ask(&simulator, &query(&address, &oldest, 50)).await?;
    let older = simulator.truth().older(&address);
    ask(&simulator, &query(&address, older.last().context("the first of all")?, 50)).await?;
    let told = data(&receiver);
    let ends: Vec<&Value> = told.iter().map(|data| &data["conversations"][0]["endOfHistoryTransferType"]).collect();
    assert_eq!(ends, [1, 1]);
    assert_eq!((ids(&told[0]["conversations"][0]).len(), ids(&told[1]["conversations"][0]).len()), (older.len(), 0));
    simulator.set_wuzapi(WuzapiReadings { no_end_told: true, ..WuzapiReadings::default() });
    ask(&simulator, &query(&address, &oldest, 50)).await?;
    assert!(data(&receiver)[2]["conversations"][0].get("endOfHistoryTransferType").is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_request_does_not_say_is_taken_from_another_chat() -> Result<()> {
    let (simulator, receiver) = deep(few(20)).await?;
    let (_, address, oldest) = anchor(&simulator)?;
    let answer = ask(&simulator, &format!("/session/history?chat_jid={address}&count=ten")).await?;
    let answer = answer.data()?;
    assert_eq!((&answer["count"], &answer["chat_jid"]), (&json!(50), &json!(address)), "no 400");
    let foreign = answer["oldest_msg_id"].as_str().context("a foreign anchor")?.to_owned();
    assert_ne!(foreign, oldest.message_id);
    assert!(receiver.all().is_empty(), "the phone finds no such message in the chat");

    ask(&simulator, &query(&address, &oldest, 5)).await?;
    assert_eq!(receiver.all().len(), 1);
    let next = ask(&simulator, "/session/history").await?.data()?;
    assert_eq!(next["oldest_msg_id"], oldest.message_id, "what was asked last is remembered in its place");
    Ok(())
}

#[tokio::test]
async fn an_answer_may_come_under_the_other_identity_in_other_letters_and_reveal_a_phone() -> Result<()> {
    let (simulator, receiver) = deep(few(2)).await?;
    let (person, address, oldest) = anchor(&simulator)?;
    let other = person.addresses().find(|known| *known != address).context("two addresses")?.to_owned();
    let readings = WuzapiReadings { answers_under: AnswersUnder::Other, camel_case: true, ..WuzapiReadings::default() };
    simulator.set_wuzapi(readings);
    ask(&simulator, &query(&address, &oldest, 5)).await?;
    let conversation = data(&receiver)[0]["conversations"][0].clone();
    assert_eq!(conversation["id"], other);
    assert_eq!(conversation["messages"][0]["message"]["key"]["remoteJid"], other);
    let rows = history(&simulator, &other, 5).await?.data()?;
    assert_eq!(rows[0]["chat_jid"], other, "stored as it arrived");

    let (simulator, receiver) = deep(Population { share_lid_only: 1.0, ..few(2) }).await?;
    let (_, lid, oldest) = anchor(&simulator)?;
    ask(&simulator, &query(&lid, &oldest, 5)).await?;
    simulator.set_wuzapi(WuzapiReadings { reveals_phones: true, ..WuzapiReadings::default() });
    ask(&simulator, &query(&lid, &oldest, 5)).await?;
    let told = data(&receiver);
    assert_eq!(told[0]["phoneNumberToLidMappings"], json!([]));
    let phone = simulator.truth().hidden_phone(&lid).context("a phone")?;
    assert_eq!(told[1]["phoneNumberToLidMappings"], json!([{ "pnJID": phone, "lidJID": lid }]));
    Ok(())
}

#[tokio::test]
async fn a_silent_phone_is_no_error_and_a_lost_session_is() -> Result<()> {
    let (simulator, receiver) = deep(few(1)).await?;
    let (_, address, oldest) = anchor(&simulator)?;
    simulator.set_hook_faults("silent=all".parse::<HookFaults>()?)?;
    assert_eq!(ask(&simulator, &query(&address, &oldest, 5)).await?.status, 200);
    assert!(receiver.all().is_empty());
    let rows = history(&simulator, &address, 100).await?.data()?;
    let rows: BTreeSet<&str> =
        rows.as_array().context("rows")?.iter().filter_map(|row| row["message_id"].as_str()).collect();
    assert!(simulator.truth().older(&address).iter().all(|older| !rows.contains(older.message_id.as_str())));
    simulator.set_session(false);
    let refused = ask(&simulator, &query(&address, &oldest, 5)).await?;
    assert_eq!((refused.status, &refused.json()?["error"]), (500, &json!("no session")));
    assert_eq!(simulator.calls().count(Call::is_request), 2);
    Ok(())
}

#[tokio::test]
async fn events_nobody_knows_are_dropped_without_a_word() -> Result<()> {
    let (simulator, receiver) = deep(few(1)).await?;
    let post = |method: &'static str, path: &'static str, body: Value| {
        let simulator = &simulator;
        async move { send(simulator, method, path, Some(simulator.token()), &body.to_string()).await }
    };
    let wanted = json!({ "webhookurl": receiver.url(), "events": ["HistorySync", "Histories", "LoggedOut"] });
    assert_eq!(post("POST", "/webhook", wanted).await?.status, 200);
    let told = get(&simulator, "/webhook").await?.data()?;
    assert_eq!(told, json!({ "webhook": receiver.url(), "subscribe": ["HistorySync", "LoggedOut"] }));
    let status = get(&simulator, "/session/status").await?.data()?;
    assert_eq!((&status["webhook"], &status["events"]), (&json!(receiver.url()), &json!("HistorySync,LoggedOut")));
    simulator.set_session(false);
    simulator.lose_session_of(simulator.token())?;
    simulator.set_session(true);
    simulator.lose_session_of(simulator.token())?;
    simulator.hooks().idle().await;
    assert_eq!(receiver.bodies().iter().map(|body| body["type"].clone()).collect::<Vec<_>>(), ["LoggedOut"]);
    let wanted = json!({ "webhook": receiver.url(), "events": ["All"], "active": true });
    assert_eq!(post("PUT", "/webhook", wanted).await?.status, 200);
    simulator.set_session(true);
    simulator.lose_session_with(simulator.token(), "TemporaryBan")?;
    simulator.hooks().idle().await;
    let told: Vec<Value> = receiver.bodies().iter().map(|body| body["type"].clone()).collect();
    assert_eq!(told, ["LoggedOut", "Connected", "TemporaryBan"]);
    assert_eq!(post("DELETE", "/webhook", json!({})).await?.status, 200);
    assert!(simulator.hooks().registered().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_form_holds_the_same_event_and_is_signed_as_it_is_sent() -> Result<()> {
    let (simulator, receiver) = deep(few(1)).await?;
    let key = "0123456789abcdef0123456789abcdef";
    let configure = |body: Value| {
        let simulator = &simulator;
        async move { send(simulator, "POST", "/session/hmac/config", Some(simulator.token()), &body.to_string()).await }
    };
    assert_eq!(configure(json!({ "hmac_key": "short" })).await?.status, 400);
    assert_eq!(configure(json!({ "hmac_key": key })).await?.status, 200);
    assert_eq!(get(&simulator, "/session/hmac/config").await?.data()?["hmac_key"], "***");
    assert_eq!(get(&simulator, "/session/status").await?.data()?["hmac_configured"], true);
    simulator.set_wuzapi(WuzapiReadings { format: Format::Form, ..WuzapiReadings::default() });
    let (_, address, oldest) = anchor(&simulator)?;
    ask(&simulator, &query(&address, &oldest, 3)).await?;
    let sent = receiver.all().pop().context("told")?;
    assert_eq!(sent.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(sent.header("x-hmac-signature").map(str::len), Some(64), "digits alone");
    let query = format!("/?{}", std::str::from_utf8(&sent.raw)?).parse()?;
    let axum::extract::Query(fields): axum::extract::Query<std::collections::BTreeMap<String, String>> =
        axum::extract::Query::try_from_uri(&query)?;
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["instanceName", "jsonData", "userID"]);
    let event: Value = serde_json::from_str(&fields["jsonData"])?;
    assert_eq!(ids(&event["event"]["Data"]["conversations"][0]).len(), 3);
    assert_eq!(Some(fields["userID"].as_str()), simulator.name_of(simulator.token()).as_deref());
    Ok(())
}

#[tokio::test]
async fn a_pairing_brings_the_history_of_thirty_chats_nobody_asked_for() -> Result<()> {
    let (simulator, receiver) = deep(few(40)).await?;
    simulator.pair(simulator.token())?;
    simulator.hooks().idle().await;
    let kinds: Vec<Value> = receiver.bodies().iter().map(|body| body["type"].clone()).collect();
    assert_eq!(kinds, ["Connected", "PairSuccess", "HistorySync"]);
    let told = data(&receiver).pop().context("history")?;
    assert_eq!((&told["syncType"], &told["progress"]), (&json!(3), &json!(100)));
    assert_eq!(told["conversations"].as_array().map(Vec::len), Some(30));
    assert_eq!(simulator.calls().count(Call::is_request), 0);
    Ok(())
}
