//! The operator's commands: each is one or two calls to the API and what people see of the answers.

mod channel;
mod check;
mod limit;
mod media;
mod messages;
mod plan;
mod providers;
mod receipt;
mod sync;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::{
    channel::channel,
    limit::limit,
    media::media,
    messages::messages,
    plan::{plan, scaling},
    providers::providers,
    receipt::{summary as receipt_summary, whole as whole_receipt},
    sync::sync,
};
use crate::{
    args::{Global, Paging},
    client::{Call, Client, Reply},
    output::{self, Table},
};

/// One page of a list.
#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
    #[serde(default)]
    next: Value,
}

/// What every command needs: the API, and how to print.
struct Operator {
    client: Client,
    json: bool,
}

impl Operator {
    fn new(options: &Global) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(options)?, json: options.json })
    }

    async fn send(&self, call: Call) -> anyhow::Result<Reply> {
        Ok(self.client.send(call).await?)
    }

    /// Makes a call and prints its answer: as it came, or as `people` see it.
    async fn show(&self, call: Call, people: impl FnOnce(&Reply) -> anyhow::Result<String>) -> anyhow::Result<()> {
        let reply = self.send(call).await?;
        if self.json {
            // An answer without a body is still one document.
            output::document(if reply.body.trim().is_empty() { "null" } else { &reply.body })?;
        } else {
            output::lines(&people(&reply)?)?;
        }
        Ok(())
    }
}

/// A page of a list as a table, and how to get the next one.
fn table(reply: &Reply, columns: &[(&'static str, &str)]) -> anyhow::Result<String> {
    let list: List<Value> = reply.read()?;
    mention_next(&list.next);
    Ok(Table::of(&list.items, columns).to_string())
}

fn mention_next(next: &Value) {
    if !next.is_null() {
        output::note(&format!("more: --after {}", output::shown(next)));
    }
}

fn paged(call: Call, page: Paging) -> Call {
    call.query("after", page.after).query("limit", page.limit)
}

/// The text that an option names: itself, `@FILE`, or `-` for stdin.
fn given_text(option: &str) -> anyhow::Result<String> {
    if option == "-" {
        return std::io::read_to_string(std::io::stdin()).context("stdin cannot be read");
    }
    match option.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read")),
        None => Ok(option.to_owned()),
    }
}
