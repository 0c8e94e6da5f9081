//! `GET /v1/syncs`: syncs, newest first.

use axum::{Json as Answer, extract::State, http::Uri};
use futures::{StreamExt as _, stream};
use sincro_core::sync::{SyncState, SyncStatus};
use sincro_store::{Error as LedgerError, Missing, syncs::SyncFilter};

use super::live;
use crate::{
    params::{List, Params, one_more},
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// Questions to the queue that are under way at once for one request.
const AT_ONCE: usize = 16;

refusals!(Refusals: Code::ANY, Code::QUERY);

/// List syncs
///
/// Newest first, of one channel or in one state only if asked for.
#[utoipa::path(
    get, path = "/v1/syncs", operation_id = "list_syncs", tag = "syncs",
    params(
        ("channel_id" = Option<Uuid>, Query, description = "Only this channel's"),
        ("state" = Option<SyncState>, Query, description = "Only those in this state"),
        ("after" = Option<Uuid>, Query, description = "Go on behind this sync: the last answer's `next`"),
        ("limit" = Option<u16>, Query, description = "At most so many, 1 to 1000", minimum = 1, maximum = 1000, example = 100),
    ),
    responses((status = 200, body = List<SyncStatus>, description = "A page of syncs"), Refusals),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Answer<List<SyncStatus>>, Problem> {
    let params = Params::read(&uri, &["channel_id", "state", "after", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let filter = SyncFilter {
        channel: params.parsed("channel_id")?,
        state: params.parsed("state")?,
        before: params.parsed("after")?,
    };
    let syncs = match app.store.syncs(&filter, one_more(limit)).await {
        // A page behind what is not there would be empty, and look like the end of the list.
        Err(LedgerError::NotFound(Missing::Sync)) => {
            return Err(Problem::unknown_cursor("there is no sync with this id"));
        }
        found => found?,
    };
    let List { items, next } = List::page(syncs, limit, |sync| sync.id.to_string());
    let deadline = Deadline::start();
    let shown = stream::iter(items).map(async |mut status| {
        live::complete(&app, &mut status, deadline).await;
        status
    });
    Ok(Answer(List { items: shown.buffered(AT_ONCE).collect().await, next }))
}
