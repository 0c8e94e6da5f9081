//! `GET /v1/syncs/{sync_id}/receipt`: what a sync brought, and what it did not and why.

use axum::{Json as Answer, extract::State, http::Uri};
use sincro_core::receipt::Receipt;

use crate::{
    params::{Params, SyncPath},
    problem::{Code, Problem, refusals},
    state::App,
};

refusals!(Refusals: Code::ANY, Code::QUERY, &[Code::SyncNotFound]);

/// Read a receipt
///
/// One line per contact and address, a page of them, under the totals of the whole sync. Over all pages the lines add up to
/// the totals.
#[utoipa::path(
    get, path = "/v1/syncs/{sync_id}/receipt", operation_id = "show_receipt", tag = "syncs",
    params(
        ("sync_id" = Uuid, Path, description = "The sync"),
        ("after" = Option<i64>, Query, description = "Go on behind this line: the last answer's `next`", minimum = 0),
        ("limit" = Option<u16>, Query, description = "At most so many lines, 1 to 10000", minimum = 1, maximum = 10000, example = 1000),
    ),
    responses((status = 200, body = Receipt, description = "Totals, and a page of lines"), Refusals),
)]
pub(crate) async fn receipt(
    State(app): State<App>,
    SyncPath(id): SyncPath,
    uri: Uri,
) -> Result<Answer<Receipt>, Problem> {
    let params = Params::read(&uri, &["after", "limit"])?;
    let limit = params.limit(1_000, 10_000)?;
    Ok(Answer(app.store.receipt(id, params.after_row()?, limit.into()).await?))
}
