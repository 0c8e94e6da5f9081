//! `sincro sync receipt`, and the summary of a receipt that other commands print too.

use std::collections::BTreeMap;

use sincro_core::{
    job::JobState,
    receipt::{Receipt, ReceiptLine},
    sync::SyncId,
};

use super::{Operator, mention_next, paged};
use crate::{
    args::{Paging, sync::Receipt as Wanted},
    client::{Call, Client},
    output::{self, NOTHING, Table},
    watch::text,
};

/// Prints one page with its lines, or the account of the whole sync.
pub(super) async fn receipt(operator: &Operator, wanted: Wanted) -> anyhow::Result<()> {
    let path = format!("v1/syncs/{}/receipt", wanted.sync.id);
    let one_page = operator.json || wanted.lines || wanted.page.after.is_some();
    if one_page {
        return operator.show(paged(Call::get(path), wanted.page), |reply| Ok(page(&reply.read()?))).await;
    }
    let whole = whole(&operator.client, wanted.sync.id, wanted.page.limit).await?;
    output::lines(&summary(&whole))?;
    output::note(&format!("\nline by line: sincro sync receipt {} --lines", whole.sync_id));
    Ok(())
}

/// A receipt with all its lines, read in as many pages as it takes.
pub(crate) async fn whole(client: &Client, sync: SyncId, page_size: Option<u32>) -> anyhow::Result<Receipt> {
    let read = async |after: Option<i64>| -> anyhow::Result<Receipt> {
        let at = Paging { after: after.map(|cursor| cursor.to_string()), limit: page_size };
        Ok(client.send(paged(Call::get(format!("v1/syncs/{sync}/receipt")), at)).await?.read()?)
    };
    let mut whole = read(None).await?;
    while let Some(after) = whole.next {
        let page = read(Some(after)).await?;
        whole.lines.extend(page.lines);
        whole.next = page.next;
    }
    Ok(whole)
}

/// The totals of a receipt, and its lines counted by how they ended and why.
pub(crate) fn summary(receipt: &Receipt) -> String {
    format!("{}\n\n{}", totals(receipt), endings(&receipt.lines))
}

fn page(receipt: &Receipt) -> String {
    if let Some(next) = receipt.next {
        mention_next(&next.into());
    }
    let headings = ["ADDRESS", "OUTCOME", "EXPECTED", "FETCHED", "STORED", "DUPLICATE", "NAME", "REASON"];
    let mut table = Table::new(&headings);
    for line in &receipt.lines {
        table.row(vec![
            line.address.clone().unwrap_or_else(|| kind(line)),
            line.outcome.to_string(),
            line.expected.to_string(),
            line.fetched.to_string(),
            line.stored.to_string(),
            line.duplicate.to_string(),
            line.name.clone().unwrap_or_else(|| NOTHING.to_owned()),
            why(line),
        ]);
    }
    format!("{}\n\n{table}", totals(receipt))
}

fn totals(receipt: &Receipt) -> String {
    let totals = format!(
        "sync      {}\ncontacts  {}\njobs      {}: {}\nmessages  {}",
        receipt.sync_id,
        receipt.contacts,
        receipt.jobs.total,
        text::jobs(&receipt.jobs),
        text::messages(&receipt.messages)
    );
    match receipt.pruned_at {
        Some(at) => format!("{totals}\nlines     deleted since {at}, the sync ended so long ago"),
        None => totals,
    }
}

/// How many addresses ended in the same way for the same reason, and what they brought.
fn endings(lines: &[ReceiptLine]) -> Table {
    let mut groups: BTreeMap<(JobState, &str, String), [i64; 4]> = BTreeMap::new();
    for line in lines {
        let key = (line.outcome, line.reason.as_deref().unwrap_or(NOTHING), kind(line));
        let sums = groups.entry(key).or_default();
        for (sum, more) in sums.iter_mut().zip([1, line.fetched, line.stored, line.duplicate]) {
            *sum += more;
        }
    }
    let mut table = Table::new(&["OUTCOME", "KIND", "ADDRESSES", "FETCHED", "STORED", "DUPLICATE", "REASON"]);
    for ((outcome, reason, kind), [addresses, fetched, stored, duplicate]) in groups {
        let numbers = [addresses, fetched, stored, duplicate].map(|number| number.to_string());
        table.row([&[outcome.to_string(), kind][..], &numbers, &[reason.to_owned()]].concat());
    }
    table
}

fn why(line: &ReceiptLine) -> String {
    match (&line.reason, &line.last_error) {
        (Some(reason), Some(error)) => format!("{reason}: {error}"),
        (reason, error) => reason.as_ref().or(error.as_ref()).cloned().unwrap_or_else(|| NOTHING.to_owned()),
    }
}

fn kind(line: &ReceiptLine) -> String {
    line.address_kind.map_or_else(|| NOTHING.to_owned(), |kind| kind.to_string())
}

#[cfg(test)]
mod tests {
    use sincro_core::{
        address::AddressKind,
        sync::{JobCounts, MessageCounts},
    };

    use super::*;

    fn line(outcome: JobState, kind: AddressKind, fetched: i64, reason: Option<&str>) -> ReceiptLine {
        ReceiptLine {
            contact_id: Some(1),
            name: None,
            address_kind: Some(kind),
            address: None,
            expected: 25,
            fetched,
            stored: fetched,
            duplicate: 0,
            left_out: 0,
            outcome,
            reason: reason.map(str::to_owned),
            last_error: None,
        }
    }

    #[test]
    fn a_summary_counts_the_lines_by_ending_and_reason() {
        let receipt = Receipt {
            sync_id: uuid::Uuid::nil(),
            contacts: 2,
            jobs: JobCounts { total: 4, succeeded: 2, skipped: 1, failed: 1, ..JobCounts::default() },
            messages: MessageCounts { fetched: 30, stored: 30, ..MessageCounts::default() },
            pruned_at: None,
            lines: vec![
                line(JobState::Succeeded, AddressKind::Phone, 25, None),
                line(JobState::Succeeded, AddressKind::Phone, 5, None),
                line(JobState::Skipped, AddressKind::Lid, 0, Some("lid unknown")),
                line(JobState::Failed, AddressKind::Lid, 0, Some("timeout")),
            ],
            next: None,
        };
        assert_eq!(
            summary(&receipt),
            "sync      00000000-0000-0000-0000-000000000000\n\
             contacts  2\n\
             jobs      4: 2 succeeded, 1 skipped, 1 failed\n\
             messages  30 fetched = 30 stored + 0 already there\n\
             \n\
             OUTCOME    KIND   ADDRESSES  FETCHED  STORED  DUPLICATE  REASON\n\
             succeeded  phone          2       30      30          0  -\n\
             skipped    lid            1        0       0          0  lid unknown\n\
             failed     lid            1        0       0          0  timeout"
        );
    }
}
