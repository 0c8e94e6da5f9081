//! `sincro messages ...`

use super::{Operator, paged, table};
use crate::{
    args::{Global, messages::Messages},
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
pub(crate) async fn messages(command: Messages, options: &Global) -> anyhow::Result<()> {
    let operator = Operator::new(options)?;
    let Messages::List(list) = command;
    let call = Call::get(format!("v1/channels/{}/messages", list.channel)).query("address", list.address);
    operator.show(paged(call, list.page), |reply| table(reply, &COLUMNS)).await
}
