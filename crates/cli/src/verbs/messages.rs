//! `sincro messages ...`

use std::process::ExitCode;

use super::{Operator, paged, sync, table};
use crate::{
    args::{
        Global,
        messages::{Messages, Resync},
    },
    client::Call,
};

const COLUMNS: [(&str, &str); 6] = [
    ("SENT AT", "/sent_at"),
    ("ADDRESS", "/address"),
    ("FROM ME", "/from_me"),
    ("KIND", "/kind"),
    ("ID", "/message_id"),
    ("TEXT", "/text"),
];

/// Runs one of the message commands.
pub(crate) async fn messages(command: Messages, options: &Global) -> anyhow::Result<ExitCode> {
    let operator = Operator::new(options)?;
    match command {
        Messages::List(list) => {
            let call = Call::get(format!("v1/channels/{}/messages", list.channel)).query("address", list.address);
            operator.show(paged(call, list.page), |reply| table(reply, &COLUMNS)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Messages::Resync(Resync { channel, message, idempotency_key, watch }) => {
            let path = format!("v1/channels/{channel}/messages/{}/resync", path_segment(&message));
            sync::started(&operator, Call::post(path).header("Idempotency-Key", idempotency_key), watch).await
        }
    }
}

/// A text as one segment of a path.
fn path_segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
