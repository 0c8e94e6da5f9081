//! Many channels behind one base URL: each with people, faults and a session of its own, and audited apart.

use std::time::Duration;

use anyhow::{Context, Result};
use sincro_simulator::{Call, Fault, Rule, Settings, Simulator, When};

use crate::client::{get_as, send};

const CONTACTS: &str = "/user/contacts";

async fn fleet(contacts_per_channel: &[u32]) -> Result<Simulator> {
    Simulator::start(Settings::fleet(contacts_per_channel)).await
}

async fn statuses(simulator: &Simulator, channel: usize, paths: &[String]) -> Result<Vec<u16>> {
    let mut seen = Vec::new();
    for path in paths {
        seen.push(get_as(simulator, channel, path).await?.status);
    }
    Ok(seen)
}

/// One call of each kind, for somebody whom the channel knows.
fn every_path(simulator: &Simulator, channel: usize) -> Result<Vec<String>> {
    let token = simulator.tokens().nth(channel).context("a channel")?;
    let truth = simulator.truth_of(token).context("a channel")?;
    let knows_both = |person: &&sincro_simulator::Person| person.phone_jid.is_some() && person.lid.is_some();
    let person = truth.persons().iter().find(knows_both).context("somebody with a LID")?;
    let phone = person.phone_jid.as_deref().unwrap_or_default();
    Ok(vec![
        "/session/status".to_owned(),
        CONTACTS.to_owned(),
        format!("/user/lid/{phone}"),
        format!("/chat/history?chat_jid={phone}"),
    ])
}

#[tokio::test]
async fn channels_of_very_different_size_have_people_of_their_own() -> Result<()> {
    let sizes = [20, 20_000, 300];
    let simulator = fleet(&sizes).await?;
    for (channel, contacts) in sizes.into_iter().enumerate() {
        let list = get_as(&simulator, channel, CONTACTS).await?.data()?;
        assert_eq!(list.as_object().map(serde_json::Map::len), usize::try_from(contacts).ok());
        let token = simulator.tokens().nth(channel).context("a channel")?;
        let truth = simulator.truth_of(token).context("a channel")?;
        let phone = truth.persons().last().and_then(|person| person.phone_jid.clone()).context("a phone")?;
        assert!(list.get(&phone).is_some());
        assert_eq!(get_as(&simulator, (channel + 1) % 3, CONTACTS).await?.data()?.get(&phone), None, "strangers");
    }
    Ok(())
}

#[tokio::test]
async fn more_sizes_than_channels_are_refused() -> Result<()> {
    let settings = Settings { contacts_per_channel: vec![1, 2], ..Settings::default() };
    let refused = Simulator::start(settings).await.err().context("it started")?;
    assert!(refused.to_string().contains("contacts_per_channel"));
    Ok(())
}

#[tokio::test]
async fn a_fault_of_one_channel_leaves_the_others_alone_and_one_without_a_channel_does_not() -> Result<()> {
    let simulator = fleet(&[5, 5, 5]).await?;
    let throttled = Fault::TooManyRequests { retry_after_s: Some(3) };
    simulator.set_faults(Rule::new(throttled, When::Next(1)).on_channel(1))?;
    simulator.add_fault(Rule::new(Fault::Unauthorized, When::Always).on_channel(2))?;
    let mut seen = Vec::new();
    for channel in [0, 1, 1, 2] {
        seen.push(get_as(&simulator, channel, CONTACTS).await?.status);
    }
    assert_eq!(seen, [200, 429, 200, 401]);

    simulator.set_faults(Rule::new(Fault::Unavailable { retry_after_s: Some(9) }, When::Always))?;
    for channel in 0..3 {
        let answer = get_as(&simulator, channel, CONTACTS).await?;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("9")));
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_that_lost_its_session_answers_nothing_but_its_status_until_it_is_restored() -> Result<()> {
    let simulator = fleet(&[40, 40]).await?;
    let token = simulator.tokens().nth(1).context("a token")?.to_owned();
    simulator.lose_session_of(&token)?;
    let paths = every_path(&simulator, 1)?;
    assert_eq!(statuses(&simulator, 1, &paths).await?, [200, 500, 500, 500]);
    let status = get_as(&simulator, 1, "/session/status").await?.data()?;
    assert_eq!((&status["connected"], &status["loggedIn"]), (&false.into(), &false.into()));
    assert_eq!(get_as(&simulator, 1, &paths[3]).await?.json()?["error"], "no session");
    assert_eq!(statuses(&simulator, 0, &every_path(&simulator, 0)?).await?, [200; 4], "the other one works");

    simulator.set_session_of(&token, true)?;
    assert_eq!(statuses(&simulator, 1, &paths).await?, [200; 4]);
    assert_eq!(get_as(&simulator, 1, "/session/status").await?.data()?["connected"], true);
    assert!(simulator.lose_session_of("nobody").is_err());
    Ok(())
}

#[tokio::test]
async fn a_disconnected_channel_still_reads_what_it_stored() -> Result<()> {
    let simulator = fleet(&[40, 40]).await?;
    let post = |body| send(&simulator, "POST", "/__sim/session", None, body);
    assert_eq!(post(r#"{"up":false,"channel":0}"#).await?.status, 204);
    assert_eq!(statuses(&simulator, 0, &every_path(&simulator, 0)?).await?, [200, 500, 500, 200]);
    assert_eq!(statuses(&simulator, 1, &every_path(&simulator, 1)?).await?, [200; 4]);
    assert_eq!(post(r#"{"up":false,"channel":2}"#).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn the_log_tells_channels_probes_and_kept_rests_apart() -> Result<()> {
    let simulator = fleet(&[5, 5]).await?;
    let begun = simulator.calls().now_us();
    for _ in 0..3 {
        get_as(&simulator, 0, CONTACTS).await?;
    }
    get_as(&simulator, 1, "/session/status").await?;
    let calls = simulator.calls();
    let all = begun..calls.now_us();
    assert_eq!(calls.calls_per_channel(), [(0, 3), (1, 1)].into());
    assert_eq!(calls.calls_per_channel_within(&(0..begun)), [].into());
    assert!((calls.fairness_within(&all, 0..2) - 0.8).abs() < 1e-9);
    assert!(calls.rate_within(&all, |call| call.is_of(0)) > 0.0);
    assert_eq!(calls.max_in_window_per_channel(Duration::from_hours(1)), [(0, 3), (1, 1)].into());
    assert_eq!(calls.count(Call::is_status), 1);

    let wait = Fault::TooManyRequests { retry_after_s: Some(60) };
    simulator.set_faults(Rule::new(wait, When::Next(1)).on_channel(0))?;
    get_as(&simulator, 0, CONTACTS).await?;
    get_as(&simulator, 1, CONTACTS).await?;
    assert_eq!(calls.calls_in_rests(Duration::ZERO), []);
    get_as(&simulator, 0, CONTACTS).await?;
    let early: Vec<_> = calls.calls_in_rests(Duration::ZERO).iter().map(|call| (call.channel, call.status)).collect();
    assert_eq!(early, [(Some(0), Some(200))]);
    Ok(())
}
