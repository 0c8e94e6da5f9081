//! The log can prove how fast and how often the gateway was called, and the gateway's own limit holds.

use std::time::Duration;

use anyhow::{Context, Result};
use sincro_simulator::{Faults, Limit};

use crate::client::{self, few, get, history, simulator};

#[tokio::test]
async fn above_its_limit_the_gateway_refuses_with_the_time_to_wait() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_limit(Some(Limit { per_second: 0.1, burst: 3, retry_after: true }))?;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(get(&simulator, "/session/status").await?);
    }
    let seen: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [200, 200, 200, 429, 429]);
    let wait: u64 = answers[3].header("retry-after").context("a time to wait")?.parse()?;
    assert!((1..=10).contains(&wait));
    assert_eq!(answers[0].header("retry-after"), None);
    assert_eq!(answers[4].json()?["success"], false);
    assert_eq!(simulator.calls().count(|call| call.fault.as_deref() == Some("limit")), 2);

    simulator.set_limit(Some(Limit { per_second: 0.1, burst: 1, retry_after: false }))?;
    assert_eq!(get(&simulator, "/session/status").await?.status, 200);
    let refusal = get(&simulator, "/session/status").await?;
    assert_eq!((refusal.status, refusal.header("retry-after")), (429, None));

    simulator.set_limit(None)?;
    assert_eq!(get(&simulator, "/session/status").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn no_window_holds_more_admitted_calls_than_the_limit_allows() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_limit(Some(Limit { per_second: 50.0, burst: 5, retry_after: false }))?;
    while simulator.calls().count(|call| call.status == Some(200)) < 30 {
        get(&simulator, "/session/status").await?;
    }
    let admitted = |window| simulator.calls().max_in_window(window, |call| call.status == Some(200));
    assert!(admitted(Duration::from_millis(100)) <= 5 + 5 + 1);
    assert!(admitted(Duration::from_millis(400)) <= 5 + 20 + 1);
    assert!(simulator.calls().count(|call| call.status == Some(429)) > 0);
    Ok(())
}

#[tokio::test]
async fn calls_made_together_are_seen_together() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_faults("hang=all".parse::<Faults>()?)?;
    let asked = |_| client::open(&simulator, "GET", "/chat/history?chat_jid=a@lid", Some(simulator.token()), "");
    let waiting = futures::future::try_join_all((0..8).map(asked)).await?;
    simulator.calls().wait_for(8, |_| true).await;
    assert_eq!(simulator.calls().max_in_flight(|_| true), 8);
    assert_eq!(simulator.calls().per_address(), [("a@lid".to_owned(), 8)].into());
    drop(waiting);
    simulator.calls().wait_for(8, |call| call.ended_us.is_some()).await;
    Ok(())
}

#[tokio::test]
async fn a_call_is_logged_with_what_it_asked_and_what_it_got() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    history(&simulator, "123@lid", 4).await?;
    let call = simulator.calls().all().pop().context("a call")?;
    assert_eq!((call.method.as_ref(), call.path.as_ref()), ("GET", "/chat/history"));
    assert_eq!((call.address.as_deref(), call.channel, call.token_present), (Some("123@lid"), Some(0), true));
    assert_eq!((call.status, call.fault), (Some(200), None));
    assert!(call.ended_us >= Some(call.at_us));
    assert!(!serde_json::to_string(&simulator.calls().all())?.contains(simulator.token()));
    Ok(())
}
