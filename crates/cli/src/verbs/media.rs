//! `sincro media ...`

use std::process::ExitCode;

use serde_json::json;

use super::{Operator, sync};
use crate::{
    args::{
        Global,
        media::{Fetch, Media},
    },
    client::Call,
};

/// Runs one of the commands about files.
pub(crate) async fn media(command: Media, options: &Global) -> anyhow::Result<ExitCode> {
    let operator = Operator::new(options)?;
    match command {
        Media::Fetch(Fetch { channel, limit, idempotency_key, watch }) => {
            let call = Call::post(format!("v1/channels/{channel}/media/syncs")).body(json!({ "limit": limit }));
            sync::started(&operator, call.header("Idempotency-Key", idempotency_key), watch).await
        }
    }
}
