//! Every fault looks as it should, and strikes when and where it was told to.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sincro_simulator::{Fault, Faults, Latency, Outage, Provider, Rule, Settings, Simulator, When};
use tokio::io::AsyncReadExt;

use crate::client::{self, few, get, history, simulator};

async fn struck_by(fault: &str) -> Result<(Simulator, client::Answer)> {
    let simulator = simulator(few(5)).await?;
    simulator.set_faults(fault.parse::<Faults>()?)?;
    let answer = get(&simulator, "/user/contacts").await?;
    let name = fault.split([':', '=']).next();
    assert_eq!(simulator.calls().all()[0].fault.as_deref(), name, "the log names the fault");
    Ok((simulator, answer))
}

#[tokio::test]
async fn error_faults_answer_in_the_gateways_envelope() -> Result<()> {
    for (fault, status, retry_after) in
        [("429=all", 429, None), ("429:7=all", 429, Some("7")), ("500=all", 500, None), ("401=all", 401, None)]
    {
        let (_, answer) = struck_by(fault).await?;
        let body = answer.json()?;
        assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{fault}");
        assert_eq!((&body["code"], &body["success"]), (&json!(status), &json!(false)), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_in_front_and_whatsapp_behind_have_words_of_their_own() -> Result<()> {
    let (_, page) = struck_by("503:7=all").await?;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("7")));
    assert!(page.json().is_err(), "not the gateway wrote it");
    for (fault, text) in [("overlimit=all", "rate-overlimit"), ("banned=all", "account temporarily banned")] {
        let (_, answer) = struck_by(fault).await?;
        assert_eq!((answer.status, answer.header("retry-after")), (500, None));
        assert!(answer.json()?["error"].as_str().is_some_and(|error| error.contains(text)), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_session_strikes_only_calls_that_look_at_it() -> Result<()> {
    let (simulator, answer) = struck_by("no-session=all").await?;
    assert_eq!(answer.body, "{\"code\":500,\"error\":\"no session\",\"success\":false}\n");
    assert_eq!(get(&simulator, "/session/status").await?.data()?["connected"], false);
    assert_eq!(get(&simulator, "/chat/history?chat_jid=a@lid").await?.status, 200);
    assert_eq!(simulator.calls().all()[2].fault, None);
    Ok(())
}

#[tokio::test]
async fn disabled_history_strikes_only_history() -> Result<()> {
    let simulator = simulator(few(5)).await?;
    simulator.set_faults(Rule::new(Fault::HistoryDisabled, When::Next(1)))?;
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 200);
    assert_eq!(get(&simulator, "/chat/history?chat_jid=a@lid").await?.status, 501);
    assert_eq!(get(&simulator, "/chat/history?chat_jid=a@lid").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_breaks_inside_a_body_of_known_length() -> Result<()> {
    let (simulator, answer) = struck_by("cut=all").await?;
    assert!(answer.status == 200 && !answer.complete);
    let promised: usize = answer.header("content-length").context("a length")?.parse()?;
    assert_eq!(answer.body.len(), promised / 2);
    simulator.set_faults(Faults::default())?;
    assert!(get(&simulator, "/user/contacts").await?.complete);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_was_made_and_nothing_of_it_is_sent() -> Result<()> {
    let settings = Settings { provider: Provider::Positus, population: few(5), ..Settings::default() };
    let simulator = Simulator::start(settings).await?;
    simulator.set_faults(Rule::new(Fault::LostAnswer, When::Next(1)))?;
    let number = simulator.name_of(simulator.token()).context("a number")?;
    let path = format!("/v2/whatsapp/numbers/{number}/onboarding-smb-app/sync-message-history");
    let mut connection = client::open(&simulator, "POST", &path, Some(simulator.token()), "").await?;
    let mut bytes = Vec::new();
    // However it ends, not a byte of an answer came.
    let _ = connection.read_to_end(&mut bytes).await;
    assert_eq!(String::from_utf8_lossy(&bytes), "");
    assert_eq!(simulator.calls().all()[0].fault.as_deref(), Some("lost-answer"));
    let again = client::send(&simulator, "POST", &path, Some(simulator.token()), "").await?;
    assert_eq!(again.status, 400, "it was taken the first time: {}", again.body);
    Ok(())
}

#[tokio::test]
async fn truncated_json_is_a_complete_answer_that_does_not_parse() -> Result<()> {
    let (_, answer) = struck_by("truncated=all").await?;
    assert!(answer.status == 200 && answer.complete && !answer.body.is_empty());
    assert!(answer.json().is_err());
    Ok(())
}

#[tokio::test]
async fn a_huge_body_has_the_size_asked_for_and_parses() -> Result<()> {
    let (_, answer) = struck_by("huge:2=all").await?;
    assert!(answer.status == 200 && answer.complete);
    assert!(answer.body.len() > 2_097_152 && answer.body.len() < 2_098_000);
    assert!(answer.data()?.is_array());
    Ok(())
}

#[tokio::test]
async fn an_endless_body_lasts_until_the_caller_leaves() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_faults("huge=all".parse::<Faults>()?)?;
    let mut connection = client::open(&simulator, "GET", "/user/contacts", Some(simulator.token()), "").await?;
    let mut half_a_megabyte = vec![0; 500_000];
    for _ in 0..16 {
        connection.read_exact(&mut half_a_megabyte).await?;
    }
    drop(connection);
    simulator.shutdown().await
}

#[tokio::test]
async fn a_long_body_can_be_announced_or_packed() -> Result<()> {
    let (_, announced) = struck_by("announced:1=all").await?;
    assert!(announced.complete && announced.data()?.is_array());
    assert!(
        announced
            .header("content-length")
            .is_some_and(|length| length.parse().is_ok_and(|bytes: u32| bytes > 1_048_576))
    );

    let (_, packed) = struck_by("bomb:1=all").await?;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    assert!(packed.body.len() < 100_000);
    Ok(())
}

#[tokio::test]
async fn a_trickle_does_not_end_and_never_pauses_for_long() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_faults("trickle=all".parse::<Faults>()?)?;
    let mut connection = client::open(&simulator, "GET", "/user/contacts", Some(simulator.token()), "").await?;
    let mut bytes = vec![0; 300];
    tokio::time::timeout(Duration::from_secs(10), connection.read_exact(&mut bytes)).await??;
    drop(connection);
    simulator.shutdown().await
}

#[tokio::test]
async fn foreign_answers_are_pages_strings_or_other_places() -> Result<()> {
    let (_, page) = struck_by("garbage=all").await?;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.json().is_err());

    let (_, shape) = struck_by("shape=all").await?;
    assert!(shape.data()?.is_string());

    let (_, elsewhere) = struck_by("302:http://127.0.0.1:9/x=all").await?;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (302, Some("http://127.0.0.1:9/x")));
    Ok(())
}

#[tokio::test]
async fn a_hanging_call_ends_without_a_status_when_the_caller_gives_up() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_faults("hang=all".parse::<Faults>()?)?;
    let connection = client::open(&simulator, "GET", "/user/contacts", Some(simulator.token()), "").await?;
    simulator.calls().wait_for(1, |call| call.fault.as_deref() == Some("hang")).await;
    assert_eq!(simulator.calls().all()[0].ended_us, None);
    drop(connection);
    simulator.calls().wait_for(1, |call| call.ended_us.is_some()).await;
    assert_eq!(simulator.calls().all()[0].status, None);
    Ok(())
}

#[tokio::test]
async fn stopping_ends_hanging_calls() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_faults("hang=all".parse::<Faults>()?)?;
    let mut connection = client::open(&simulator, "GET", "/user/contacts", Some(simulator.token()), "").await?;
    let calls = simulator.calls().clone();
    calls.wait_for(1, |_| true).await;
    simulator.shutdown().await?;
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await?;
    assert_eq!(calls.all()[0].status, Some(503));
    Ok(())
}

#[tokio::test]
async fn rules_keep_to_their_path_and_address_and_count() -> Result<()> {
    let simulator = simulator(few(5)).await?;
    simulator.set_faults("500@a@lid=x2,429@/user/contacts=x1,cut@/nowhere=all".parse::<Faults>()?)?;
    let mut seen = Vec::new();
    for address in ["b@lid", "a@lid", "a@lid", "a@lid"] {
        seen.push(history(&simulator, address, 1).await?.status);
    }
    assert_eq!(seen, [200, 500, 500, 200]);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 429);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_first_calls_of_each_address_can_fail() -> Result<()> {
    let simulator = simulator(few(5)).await?;
    simulator.set_faults(Rule::new(Fault::ServerError, When::FirstOfEach(1)).on_path("/chat/history"))?;
    let mut seen = Vec::new();
    for address in ["a@lid", "b@lid", "a@lid", "b@lid"] {
        seen.push(history(&simulator, address, 1).await?.status);
    }
    assert_eq!(seen, [500, 500, 200, 200]);
    Ok(())
}

#[tokio::test]
async fn a_share_strikes_the_same_calls_for_the_same_seed() -> Result<()> {
    let strikes = |faults: &'static str| async move {
        let simulator = simulator(few(1)).await?;
        simulator.set_faults(faults.parse::<Faults>()?)?;
        for _ in 0..200 {
            get(&simulator, "/session/status").await?;
        }
        anyhow::Ok(simulator.calls().all().iter().map(|call| call.fault.is_some()).collect::<Vec<_>>())
    };
    let once = strikes("seed=4,500=0.2").await?;
    assert_eq!(once, strikes("seed=4,500=0.2").await?);
    assert_ne!(once, strikes("seed=5,500=0.2").await?);
    assert!((20..60).contains(&once.iter().filter(|struck| **struck).count()));
    Ok(())
}

#[tokio::test]
async fn a_session_is_lost_after_so_many_calls_and_comes_back() -> Result<()> {
    let simulator = simulator(few(5)).await?;
    simulator.set_outage(Some(Outage { after_calls: 2, for_ms: 600 }));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(get(&simulator, "/user/contacts").await?.status);
    }
    assert_eq!(seen, [200, 200, 500, 500]);
    let back = async {
        while get(&simulator, "/user/contacts").await?.status != 200 {}
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), back).await??;
    let calls = simulator.calls().all();
    let (lost, back) = (&calls[2], calls.last().context("calls")?);
    assert!(back.at_us - lost.at_us >= 600_000);
    Ok(())
}

#[tokio::test]
async fn latency_holds_the_answer_but_not_the_arrival() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    simulator.set_latency(Latency { fixed_ms: 40, jitter_ms: 10 });
    get(&simulator, "/session/status").await?;
    let call = simulator.calls().all().remove(0);
    assert!(call.ended_us.context("ended")? - call.at_us >= 40_000);
    Ok(())
}

#[test]
fn the_short_form_says_what_is_wrong() -> Result<()> {
    let wrong = |text: &str| {
        text.parse::<Faults>().err().map(|error| error.to_string()).with_context(|| format!("{text} was taken"))
    };
    assert!(wrong("teapot=0.1")?.contains("known are 429:seconds"));
    assert!(wrong("500")?.contains("how often"));
    assert!(wrong("402:7=all")?.contains("takes nothing after a colon"));
    assert!(wrong("500=2")?.contains("between 0 and 1"));
    assert!(wrong("500=often")?.contains("x<calls>"));
    assert!(wrong("hang:5=0.1")?.contains("takes nothing after a colon"));
    assert!(wrong("bomb=all")?.contains("bomb:64"));
    assert!(wrong("429:soon=0.1")?.contains("whole number"));
    Ok(())
}

#[test]
fn the_short_form_and_json_say_the_same() -> Result<()> {
    let short = "seed=9, 429:5@/chat/history=0.02, 500=x3, hang@7@lid=each1, huge=all, 503:7#2=all, banned#0@/x=x1";
    let short: Faults = short.parse()?;
    let long = json!({ "seed": 9, "rules": [
        { "fault": { "too_many_requests": { "retry_after_s": 5 } }, "when": { "share": 0.02 }, "path": "/chat/history" },
        { "fault": "server_error", "when": { "next": 3 } },
        { "fault": "hang", "when": { "first_of_each": 1 }, "address": "7@lid" },
        { "fault": { "huge_body": {} }, "when": "always" },
        { "fault": { "unavailable": { "retry_after_s": 7 } }, "when": "always", "channel": 2 },
        { "fault": "banned", "when": { "next": 1 }, "channel": 0, "path": "/x" },
    ]});
    assert_eq!(short, serde_json::from_value(long)?);
    assert_eq!("".parse::<Faults>()?, Faults::default());
    Ok(())
}
