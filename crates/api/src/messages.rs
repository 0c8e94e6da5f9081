//! `GET /v1/channels/{channel_id}/messages`: what was stored.

use axum::{Json as Answer, extract::State, http::Uri};
use sincro_core::message::StoredMessage;

use crate::{
    params::{ChannelPath, List, Params, one_more},
    problem::{Code, Problem, refusals},
    state::App,
};

refusals!(Refusals: Code::ANY, Code::QUERY, Code::ADDRESS, &[Code::ChannelNotFound, Code::ContactNotFound]);

/// Read messages
///
/// In the order in which they were sent, of the whole channel or of one person; a person's messages come under both
/// addresses, whichever is asked for.
#[utoipa::path(
    get, path = "/v1/channels/{channel_id}/messages", operation_id = "list_messages", tag = "messages",
    params(
        ("channel_id" = Uuid, Path, description = "The channel"),
        ("address" = Option<String>, Query, description = "Only this person's: a phone JID or a LID",
         example = "5511988887777@s.whatsapp.net"),
        ("after" = Option<String>, Query, description = "Go on behind this message: the last answer's `next`"),
        ("limit" = Option<u16>, Query, description = "At most so many, 1 to 1000", minimum = 1, maximum = 1000, example = 100),
    ),
    responses((status = 200, body = List<StoredMessage>, description = "A page of messages"), Refusals),
)]
pub(crate) async fn messages(
    State(app): State<App>,
    ChannelPath(channel): ChannelPath,
    uri: Uri,
) -> Result<Answer<List<StoredMessage>>, Problem> {
    let params = Params::read(&uri, &["address", "after", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let address = params.address()?;
    let found = app.store.messages(channel, address.as_ref(), params.text("after")?, one_more(limit)).await?;
    Ok(Answer(List::page(found, limit, |message| message.message_id.clone())))
}
