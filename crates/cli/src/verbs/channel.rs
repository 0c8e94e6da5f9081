//! `sincro channel ...`

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Operator, given_text, paged, table};
use crate::{
    args::{
        Global,
        channel::{Channel, Create, Limit, Update},
    },
    client::Call,
    output,
};

const COLUMNS: [(&str, &str); 8] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PROVIDER", "/provider"),
    ("STATE", "/state"),
    ("RATE/S", "/limit/rate_per_second"),
    ("AT ONCE", "/limit/concurrency"),
    ("FEATURES", "/features"),
    ("REASON", "/reason"),
];
const FIRST: [&str; 8] = ["id", "name", "provider", "base_url", "state", "reason", "features", "hook_url"];
const LIMIT_FIELDS: [&str; 3] = ["rate_per_second", "burst", "concurrency"];

/// Runs one of the channel commands.
pub(crate) async fn channel(command: Channel, options: &Global) -> anyhow::Result<()> {
    let operator = Operator::new(options)?;
    match command {
        Channel::List(page) => {
            let call = paged(Call::get(&["v1", "channels"]), page);
            operator.show(call, |reply| table(reply, &COLUMNS)).await
        }
        Channel::Show(named) => show(&operator, Call::get(&at(named.id, &[]).as_path())).await,
        Channel::Create(create) => show(&operator, Call::post(&["v1", "channels"]).body(creation(create)?)).await,
        Channel::Update(update) => {
            let path = at(update.channel.id, &[]);
            let changes = changes(&operator, update).await?;
            show(&operator, Call::patch(&path.as_path()).body(changes)).await
        }
        Channel::Pause(pause) => {
            let body = pause.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            show(&operator, Call::post(&at(pause.channel.id, &["pause"]).as_path()).body(body)).await
        }
        Channel::Resume(named) => show(&operator, Call::post(&at(named.id, &["resume"]).as_path())).await,
        Channel::Delete(delete) => {
            let call = Call::delete(&at(delete.channel.id, &[]).as_path());
            operator.show(call, |_| Ok(format!("channel {} is gone", delete.channel.id))).await
        }
    }
}
