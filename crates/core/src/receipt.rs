//! What a sync brought, per contact and address, with totals that add up.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    address::AddressKind,
    contact::ContactId,
    job::JobState,
    sync::{JobCounts, MessageCounts, SyncId},
};

/// One line: what became of one address of one contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReceiptLine {
    /// The contact (after merging: the person that survived); none for account-level jobs.
    #[cfg_attr(feature = "schema", schema(value_type = Option<i64>))]
    pub contact_id: Option<ContactId>,
    /// The contact's name, when known.
    pub name: Option<String>,
    /// Phone or LID; none for account-level jobs.
    pub address_kind: Option<AddressKind>,
    /// The address that was asked, when known.
    pub address: Option<String>,
    /// The most messages that were asked for.
    pub expected: i64,
    /// Messages read.
    pub fetched: i64,
    /// New rows.
    pub stored: i64,
    /// Already there.
    pub duplicate: i64,
    /// Older than was asked for: neither read nor stored.
    #[serde(default)]
    pub left_out: i64,
    /// How the job ended, or where it is.
    pub outcome: JobState,
    /// A stable word for why, for skipped and failed ones.
    pub reason: Option<String>,
    /// The last failed call and its cause.
    pub last_error: Option<String>,
}

/// The whole account of a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The sync.
    #[cfg_attr(feature = "schema", schema(value_type = Uuid))]
    pub sync_id: SyncId,
    /// Contacts with at least one line.
    pub contacts: i64,
    /// Its jobs by state.
    pub jobs: JobCounts,
    /// Its messages; the sums of the lines.
    pub messages: MessageCounts,
    /// Since when its lines are deleted, because it ended so long ago; none while they are kept.
    pub pruned_at: Option<DateTime<Utc>>,
    /// One per contact and address.
    pub lines: Vec<ReceiptLine>,
    /// Ask with `after=` this to go on; none at the end.
    pub next: Option<i64>,
}
