//! Whapi's restoring of single messages, its settings and its webhooks.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{Call, HookFaults, Population, Provider, Restoring, Settings, Simulator};

use crate::{
    client::{Answer, few, get, send},
    receiver::Receiver,
};

const NEVER: Restoring = Restoring { hold_ms: 1, readable_after_ms: None, appends_webhooks: false };

async fn whapi(whapi_restoring: Restoring) -> Result<(Simulator, Receiver)> {
    let population = Population { older_on_phone: 5, share_empty: 0.0, ..few(4) };
    let settings = Settings { provider: Provider::Whapi, whapi_restoring, population, ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    Ok((simulator, receiver))
}

/// An address, and a message of it that the gateway does not have.
fn missing(simulator: &Simulator) -> Result<(String, String)> {
    let truth = simulator.truth();
    let address = truth.addresses().next().context("an address")?.to_owned();
    let message = truth.older(&address).into_iter().next().context("a message")?;
    Ok((address, message.message_id))
}

async fn read(simulator: &Simulator, id: &str) -> Result<Answer> {
    get(simulator, &format!("/messages/{id}")).await
}

async fn resync(simulator: &Simulator, id: &str) -> Result<Answer> {
    get(simulator, &format!("/messages/{id}?resync=true")).await
}

#[tokio::test]
async fn a_message_is_read_by_the_id_the_gateway_gave_it() -> Result<()> {
    let (simulator, _receiver) = whapi(Restoring::default()).await?;
    let truth = simulator.truth();
    let address = truth.addresses().next().context("an address")?;
    let known = truth.chat(address, 1).pop().context("a message")?;
    let answer = read(&simulator, &known.message_id).await?;
    assert_eq!((answer.status, &answer.json()?["id"]), (200, &json!(known.message_id)));
    assert_eq!(read(&simulator, &known.message_id.replace('-', "")).await?.status, 400, "not of its own form");
    assert_eq!(read(&simulator, "PsqXn.SOAjx-xQA").await?.status, 404);
    assert_eq!(simulator.calls().count(Call::is_message), 3);
    simulator.set_session(false);
    assert_eq!(read(&simulator, &known.message_id).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_resync_that_the_phone_answers_in_time_is_200() -> Result<()> {
    let (simulator, receiver) = whapi(Restoring { hold_ms: 60_000, ..Restoring::default() }).await?;
    let (address, id) = missing(&simulator)?;
    assert_eq!(read(&simulator, &id).await?.status, 404);
    let before = get(&simulator, &format!("/messages/list/{address}")).await?.json()?["total"].as_u64();
    let answer = resync(&simulator, &id).await?;
    assert_eq!((answer.status, &answer.json()?["id"]), (200, &json!(id)));
    assert_eq!(read(&simulator, &id).await?.status, 200);
    let after = get(&simulator, &format!("/messages/list/{address}")).await?.json()?["total"].as_u64();
    assert_eq!(after, before.map(|before| before + 1), "the chat has it now");
    let told = &receiver.wait_for(1).await[0];
    assert_eq!(
        (&told.json()["event"], &told.json()["messages"][0]["id"]),
        (&json!({ "type": "messages", "event": "post" }), &json!(id),)
    );
    Ok(())
}

#[tokio::test]
async fn a_resync_may_end_with_404_and_the_message_come_later_as_if_it_were_new() -> Result<()> {
    let (simulator, receiver) = whapi(NEVER).await?;
    let (_, id) = missing(&simulator)?;
    assert_eq!(resync(&simulator, &id).await?.status, 404);
    assert_eq!(read(&simulator, &id).await?.status, 404);
    assert!(receiver.all().is_empty());
    simulator.restore(simulator.token(), &id)?;
    simulator.restore(simulator.token(), &id)?;
    assert_eq!(read(&simulator, &id).await?.status, 200);
    simulator.hooks().idle().await;
    let told = receiver.bodies();
    assert_eq!((told.len(), &told[0]["channel_id"]), (1, &json!("SIM-0")));
    let known = simulator.truth().older(&missing(&simulator)?.0).remove(0);
    assert_eq!(told[0]["messages"][0]["timestamp"], known.sent_at.timestamp(), "its time alone gives it away");
    assert!(simulator.restore(simulator.token(), "PsqXn.SOAjx-xQA").is_err());
    Ok(())
}

#[tokio::test]
async fn a_phone_that_is_off_restores_nothing() -> Result<()> {
    let (simulator, receiver) = whapi(Restoring { hold_ms: 1, ..Restoring::default() }).await?;
    simulator.set_hook_faults("silent=all".parse::<HookFaults>()?)?;
    let (_, id) = missing(&simulator)?;
    assert_eq!(resync(&simulator, &id).await?.status, 404);
    assert_eq!(resync(&simulator, "PsqXn.SOAjx-xQA").await?.status, 404);
    assert!(receiver.all().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_change_of_settings_replaces_the_webhooks_or_adds_to_them() -> Result<()> {
    let (simulator, receiver) = whapi(NEVER).await?;
    let change = |webhooks: Value| {
        let simulator = &simulator;
        async move {
            let body = json!({ "webhooks": webhooks, "callback_persist": false }).to_string();
            send(simulator, "PATCH", "/settings", Some(simulator.token()), &body).await
        }
    };
    let hook = json!({
        "mode": "body",
        "url": receiver.url(),
        "headers": { "X-Ingest-Key": "open sesame" },
        "events": [{ "type": "messages", "method": "post" }],
    });
    let settings = change(json!([hook])).await?.json()?;
    assert_eq!((&settings["webhooks"], &settings["callback_persist"]), (&json!([hook]), &json!(false)));
    assert_eq!(get(&simulator, "/settings").await?.json()?, settings);
    let (_, id) = missing(&simulator)?;
    simulator.restore(simulator.token(), &id)?;
    simulator.set_session(false);
    simulator.hooks().idle().await;
    let posts = receiver.all();
    assert_eq!(posts.len(), 1, "not subscribed to the session");
    assert_eq!(posts[0].header("x-ingest-key"), Some("open sesame"));
    simulator.set_restoring(Restoring { appends_webhooks: true, ..NEVER });
    change(json!([hook])).await?;
    assert_eq!(simulator.hooks().registered().len(), 2);
    let crowded =
        json!([{ "url": "http://127.0.0.1:9/", "headers": { "a": "", "b": "", "c": "", "d": "", "e": "", "f": "" } }]);
    assert_eq!(change(crowded).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn the_session_is_told_as_channel_and_users() -> Result<()> {
    let (simulator, receiver) = whapi(NEVER).await?;
    simulator.lose_session_with(simulator.token(), "SYNC_ERROR")?;
    simulator.set_session(true);
    simulator.hooks().idle().await;
    let told = receiver.bodies();
    let words: Vec<&Value> = told.iter().filter_map(|body| body.pointer("/health/status/text")).collect();
    assert_eq!(words, ["SYNC_ERROR", "AUTH"]);
    let users: Vec<&Value> =
        told.iter().filter(|body| body["users"].is_array()).map(|body| &body["event"]["event"]).collect();
    assert_eq!(users, ["delete", "post"]);
    Ok(())
}
