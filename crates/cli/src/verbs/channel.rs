//! `sincro channel ...`

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use sincro_core::provider::Provider;

use super::{Operator, check, given_text, paged, table};
use crate::{
    args::{
        Global,
        channel::{AllowHistory, Channel, Create, Limit, Update},
    },
    client::Call,
    output,
};

const COLUMNS: [(&str, &str); 10] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PROVIDER", "/provider"),
    ("STATE", "/state"),
    ("PAUSED BY", "/paused_by"),
    ("RATE/S", "/limit/rate_per_second"),
    ("NOW/S", "/effective/rate_per_second"),
    ("AT ONCE", "/limit/concurrency"),
    ("FEATURES", "/features"),
    ("REASON", "/reason"),
];
const FIRST: [&str; 34] = [
    "id",
    "name",
    "provider",
    "base_url",
    "state",
    "paused_by",
    "reason",
    "features",
    "hook_url",
    "limit.rate_per_second",
    "limit.burst",
    "limit.concurrency",
    "effective.waits_for",
    "effective.next_call_at",
    "effective.probe_at",
    "effective.rate_per_second",
    "effective.channel.configured_rate",
    "effective.channel.effective_rate",
    "effective.channel.observed_rate",
    "effective.channel.concurrency",
    "effective.channel.running",
    "effective.channel.cooldown",
    "effective.channel.cooldown.until",
    "effective.channel.cooldown.reason",
    "effective.server.configured_rate",
    "effective.server.effective_rate",
    "effective.server.observed_rate",
    "effective.server.concurrency",
    "effective.server.running",
    "effective.server.cooldown",
    "effective.server.cooldown.until",
    "effective.server.cooldown.reason",
    "effective",
    "created_at",
];
/// Said in other fields as well.
const TWICE: [&str; 4] = ["running", "cooldown_until", "cooldown_reason", "next_slot_at"];
const LIMIT_FIELDS: [&str; 3] = ["rate_per_second", "burst", "concurrency"];

/// Runs one of the channel commands.
pub(crate) async fn channel(command: Channel, options: &Global) -> anyhow::Result<ExitCode> {
    let operator = Operator::new(options)?;
    match command {
        Channel::List(page) => {
            operator.show(paged(Call::get("v1/channels"), page), |reply| table(reply, &COLUMNS)).await?;
        }
        Channel::Show(named) => show(&operator, Call::get(format!("v1/channels/{}", named.id))).await?,
        Channel::Check(named) => return check::check(&operator, named.id).await,
        Channel::Connect(connect) => return check::connect(&operator, &connect).await,
        Channel::Create(create) => show(&operator, Call::post("v1/channels").body(creation(&create)?)).await?,
        Channel::Update(update) => {
            let path = format!("v1/channels/{}", update.channel.id);
            let changes = changes(&operator, update).await?;
            show(&operator, Call::patch(path).body(changes)).await?;
        }
        Channel::Pause(pause) => {
            let body = pause.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            show(&operator, Call::post(format!("v1/channels/{}/pause", pause.channel.id)).body(body)).await?;
        }
        Channel::Resume(named) => show(&operator, Call::post(format!("v1/channels/{}/resume", named.id))).await?,
        Channel::AllowHistory(allow) => allow_history(&operator, &allow).await?,
        Channel::Delete(delete) => {
            let id = delete.channel.id;
            operator
                .show(Call::delete(format!("v1/channels/{id}")), |_| Ok(format!("channel {id} is removed")))
                .await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn allow_history(operator: &Operator, allow: &AllowHistory) -> anyhow::Result<()> {
    let id = allow.channel.id;
    if !allow.yes {
        let channel: Value = operator.send(Call::get(format!("v1/channels/{id}"))).await?.read()?;
        let provider: Provider =
            serde_json::from_value(channel["provider"].clone()).context("the channel's provider")?;
        let one_shot = sincro_providers::capabilities(provider).and_then(|capabilities| capabilities.one_shot);
        let Some(one_shot) = one_shot else { bail!("{provider} can be asked as often as one likes") };
        bail!("another request risks this: {}; say --yes if that is meant", one_shot.risk);
    }
    let call = Call::post(format!("v1/channels/{id}/allow-history"));
    operator
        .show(call, |reply| {
            let allowed: Value = reply.read()?;
            Ok(format!(
                "the next sync of channel {id} may ask for history, or a retry of the last one; earlier requests put aside: {}\nrisk: {}",
                output::shown(&allowed["put_aside"]),
                output::shown(&allowed["risk"])
            ))
        })
        .await
}

async fn show(operator: &Operator, call: Call) -> anyhow::Result<()> {
    operator.show(call, |reply| Ok(one(reply.read()?))).await
}

/// A channel, field by field, without what the API keeps for older clients.
fn one(mut channel: Value) -> String {
    if let Some(effective) = channel["effective"].as_object_mut() {
        effective.retain(|name, _| !TWICE.contains(&name.as_str()));
    }
    output::record(&channel, &FIRST)
}

fn creation(create: &Create) -> anyhow::Result<Value> {
    let mut body = json!({
        "name": create.name,
        "provider": create.provider,
        "base_url": create.base_url,
        "credentials": credentials(&create.credentials)?,
        "features": create.features,
    });
    let limit = limit(&create.limit);
    if !limit.is_empty() {
        body["limit"] = limit.into();
    }
    Ok(body)
}

/// What an update changes. A limit is sent whole, so the parts that were not given are asked for first.
async fn changes(operator: &Operator, update: Update) -> anyhow::Result<Value> {
    let mut body = Map::new();
    body.extend(update.name.map(|name| ("name".to_owned(), name.into())));
    body.extend(update.base_url.map(|url| ("base_url".to_owned(), url.as_str().into())));
    if let Some(option) = update.credentials {
        body.insert("credentials".to_owned(), credentials(&option)?);
    }
    if update.no_features || !update.features.is_empty() {
        body.insert("features".to_owned(), json!(update.features));
    }
    let mut limit = limit(&update.limit);
    if !limit.is_empty() {
        if limit.len() < LIMIT_FIELDS.len() {
            let path = format!("v1/channels/{}", update.channel.id);
            let channel: Value = operator.send(Call::get(path)).await?.read()?;
            for field in LIMIT_FIELDS {
                if let Some(now) = channel["limit"].get(field) {
                    limit.entry(field).or_insert_with(|| now.clone());
                }
            }
        }
        body.insert("limit".to_owned(), limit.into());
    }
    if body.is_empty() {
        bail!("nothing to change was given; see `sincro channel update --help`");
    }
    Ok(body.into())
}

fn limit(given: &Limit) -> Map<String, Value> {
    let fields = [
        given.rate.map(|rate| json!(rate)),
        given.burst.map(|burst| json!(burst)),
        given.concurrency.map(|n| json!(n)),
    ];
    let named = LIMIT_FIELDS.into_iter().zip(fields);
    named.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Credentials are not quoted in errors, whatever is wrong with them.
fn credentials(option: &str) -> anyhow::Result<Value> {
    let text = given_text(option).context("--credentials")?;
    match serde_json::from_str::<Value>(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => bail!("--credentials: a JSON object is needed; `sincro channel create --help` lists its fields"),
        Err(error) => bail!("--credentials: no JSON (line {}, column {})", error.line(), error.column()),
    }
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

    fn parse(line: &[&str]) -> Channel {
        let Command::Channel(command) = Args::parse_from([&["sincro", "channel"], line].concat()).command else {
            panic!("another command")
        };
        command
    }

    /// The bodies of the requests that a command makes.
    async fn bodies(line: &[&str], answers: &[&str]) -> Vec<String> {
        let server = Canned::serving(answers.iter().map(|body| answer("200 OK", body)).collect()).await;
        channel(parse(line), server.options()).await.unwrap();
        let requests = server.requests();
        requests.iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_creation_sends_what_was_given_and_leaves_the_rest_to_the_api() {
        let line = ["create", "--name", "a", "--provider", "wuzapi", "--base-url", "http://gw:1", "--credentials"];
        let sent = bodies(&[&line[..], &[r#"{"token":"t"}"#, "--rate", "5"]].concat(), &["{}"]).await;
        let body: Value = serde_json::from_str(&sent[0]).unwrap();
        let expected = json!({
            "name": "a", "provider": "wuzapi", "base_url": "http://gw:1/", "credentials": {"token": "t"},
            "features": [], "limit": {"rate_per_second": 5.0}
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_part_of_a_limit_is_completed_from_what_the_channel_has() {
        let has = r#"{"limit":{"rate_per_second":20.0,"burst":3,"concurrency":8,"effective":1}}"#;
        let sent = bodies(&["update", ID, "--burst", "2"], &[has, "{}"]).await;
        let body: Value = serde_json::from_str(&sent[1]).unwrap();
        assert_eq!(body, json!({"limit": {"rate_per_second": 20.0, "burst": 2, "concurrency": 8}}));
    }

    #[tokio::test]
    async fn features_can_be_taken_away() {
        let sent = bodies(&["update", ID, "--no-features"], &["{}"]).await;
        assert_eq!(sent[0], r#"{"features":[]}"#);
    }

    #[tokio::test]
    async fn an_update_that_changes_nothing_is_not_sent() {
        let server = Canned::serving(Vec::new()).await;
        let error = channel(parse(&["update", ID]), server.options()).await.unwrap_err();
        assert!(error.to_string().starts_with("nothing to change was given"));
    }

    #[test]
    fn a_channel_shows_its_rates_who_paused_it_and_nothing_twice() {
        let level = json!({"configured_rate": 20.0, "effective_rate": 10.0, "observed_rate": 9.5, "concurrency": 8,
                           "running": 3, "cooldown": {"until": "2027-01-15T08:00:00Z", "reason": "throttled: x"}});
        let shown = one(json!({
            "id": ID, "state": "paused", "paused_by": "session", "reason": "not logged in",
            "effective": {"rate_per_second": 10.0, "running": 3, "cooldown_until": null, "cooldown_reason": null,
                          "next_slot_at": null, "channel": level, "server": level, "waits_for": "session lost: x"},
        }));
        let value_of = |name: &str| {
            let line = shown.lines().find(|line| line.split(' ').next() == Some(name))?;
            Some(line.trim_start_matches(name).trim())
        };
        assert_eq!(value_of("paused_by"), Some("session"));
        assert_eq!(value_of("effective.channel.effective_rate"), Some("10.0"));
        assert_eq!(value_of("effective.server.cooldown.until"), Some("2027-01-15T08:00:00Z"));
        assert_eq!(value_of("effective.cooldown_until"), None);
    }

    #[test]
    fn bad_credentials_are_refused_without_being_quoted() {
        for text in ["hunter2", r#"{"token": hunter2}"#, r#"["hunter2"]"#] {
            let error = format!("{:#}", credentials(text).unwrap_err());
            assert!(error.starts_with("--credentials: ") && !error.contains("hunter2"), "{error}");
        }
        let error = format!("{:#}", credentials("@/nowhere/c.json").unwrap_err());
        assert!(error.starts_with("--credentials: /nowhere/c.json cannot be read: "), "{error}");
    }
}
