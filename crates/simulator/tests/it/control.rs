//! A simulator in another process can be asked and steered by HTTP.

use anyhow::{Context, Result};
use sincro_simulator::{Call, Faults, Report, Settings, Simulator};

use crate::client::{self, Answer, few, get, simulator};

async fn post(simulator: &Simulator, path: &str, body: &str) -> Result<Answer> {
    client::send(simulator, "POST", path, None, body).await
}

#[tokio::test]
async fn the_truth_is_told_over_http() -> Result<()> {
    let simulator = simulator(few(15)).await?;
    let report: Report = serde_json::from_str(&get(&simulator, "/__sim/truth?limit=4").await?.body)?;
    assert_eq!(report, simulator.truth().report(4));
    assert_eq!(report.message_ids, simulator.truth().expected(4));
    assert_eq!(get(&simulator, "/__sim/truth?channel=1").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn the_log_is_told_and_forgotten_over_http_and_does_not_hold_steering() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    get(&simulator, "/session/status").await?;
    let calls: Vec<Call> = serde_json::from_str(&get(&simulator, "/__sim/calls").await?.body)?;
    assert_eq!(calls, simulator.calls().all());
    assert_eq!(calls.len(), 1);
    assert_eq!(client::send(&simulator, "DELETE", "/__sim/calls", None, "").await?.status, 204);
    assert!(simulator.calls().all().is_empty());
    Ok(())
}

#[tokio::test]
async fn faults_are_set_over_http_in_either_form() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    assert_eq!(post(&simulator, "/__sim/faults", "500=x1\n").await?.status, 200);
    assert_eq!(get(&simulator, "/session/status").await?.status, 500);
    let long = r#"{"rules":[{"fault":"unauthorized","when":"always"}]}"#;
    assert_eq!(post(&simulator, "/__sim/faults", long).await?.status, 200);
    assert_eq!(get(&simulator, "/session/status").await?.status, 401);
    let current: Faults = serde_json::from_str(&get(&simulator, "/__sim/faults").await?.body)?;
    assert_eq!(current, "401=all".parse()?);

    for wrong in ["teapot=1", r#"{"rules":[{"fault":"hang","when":{"share":3}}]}"#, "{"] {
        assert_eq!(post(&simulator, "/__sim/faults", wrong).await?.status, 400, "{wrong}");
    }
    assert_eq!(get(&simulator, "/session/status").await?.status, 401, "a refused change changes nothing");
    Ok(())
}

#[tokio::test]
async fn session_history_and_limit_are_switched_over_http() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    assert_eq!(post(&simulator, "/__sim/session", r#"{"up":false}"#).await?.status, 204);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 500);
    assert_eq!(post(&simulator, "/__sim/session", r#"{"up":true}"#).await?.status, 204);
    assert_eq!(post(&simulator, "/__sim/outage", r#"{"after_calls":0,"for_ms":60000}"#).await?.status, 204);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 500);
    assert_eq!(post(&simulator, "/__sim/outage", "null").await?.status, 204);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 200);
    assert_eq!(post(&simulator, "/__sim/history", r#"{"kept":false}"#).await?.status, 204);
    assert_eq!(get(&simulator, "/chat/history?chat_jid=a@lid").await?.status, 501);
    assert_eq!(post(&simulator, "/__sim/limit", r#"{"per_second":0,"burst":1}"#).await?.status, 400);
    assert_eq!(post(&simulator, "/__sim/limit", r#"{"per_second":0.01,"burst":1}"#).await?.status, 204);
    assert_eq!(get(&simulator, "/session/status").await?.status, 200);
    assert_eq!(get(&simulator, "/session/status").await?.status, 429);
    assert_eq!(post(&simulator, "/__sim/latency", r#"{"fixed_ms":1}"#).await?.status, 204);
    Ok(())
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port_for_the_next() -> Result<()> {
    let first = simulator(few(3)).await?;
    let port: u16 = first.base_url().rsplit(':').next().context("a port")?.parse()?;
    get(&first, "/session/status").await?;
    let settings = || Settings { port, population: few(3), ..Settings::default() };
    let taken = Simulator::start(settings()).await.err().context("two on one port")?;
    assert!(taken.to_string().contains(&format!("127.0.0.1:{port}")));
    let truth = first.truth().report(50);
    first.shutdown().await?;
    let second = Simulator::start(settings()).await?;
    assert_eq!(second.truth().report(50), truth);
    assert_eq!(get(&second, "/session/status").await?.status, 200);
    Ok(())
}
