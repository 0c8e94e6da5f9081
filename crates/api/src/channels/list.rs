//! `GET /v1/channels`: all channels, oldest first.

use axum::{Json as Answer, extract::State, http::Uri};
use futures::{StreamExt as _, stream};

use super::view::View;
use crate::{
    auth::Caller,
    params::{List, Params, one_more},
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// Questions to the queue that are under way at once for one request.
const AT_ONCE: usize = 16;

refusals!(Refusals: Code::ANY, Code::QUERY);

/// List channels
///
/// Oldest first.
#[utoipa::path(
    get, path = "/v1/channels", operation_id = "list_channels", tag = "channels",
    params(
        ("after" = Option<Uuid>, Query, description = "Go on behind this channel: the last answer's `next`"),
        ("limit" = Option<u16>, Query, description = "At most so many, 1 to 1000", minimum = 1, maximum = 1000, example = 100),
    ),
    responses((status = 200, body = List<View>, description = "A page of channels"), Refusals),
)]
pub(crate) async fn list(
    Caller(caller): Caller,
    State(app): State<App>,
    uri: Uri,
) -> Result<Answer<List<View>>, Problem> {
    let params = Params::read(&uri, &["after", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let channels = app.store.channels(params.parsed("after")?, one_more(limit)).await?;
    let List { items, next } = List::page(channels, limit, |channel| channel.id.to_string());
    let deadline = Deadline::start();
    let views = stream::iter(items).map(|channel| View::of(&app, &caller, channel, deadline)).buffered(AT_ONCE);
    Ok(Answer(List { items: views.collect().await, next }))
}
