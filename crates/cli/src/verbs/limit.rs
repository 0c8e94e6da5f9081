//! `sincro limit ...`
//!
//! The API knows the set of rules as a whole; changing one rule is reading the set, changing it, and writing it back.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use sincro_core::limit::Match;

use super::{Operator, given_text};
use crate::{
    args::{
        Global,
        limit::{Cap, Limit, Set},
    },
    client::{Call, Reply},
    output::{self, NOTHING, Table},
};

const PATH: &str = "v1/limits";
const RULE_COLUMNS: [(&str, &str); 8] = [
    ("MATCH", "/match"),
    ("RATE/S", "/rate_per_second"),
    ("PER MINUTE", "/per_minute"),
    ("PER HOUR", "/per_hour"),
    ("PER DAY", "/per_day"),
    ("BURST", "/burst"),
    ("AT ONCE", "/concurrency"),
    ("WEIGHT", "/weight"),
];
const SERVER_COLUMNS: [(&str, &str); 7] = [
    ("SERVER", "/server"),
    ("RULE", "/rule"),
    ("RATE/S", "/configured_rate"),
    ("NOW/S", "/effective_rate"),
    ("MADE/S", "/observed_rate"),
    ("RUNNING", "/running"),
    ("COOLDOWN UNTIL", "/cooldown/until"),
];

/// Runs one of the limit commands.
pub(crate) async fn limit(command: Limit, options: &Global) -> anyhow::Result<()> {
    let operator = Operator::new(options)?;
    match command {
        Limit::List => operator.show(Call::get(PATH), set).await,
        Limit::Set(given) => {
            let mut rules = rules(&operator).await?;
            change(&mut rules, &given)?;
            replace(&operator, rules).await
        }
        Limit::Remove(remove) => {
            let mut rules = rules(&operator).await?;
            let before = rules.len();
            rules.retain(|rule| !is_about(rule, &remove.matches));
            if rules.len() == before {
                bail!("there is no rule about {}; `sincro limit list` shows those there are", remove.matches);
            }
            replace(&operator, rules).await
        }
        Limit::Apply(apply) => {
            let option = if apply.file == "-" { apply.file } else { format!("@{}", apply.file) };
            let body = serde_json::from_str(&given_text(&option)?).context("the file holds no JSON")?;
            operator.show(Call::put(PATH).body(body), set).await
        }
        Limit::History(history) => {
            let call = Call::get("v1/limits/changes").query("before", history.before).query("limit", history.limit);
            operator.show(call, changes).await
        }
    }
}

async fn rules(operator: &Operator) -> anyhow::Result<Vec<Value>> {
    let mut answer: Value = operator.send(Call::get(PATH)).await?.read()?;
    match answer["rules"].take() {
        Value::Array(rules) => Ok(rules),
        _ => bail!("the API gave no rules"),
    }
}

async fn replace(operator: &Operator, rules: Vec<Value>) -> anyhow::Result<()> {
    operator.show(Call::put(PATH).body(json!({ "rules": rules })), set).await
}

/// Whether a rule of the API is about the same, however that is written.
fn is_about(rule: &Value, matches: &Match) -> bool {
    rule["match"].as_str().and_then(|text| text.parse::<Match>().ok()).is_some_and(|found| found == *matches)
}

/// Puts what was given into the rule about the same, or adds one.
fn change(rules: &mut Vec<Value>, given: &Set) -> anyhow::Result<()> {
    let fields = fields(given);
    if fields.is_empty() {
        bail!("nothing to set was given; see `sincro limit set --help`");
    }
    if let Some(rule) = rules.iter_mut().find(|rule| is_about(rule, &given.matches)) {
        for (name, value) in fields {
            rule[name] = value;
        }
        return Ok(());
    }
    if given.rate.is_none() {
        bail!("there is no rule about {} yet: a new one needs --rate", given.matches);
    }
    let about = ("match".to_owned(), given.matches.to_string().into());
    rules.push(Value::Object(fields.into_iter().chain([about]).collect::<Map<_, _>>()));
    Ok(())
}

fn fields(given: &Set) -> Vec<(String, Value)> {
    let cap = |cap: Option<Cap>| cap.map(|Cap(calls)| json!(calls));
    let fields = [
        ("rate_per_second", given.rate.map(|rate| json!(rate))),
        ("per_minute", cap(given.per_minute)),
        ("per_hour", cap(given.per_hour)),
        ("per_day", cap(given.per_day)),
        ("burst", given.burst.map(|burst| json!(burst))),
        ("concurrency", given.concurrency.map(|calls| json!(calls))),
        ("weight", given.weight.map(|weight| json!(weight))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The rules, and below them the servers.
fn set(reply: &Reply) -> anyhow::Result<String> {
    let answer: Value = reply.read()?;
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (rules, servers) = (list("rules"), list("servers"));
    let rules = match rules.as_slice() {
        [] => "no rules: servers are not limited, channels have their own limits".to_owned(),
        rules => Table::of(rules, &RULE_COLUMNS).to_string(),
    };
    if servers.is_empty() {
        return Ok(rules);
    }
    Ok(format!("{rules}\n\n{}", Table::of(&servers, &SERVER_COLUMNS)))
}

fn changes(reply: &Reply) -> anyhow::Result<String> {
    let page: Value = reply.read()?;
    if !page["next"].is_null() {
        output::note(&format!("more: --before {}", output::shown(&page["next"])));
    }
    let mut table = Table::new(&["AT", "BY", "MATCH", "IN", "BEFORE", "AFTER"]);
    for change in page["items"].as_array().into_iter().flatten() {
        let text = |name: &str| output::shown(&change[name]);
        let (before, after) = (admits(&change["before"]), admits(&change["after"]));
        table.row(vec![text("at"), text("by"), text("match"), text("source"), before, after]);
    }
    Ok(table.to_string())
}

/// A limit in a few words: `20/s, 500 per day, burst 1, 8 at once, weight 1`.
fn admits(limit: &Value) -> String {
    if limit.is_null() {
        return NOTHING.to_owned();
    }
    let shown = |name: &str| Some(output::shown(&limit[name])).filter(|_| !limit[name].is_null());
    let parts = [
        shown("rate_per_second").map(|rate| format!("{rate}/s")),
        shown("per_minute").map(|calls| format!("{calls} per minute")),
        shown("per_hour").map(|calls| format!("{calls} per hour")),
        shown("per_day").map(|calls| format!("{calls} per day")),
        shown("burst").map(|burst| format!("burst {burst}")),
        shown("concurrency").map(|calls| format!("{calls} at once")),
        shown("weight").map(|weight| format!("weight {weight}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        args::{Args, Command},
        client::canned::{Canned, answer},
    };

    const SET: &str = r#"{"rules":[{"match":"wuzapi/*","rate_per_second":50.0,"per_minute":null,"per_hour":null,"per_day":9,
        "burst":1,"concurrency":1000,"weight":1}],"servers":[{"server":"wuzapi/a\u001b[2J","rule":"wuzapi/*"}]}"#;

    fn parse(line: &[&str]) -> Limit {
        let Command::Limit(command) = Args::parse_from([&["sincro", "limit"], line].concat()).command else {
            panic!("another command")
        };
        command
    }

    /// The requests that a command makes against an API with one rule.
    async fn requests(line: &[&str]) -> anyhow::Result<Vec<String>> {
        let server = Canned::serving(vec![answer("200 OK", SET); 2]).await;
        limit(parse(line), server.options()).await?;
        Ok(server.requests())
    }

    fn body(request: &str) -> Value {
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[tokio::test]
    async fn a_rule_is_changed_in_the_set_and_keeps_what_was_not_given() {
        let requests = requests(&["set", "wuzapi/*", "--rate", "100", "--per-day", "none"]).await.unwrap();
        assert!(requests[1].starts_with("PUT /base/v1/limits HTTP/1.1"), "{}", requests[1]);
        let expected = json!({"rules": [{
            "match": "wuzapi/*", "rate_per_second": 100.0, "per_minute": null, "per_hour": null, "per_day": null, "burst": 1,
            "concurrency": 1000, "weight": 1
        }]});
        assert_eq!(body(&requests[1]), expected);
    }

    #[tokio::test]
    async fn a_new_rule_is_added_and_leaves_its_defaults_to_the_api() {
        let requests = requests(&["set", "wuzapi/A:8080", "--rate", "5", "--weight", "2"]).await.unwrap();
        let sent = body(&requests[1]);
        assert_eq!(sent["rules"].as_array().unwrap().len(), 2);
        assert_eq!(sent["rules"][1], json!({"match": "wuzapi/a:8080", "rate_per_second": 5.0, "weight": 2}));
    }

    #[tokio::test]
    async fn a_rule_can_be_taken_away_if_it_is_there() {
        let sent = requests(&["remove", "wuzapi/*"]).await.unwrap();
        assert_eq!(body(&sent[1]), json!({"rules": []}));
        let error = requests(&["remove", "whapi/*"]).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no rule about whapi/*"), "{error}");
    }

    #[tokio::test]
    async fn what_changes_nothing_or_lacks_a_rate_is_not_sent() {
        let error = requests(&["set", "wuzapi/*"]).await.unwrap_err();
        assert!(error.to_string().starts_with("nothing to set"), "{error}");
        let error = requests(&["set", "whapi/*", "--burst", "2"]).await.unwrap_err();
        assert!(error.to_string().contains("needs --rate"), "{error}");
    }

    #[tokio::test]
    async fn a_list_shows_rules_and_servers_and_cannot_steer_the_terminal() {
        let server = Canned::serving(vec![answer("200 OK", SET)]).await;
        let operator = Operator::new(server.options()).unwrap();
        let reply = operator.send(Call::get(PATH)).await.unwrap();
        let shown = output::plain(&set(&reply).unwrap());
        assert!(shown.starts_with("MATCH ") && shown.contains("SERVER "), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_change_of_the_history_is_told_in_words() {
        let limit = json!({"rate_per_second": 0.333, "per_minute": null, "per_hour": null, "per_day": 500, "burst": 1,
                           "concurrency": 8, "weight": 1});
        assert_eq!(admits(&limit), "0.333/s, 500 per day, burst 1, 8 at once, weight 1");
        assert_eq!(admits(&Value::Null), "-");
    }
}
