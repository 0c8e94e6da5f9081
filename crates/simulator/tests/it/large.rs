//! Webhooks of many megabytes, whatever provider they are of.

use anyhow::Result;
use sincro_simulator::{Format, Pace, Provider, Settings, Simulator, WuzapiReadings};

use crate::{
    client::{few, send, send_with},
    receiver::Receiver,
};

const MEGABYTES: u32 = 8;
const BYTES: usize = 8 * 1_048_576;

#[tokio::test]
async fn history_is_padded_and_still_what_it_was() -> Result<()> {
    let settings = Settings { provider: Provider::Wsapi, population: few(1), ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook().signed("key")));
    simulator.set_pace(Pace { pad_history_mb: MEGABYTES, ..Pace::default() })?;
    let headers = [("X-Api-Key", simulator.token()), ("X-Instance-Id", "ins_0")];
    send_with(&simulator, "POST", "/session/flush-history", &headers, "").await?;
    simulator.set_session(false);
    simulator.hooks().idle().await;
    let posts = receiver.all();
    assert!(posts[0].raw.len() > BYTES && posts[0].raw.len() < BYTES + 100_000);
    assert_eq!(posts[0].json()["eventType"], "message_history_sync");
    assert!(posts[0].header("x-webhook-signature").is_some());
    assert!(posts[1].raw.len() < 1_000, "no history, no padding");
    Ok(())
}

#[tokio::test]
async fn a_form_is_padded_as_well() -> Result<()> {
    let wuzapi = WuzapiReadings { format: Format::Form, ..WuzapiReadings::default() };
    let settings = Settings { wuzapi, population: few(1), ..Settings::default() };
    let (simulator, receiver) = (Simulator::start(settings).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    simulator.set_pace(Pace { pad_history_mb: MEGABYTES, ..Pace::default() })?;
    let truth = simulator.truth();
    let Some((address, known)) = truth.addresses().find_map(|address| Some((address, truth.chat(address, 1).pop()?)))
    else {
        anyhow::bail!("nobody wrote anything");
    };
    let path = format!(
        "/session/history?chat_jid={address}&oldest_msg_id={}&oldest_msg_from_me={}",
        known.message_id, known.from_me
    );
    send(&simulator, "GET", &path, Some(simulator.token()), "").await?;
    simulator.hooks().idle().await;
    let posts = receiver.all();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].raw.len() > BYTES);
    Ok(())
}
