//! One file for each figure of the table: what is done, and what of it counts.

pub(crate) mod bytes;
pub(crate) mod depth;
pub(crate) mod enqueue;
pub(crate) mod execute;
pub(crate) mod fairness;
pub(crate) mod idle;
pub(crate) mod limit;
pub(crate) mod million;
pub(crate) mod ticket;
pub(crate) mod traffic;

use crate::{args::Figure, line::Line, session::Session};

/// One run of a figure.
pub(crate) async fn run(figure: Figure, session: &Session) -> anyhow::Result<Vec<Line>> {
    match figure {
        Figure::Enqueue => enqueue::run(session).await,
        Figure::Execute => execute::run(session).await,
        Figure::Bytes => bytes::run(session).await,
        Figure::Traffic => traffic::run(session).await,
        Figure::Depth => depth::run(session).await,
        Figure::Million => million::run(session).await,
        Figure::Limit => limit::run(session).await,
        Figure::Idle => idle::run(session).await,
        Figure::Ticket => ticket::run(session).await,
        Figure::Fairness => fairness::run(session).await,
    }
}

/// Contacts of a channel that has many.
pub(crate) const CONTACTS: usize = 1_000;
/// Jobs of each contact: one for its phone JID, one for its LID.
pub(crate) const PER_CONTACT: usize = 2;
