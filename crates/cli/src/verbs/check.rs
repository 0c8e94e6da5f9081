//! `sincro channel check` and `sincro channel connect`: asks for a look, waits for it, and shows what was found.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use serde::Deserialize;
use serde_json::json;
use sincro_core::{
    channel::ChannelId,
    check::{Finding, Health},
    sync::SyncStatus,
};
use tokio::time::{Instant, sleep};

use super::Operator;
use crate::{
    args::channel::Connect,
    client::{Call, Reply},
    exit,
    output::{self, Table},
};

/// A look makes a few calls, each within its time; one that nobody begins is waited for no longer.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(200);

/// The last look at a channel, as far as it matters here.
#[derive(Deserialize)]
struct Checked {
    sync: Option<SyncStatus>,
    findings: Vec<Finding>,
}

/// Looks at a channel's set-up.
pub(super) async fn check(operator: &Operator, channel: ChannelId) -> anyhow::Result<ExitCode> {
    let call = Call::post(format!("v1/channels/{channel}/check"));
    looked(operator, channel, call).await
}

/// Has webhooks sent here, and looks whether they are.
pub(super) async fn connect(operator: &Operator, asked: &Connect) -> anyhow::Result<ExitCode> {
    let channel = asked.channel.id;
    let call = Call::post(format!("v1/channels/{channel}/connect")).body(json!({ "replace": asked.replace }));
    looked(operator, channel, call).await
}

async fn looked(operator: &Operator, channel: ChannelId, call: Call) -> anyhow::Result<ExitCode> {
    let started: SyncStatus = operator.send(call).await?.read()?;
    let (reply, found) = end_of(operator, channel, &started).await?;
    if operator.json {
        output::document(&reply.body)?;
    } else {
        output::lines(&told(&found.findings))?;
    }
    let is_bad = found.findings.iter().any(|finding| finding.health == Health::Bad);
    Ok(if is_bad { exit::found_bad() } else { ExitCode::SUCCESS })
}

async fn end_of(operator: &Operator, channel: ChannelId, started: &SyncStatus) -> anyhow::Result<(Reply, Checked)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = operator.send(Call::get(format!("v1/channels/{channel}/check"))).await?;
        let found: Checked = reply.read()?;
        match &found.sync {
            Some(sync) if sync.id != started.id => bail!("somebody else checks this channel now; check again"),
            Some(sync) if sync.state.is_terminal() => return Ok((reply, found)),
            _ if Instant::now() < deadline => sleep(PAUSE).await,
            sync => {
                let status: SyncStatus = match sync {
                    Some(_) => operator.send(Call::get(format!("v1/syncs/{}", started.id))).await?.read()?,
                    None => started.clone(),
                };
                let why = status.limited_by.unwrap_or_else(|| "no worker has taken it; does one run?".to_owned());
                bail!("it is not over after {} s: {why}; the look goes on without us", PATIENCE.as_secs());
            }
        }
    }
}

/// One line for each finding, and one below it for what mends it.
fn told(findings: &[Finding]) -> String {
    let mut table = Table::new(&["IT IS", "ABOUT", "WHAT WAS SEEN"]);
    for finding in findings {
        table.row(vec![finding.health.to_string(), finding.about.to_string(), finding.says.clone()]);
    }
    let shown = table.to_string();
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in shown.lines().enumerate() {
        lines.push(line.to_owned());
        let mend = number.checked_sub(1).and_then(|row| findings.get(row)?.mend.as_ref());
        lines.extend(mend.map(|mend| format!("{:8} -> {mend}", "")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use sincro_core::check::Aspect;

    use super::*;

    #[test]
    fn what_mends_a_finding_stands_below_it() {
        let shown = told(&[
            Finding::good(Aspect::Clock, "on time"),
            Finding::of(Aspect::Session, Health::Bad, "not logged in", "pair the number"),
        ]);
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["good", "clock", "on", "time"]);
        assert_eq!(lines[3], "-> pair the number");
    }
}
