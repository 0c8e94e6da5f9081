//! `sincro plan` and `sincro scaling`: what the limits allow, before anything is started.

use serde_json::{Value, json};

use super::Operator;
use crate::{
    args::{Global, Plan},
    client::{Call, Reply},
    output,
    watch::text,
};

/// Runs `sincro plan`.
pub(crate) async fn plan(plan: Plan, options: &Global) -> anyhow::Result<()> {
    let call = Call::post(format!("v1/channels/{}/syncs/plan", plan.channel))
        .body(json!({ "messages_per_contact": plan.messages }));
    Operator::new(options)?.show(call, planned).await
}

/// Runs `sincro scaling`.
pub(crate) async fn scaling(options: &Global) -> anyhow::Result<()> {
    Operator::new(options)?.show(Call::get("v1/scaling"), signal).await
}

fn planned(reply: &Reply) -> anyhow::Result<String> {
    let plan: Value = reply.read()?;
    let shown = |name: &str| output::shown(&plan[name]);
    let duration = match plan["duration_seconds"].as_f64() {
        Some(seconds) => text::seconds(seconds),
        None => "no end in sight: it would stand still".to_owned(),
    };
    let contacts = match plan["contacts_known"].as_bool() {
        Some(false) => "unknown".to_owned(),
        _ => shown("contacts"),
    };
    let fields = [
        ("contacts", contacts),
        ("jobs", shown("jobs")),
        ("calls", format!("{} at most", shown("calls"))),
        ("duration", duration),
        ("pace", pace(&plan["calls_per_second"])),
        ("limited by", shown("limited_by")),
        ("workers", format!("{} worth having", shown("useful_workers"))),
    ];
    Ok(lines(fields.into_iter().chain((!plan["note"].is_null()).then(|| ("note", shown("note"))))))
}

fn signal(reply: &Reply) -> anyhow::Result<String> {
    let signal: Value = reply.read()?;
    let shown = |name: &str| output::shown(&signal[name]);
    Ok(lines([
        ("workers", format!("{} worth having", shown("useful_workers"))),
        ("runnable", format!("{} jobs", shown("runnable_jobs"))),
        ("pace", pace(&signal["admissible_rate"])),
        ("because", shown("reason")),
    ]))
}

fn pace(rate: &Value) -> String {
    rate.as_f64().map_or_else(|| output::shown(rate), |rate| format!("{rate:.2} calls/s"))
}

fn lines(fields: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let lines = fields.into_iter().map(|(name, value)| format!("{name:<10}  {}", output::one_line(&value)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        args::{Args, Command},
        client::canned::{Canned, answer},
    };

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    async fn reply(body: &str) -> Reply {
        let server = Canned::serving(vec![answer("200 OK", body)]).await;
        Operator::new(server.options()).unwrap().send(Call::get("x")).await.unwrap()
    }

    #[tokio::test]
    async fn a_plan_is_asked_for_with_the_number_of_messages() {
        let server = Canned::serving(vec![answer("200 OK", "{}")]).await;
        let Command::Plan(given) = Args::parse_from(["sincro", "plan", ID, "--messages", "50"]).command else {
            panic!("another command")
        };
        plan(given, server.options()).await.unwrap();
        let request = server.requests().remove(0);
        assert!(request.starts_with(&format!("POST /base/v1/channels/{ID}/syncs/plan HTTP/1.1")), "{request}");
        assert!(request.ends_with(r#"{"messages_per_contact":50}"#), "{request}");
    }

    #[tokio::test]
    async fn a_plan_says_how_long_and_what_holds_it_back() {
        let body = r#"{"contacts":1000,"contacts_known":true,"jobs":2000,"calls":2001,"duration_seconds":101.2,
            "calls_per_second":19.8,"useful_workers":1,"limited_by":"rate: channel","note":null}"#;
        let shown = planned(&reply(body).await).unwrap();
        assert!(shown.contains("duration    1m 42s\n") && shown.contains("limited by  rate: channel\n"), "{shown}");
        assert!(shown.ends_with("workers     1 worth having"), "{shown}");
    }

    #[tokio::test]
    async fn a_plan_without_an_end_and_without_contacts_says_so() {
        let body = r#"{"contacts":0,"contacts_known":false,"jobs":0,"calls":1,"duration_seconds":null,
            "calls_per_second":0.0,"useful_workers":0,"limited_by":"paused by operator: x\ny","note":"nobody knows"}"#;
        let shown = planned(&reply(body).await).unwrap();
        assert!(shown.starts_with("contacts    unknown\n") && shown.contains("no end in sight"), "{shown}");
        assert!(shown.contains("paused by operator: x y\n") && shown.ends_with("note        nobody knows"), "{shown}");
    }

    #[tokio::test]
    async fn the_scaling_signal_says_why() {
        let body = r#"{"useful_workers":2,"runnable_jobs":1200,"admissible_rate":50.0,"reason":"rate: server x"}"#;
        let expected =
            "workers     2 worth having\nrunnable    1200 jobs\npace        50.00 calls/s\nbecause     rate: server x";
        assert_eq!(signal(&reply(body).await).unwrap(), expected);
    }
}
