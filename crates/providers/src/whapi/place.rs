//! Where a list goes on: what the ledger keeps between two pages.
//!
//! Both lists are paged by offset. The messages of a chat are read newest first, so each one that arrives between two pages
//! would push the others on by one; the second page and all after it therefore ask for nothing younger than the first page
//! was. A bound that lies a second later than its newest message serves both readings of the gateway's `time_to`, with the
//! second itself and without it; what arrives within these two seconds makes messages come twice, which are stored once
//! and count twice among those that are wanted.

use std::fmt;

use super::calls::LONGEST_PAGE;

/// More contacts than anybody has: a list that goes on behind them has no end.
const MOST_CONTACTS: u64 = 1_000_000;

/// A cursor that this version did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place to go on from cannot be read")
    }
}

/// The next contact of the list. As a cursor: `500`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset(pub(super) u64);

impl Offset {
    pub(super) fn read(cursor: Option<&str>) -> Result<Self, Lost> {
        cursor.map_or(Ok(0), |cursor| cursor.parse().map_err(|_| Lost)).map(Self)
    }

    /// Behind a page of `seen` records; none when that was the last one. A page is the last one when it is shorter than
    /// `full`, unless a `total` says that there are more. A `total` never ends a list: it may count the page alone.
    pub(super) fn behind(self, seen: usize, full: u32, total: Option<u64>) -> Result<Option<String>, String> {
        let seen = u64::try_from(seen).unwrap_or(u64::MAX);
        let next = self.0.saturating_add(seen);
        if seen == 0 || (seen < u64::from(full) && total.is_none_or(|total| total <= next)) {
            return Ok(None);
        }
        if next >= MOST_CONTACTS {
            return Err(format!("a contact list that goes on behind {next} contacts"));
        }
        Ok(Some(next.to_string()))
    }
}

/// The next message of a chat. As a cursor: `500@1766000001`, or `500` where no message of the first page told its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u32,
    /// Nothing younger than this is asked for, in seconds since 1970.
    pub(super) until_s: Option<i64>,
}

impl Place {
    pub(super) fn read(cursor: Option<&str>) -> Result<Self, Lost> {
        let Some(cursor) = cursor else { return Ok(Self::default()) };
        let (offset, until) = cursor.split_once('@').map_or((cursor, None), |(offset, until)| (offset, Some(until)));
        let until_s = until.map(str::parse).transpose().map_err(|_| Lost)?;
        Ok(Self { offset: offset.parse().map_err(|_| Lost)?, until_s })
    }

    /// How many messages the page is asked for, of `wanted` in all.
    pub(super) fn count(self, wanted: u32) -> u32 {
        wanted.saturating_sub(self.offset).clamp(1, LONGEST_PAGE)
    }

    /// Behind a page of `seen` messages, the newest of which was sent at `newest_s`; none when the chat ends there, or when
    /// that were as many as are wanted. A page is the last one when it is shorter than `full`.
    pub(super) fn behind(self, seen: usize, full: u32, wanted: u32, newest_s: Option<i64>) -> Option<String> {
        let seen = u32::try_from(seen).unwrap_or(u32::MAX).min(self.count(wanted));
        let offset = self.offset.saturating_add(seen);
        if seen == 0 || seen < full || offset >= wanted {
            return None;
        }
        let until_s = self.until_s.or_else(|| newest_s.map(|newest_s| newest_s + 1));
        Some(until_s.map_or_else(|| offset.to_string(), |until_s| format!("{offset}@{until_s}")))
    }
}

/// How long a full page is: as long as was asked for, unless the gateway says that it gives less at once.
pub(super) fn full(asked: u32, said: Option<u64>) -> u32 {
    let said = said.and_then(|said| u32::try_from(said).ok()).filter(|&said| said > 0);
    said.map_or(asked, |said| said.min(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_go_on_behind_a_full_page_and_end_with_a_short_one() {
        assert_eq!(Offset::read(None).unwrap().behind(500, 500, None), Ok(Some("500".into())));
        assert_eq!(Offset::read(Some("500")).unwrap().behind(499, 500, None), Ok(None));
        assert_eq!(Offset(500).behind(0, 500, Some(9_000)), Ok(None), "an empty page is the last one");
        assert_eq!(Offset::read(Some("many")), Err(Lost));
    }

    #[test]
    fn a_total_may_lengthen_a_list_of_contacts_and_never_shortens_it() {
        assert_eq!(Offset(0).behind(300, 500, Some(1_000)), Ok(Some("300".into())));
        assert_eq!(Offset(0).behind(500, 500, Some(500)), Ok(Some("500".into())), "it may count the page alone");
        assert_eq!(Offset(500).behind(300, 500, Some(300)), Ok(None));
    }

    #[test]
    fn a_list_of_contacts_without_an_end_is_given_up() {
        assert!(Offset(MOST_CONTACTS - 500).behind(500, 500, None).is_err());
    }

    #[test]
    fn offset_paging_shifts_while_messages_arrive_so_the_pages_after_the_first_are_frozen() {
        let first = Place::default();
        assert_eq!(first.count(1_200), 500);
        let cursor = first.behind(500, 500, 1_200, Some(1_766_000_000)).unwrap();
        assert_eq!(cursor, "500@1766000001");
        let second = Place::read(Some(&cursor)).unwrap();
        assert_eq!(second, Place { offset: 500, until_s: Some(1_766_000_001) });
        let third = Place::read(second.behind(500, 500, 1_200, Some(1_765_000_000)).as_deref()).unwrap();
        assert_eq!(third, Place { offset: 1_000, until_s: Some(1_766_000_001) }, "by the first page, whatever comes");
        assert_eq!(
            (third.count(1_200), third.behind(200, 200, 1_200, None)),
            (200, None),
            "that was all that is wanted"
        );
    }

    #[test]
    fn a_chat_ends_with_a_page_that_is_shorter_than_its_count() {
        assert_eq!(Place::default().behind(24, 25, 25, Some(1)), None);
        assert_eq!(Place::default().behind(25, 25, 25, Some(1)), None);
        assert_eq!(Place::default().behind(0, 500, 1_000, None), None);
        assert_eq!(Place::default().behind(500, 500, 1_000, None), Some("500".into()), "no message told its time");
    }

    #[test]
    fn a_gateway_that_gives_less_at_once_than_it_was_asked_for_is_read_on() {
        assert_eq!(full(100, Some(20)), 20);
        for said in [None, Some(0), Some(100), Some(500), Some(u64::MAX)] {
            assert_eq!(full(100, said), 100);
        }
        assert_eq!(Place::default().behind(20, full(100, Some(20)), 100, Some(9)), Some("20@10".into()));
    }

    #[test]
    fn a_cursor_of_somebody_else_is_refused() {
        for cursor in ["", "x", "-1", "500@", "500@soon", "@5", "5@6@7"] {
            assert_eq!(Place::read(Some(cursor)), Err(Lost), "{cursor}");
        }
    }
}
