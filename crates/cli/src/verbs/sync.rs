//! `sincro sync ...`, the receipt aside.

use std::process::ExitCode;

use serde_json::{Value, json};
use sincro_core::sync::{SyncId, SyncStatus};

use super::{List, Operator, mention_next, paged, receipt, table};
use crate::{
    args::{
        Global,
        sync::{Start, Sync},
    },
    client::{Call, Reply},
    output::{NOTHING, Table},
    watch::{self, text},
};

const JOB_COLUMNS: [(&str, &str); 6] = [
    ("ADDRESS", "/address"),
    ("STATE", "/state"),
    ("ATTEMPTS", "/attempts"),
    ("WAITS FOR", "/waiting_for"),
    ("NEXT AT", "/next_at"),
    ("LAST ERROR", "/last_error"),
];

/// Runs one of the sync commands.
pub(crate) async fn sync(command: Sync, options: &Global) -> anyhow::Result<ExitCode> {
    let operator = Operator::new(options)?;
    match command {
        Sync::Start(start) => return begin(&operator, start).await,
        Sync::Watch(named) => return watch::run(&operator.client, named.id, operator.json).await,
        Sync::Retry(retry) if retry.watch => {
            operator.send(act(retry.sync.id, "retry")).await?;
            return watch::run(&operator.client, retry.sync.id, operator.json).await;
        }
        Sync::Retry(retry) => operator.show(act(retry.sync.id, "retry"), one).await?,
        Sync::Pause(named) => operator.show(act(named.id, "pause"), one).await?,
        Sync::Resume(named) => operator.show(act(named.id, "resume"), one).await?,
        Sync::Cancel(named) => operator.show(act(named.id, "cancel"), one).await?,
        Sync::Show(named) => operator.show(Call::get(format!("v1/syncs/{}", named.id)), one).await?,
        Sync::List(list) => {
            let call = Call::get("v1/syncs").query("channel_id", list.channel).query("state", list.state);
            operator.show(paged(call, list.page), many).await?;
        }
        Sync::Jobs(jobs) => {
            let call = Call::get(format!("v1/syncs/{}/jobs", jobs.sync.id)).query("state", jobs.state);
            operator.show(paged(call, jobs.page), |reply| table(reply, &JOB_COLUMNS)).await?;
        }
        Sync::Receipt(wanted) => receipt::receipt(&operator, wanted).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn begin(operator: &Operator, start: Start) -> anyhow::Result<ExitCode> {
    let channel = start.channel;
    let call = match &start.contact {
        Some(contact) => {
            Call::post(format!("v1/channels/{channel}/contacts/{contact}/syncs")).body(body(&start, "messages"))
        }
        None => Call::post(format!("v1/channels/{channel}/syncs")).body(body(&start, "messages_per_contact")),
    };
    started(operator, call.header("Idempotency-Key", start.idempotency_key), start.watch).await
}

/// What was given, and nothing that was not: an older API does not know all of it.
fn body(start: &Start, count: &str) -> Value {
    let mut body = json!({ count: start.messages });
    if let Some(days) = start.window_days {
        body["window_days"] = days.into();
    }
    if start.deep {
        body["deep"] = true.into();
    }
    body
}

/// Makes a call that starts a sync, and shows or follows that.
pub(super) async fn started(operator: &Operator, call: Call, follow: bool) -> anyhow::Result<ExitCode> {
    if follow {
        let sync: SyncStatus = operator.send(call).await?.read()?;
        return watch::run(&operator.client, sync.id, operator.json).await;
    }
    operator
        .show(call, |reply| Ok(format!("{}\n\nfollow it: sincro sync watch {}", one(reply)?, id_of(reply)?)))
        .await?;
    Ok(ExitCode::SUCCESS)
}

fn act(id: SyncId, what: &str) -> Call {
    Call::post(format!("v1/syncs/{id}/{what}"))
}

fn id_of(reply: &Reply) -> anyhow::Result<SyncId> {
    Ok(reply.read::<SyncStatus>()?.id)
}

/// One sync, field by field.
fn one(reply: &Reply) -> anyhow::Result<String> {
    let sync: SyncStatus = reply.read()?;
    let time = |at: Option<_>| at.map(text::moment);
    let took = sync.finished_at.zip(sync.started_at).and_then(|(end, start)| (end - start).to_std().ok());
    let fields = [
        ("sync", Some(sync.id.to_string())),
        ("channel", Some(sync.channel_id.to_string())),
        ("kind", Some(sync.kind.to_string())),
        ("state", Some(sync.state.to_string())),
        ("progress", Some(format!("{} of {} jobs ({})", sync.jobs.settled(), sync.jobs.total, percent(&sync)))),
        ("jobs", Some(text::jobs(&sync.jobs))),
        ("messages", Some(text::messages(&sync.messages))),
        ("waits for", sync.limited_by.clone()),
        ("next at", time(sync.next_at)),
        ("left", sync.eta_seconds.map(text::seconds)),
        ("error", sync.error.clone()),
        ("created", time(Some(sync.created_at))),
        ("started", time(sync.started_at)),
        ("finished", time(sync.finished_at)),
        ("took", took.map(text::duration)),
    ];
    let lines = fields.into_iter().filter_map(|(name, value)| Some(format!("{name:<9}  {}", value?)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// One sync per row.
fn many(reply: &Reply) -> anyhow::Result<String> {
    let list: List<SyncStatus> = reply.read()?;
    mention_next(&list.next);
    let mut table = Table::new(&["ID", "CHANNEL", "KIND", "STATE", "DONE", "JOBS", "FAILED", "CREATED", "WAITS FOR"]);
    for sync in &list.items {
        table.row(vec![
            sync.id.to_string(),
            sync.channel_id.to_string(),
            sync.kind.to_string(),
            sync.state.to_string(),
            percent(sync),
            sync.jobs.total.to_string(),
            sync.jobs.failed.to_string(),
            text::moment(sync.created_at),
            sync.limited_by.clone().unwrap_or_else(|| NOTHING.to_owned()),
        ]);
    }
    Ok(table.to_string())
}

fn percent(sync: &SyncStatus) -> String {
    format!("{:.0}%", (sync.progress * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        args::{Args, Command},
        client::canned::{Canned, answer},
        watch::status_for_tests,
    };

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    /// The request that a command line makes.
    async fn request(line: &str) -> String {
        let status = serde_json::to_string(&status_for_tests("running", 5, 10)).unwrap();
        let server = Canned::serving(vec![answer("202 Accepted", &status)]).await;
        let Command::Sync(command) = Args::parse_from(line.split(' ')).command else { panic!("another command") };
        assert_eq!(sync(command, server.options()).await.unwrap(), ExitCode::SUCCESS);
        server.requests().remove(0)
    }

    #[tokio::test]
    async fn a_channel_sync_and_a_ticket_sync_are_two_calls() {
        let whole = request(&format!("sincro sync start {ID} --messages 50 --idempotency-key once")).await;
        assert!(whole.starts_with(&format!("POST /base/v1/channels/{ID}/syncs HTTP/1.1")), "{whole}");
        assert!(
            whole.contains("idempotency-key: once") && whole.ends_with(r#"{"messages_per_contact":50}"#),
            "{whole}"
        );

        let ticket = request(&format!("sincro sync start {ID} --contact 5511988887777@c.us --messages 7")).await;
        let path = format!("POST /base/v1/channels/{ID}/contacts/5511988887777@s.whatsapp.net/syncs HTTP/1.1");
        assert!(ticket.starts_with(&path) && ticket.ends_with(r#"{"messages":7}"#), "{ticket}");
    }

    #[tokio::test]
    async fn steering_is_a_post_without_a_body() {
        for verb in ["pause", "resume", "cancel", "retry"] {
            let request = request(&format!("sincro sync {verb} {ID}")).await;
            assert!(request.starts_with(&format!("POST /base/v1/syncs/{ID}/{verb} HTTP/1.1")), "{request}");
            assert!(request.ends_with("\r\n\r\n"), "{request}");
        }
    }

    #[test]
    fn a_percentage_is_not_rounded_up_to_the_end() {
        assert_eq!(percent(&status_for_tests("running", 1_999, 2_000)), "99%");
    }
}
