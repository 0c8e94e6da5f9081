//! Contacts -> jobs: the same rule wherever a sync is planned.

use crate::{
    address::{Address, AddressKind},
    job::{SkipReason, Step},
    provider::{Capabilities, HistoryAccess},
};

/// A job that does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// Which identity it is about.
    pub address_kind: AddressKind,
    /// The address, where it is known already.
    pub address: Option<Address>,
    /// Its first step, or why it has none.
    pub start: Result<Step, SkipReason>,
}

/// The jobs of one contact. Where history is read per address, one for its phone JID and one for its LID, always both, so that
/// the receipt has a line for each and the totals add up. Where it comes for the whole number, one, and only for a contact that
/// somebody names: its phone can be asked for more, or it cannot.
#[must_use]
pub fn jobs_of(
    phone: Option<&Address>,
    lid: Option<&Address>,
    named: bool,
    capabilities: Capabilities,
) -> Vec<PlannedJob> {
    match capabilities.history {
        HistoryAccess::PerAddress => vec![phone_job(phone), lid_job(phone, lid, capabilities)],
        HistoryAccess::PerAccount if named => phone.or(lid).map(top_up_job).into_iter().collect(),
        HistoryAccess::PerAccount => Vec::new(),
    }
}

/// The first step of the job that asks for everything, where a provider has one.
#[must_use]
pub const fn account_step(capabilities: Capabilities) -> Option<Step> {
    match capabilities.history {
        HistoryAccess::PerAddress => None,
        HistoryAccess::PerAccount if capabilities.status => Some(Step::Prepare),
        HistoryAccess::PerAccount if capabilities.contacts_request => Some(Step::RequestContacts),
        HistoryAccess::PerAccount => Some(Step::RequestHistory),
    }
}

/// What follows on a step of such a job.
#[must_use]
pub const fn behind(step: &Step, capabilities: Capabilities) -> Option<Step> {
    match step {
        Step::Prepare if capabilities.contacts_request => Some(Step::RequestContacts),
        Step::Prepare | Step::RequestContacts => Some(Step::RequestHistory),
        _ => None,
    }
}

/// The most messages that a phone is asked for at once: it gives no more, whatever it is asked for.
pub const TOP_UP_AT_ONCE: u32 = 50;

fn top_up_job(address: &Address) -> PlannedJob {
    PlannedJob {
        address_kind: address.kind(),
        address: Some(address.clone()),
        start: Ok(Step::TopUp { address: address.clone() }),
    }
}

fn phone_job(phone: Option<&Address>) -> PlannedJob {
    PlannedJob {
        address_kind: AddressKind::Phone,
        address: phone.cloned(),
        start: phone.map(history).ok_or(SkipReason::PhoneUnknown),
    }
}

fn lid_job(phone: Option<&Address>, lid: Option<&Address>, capabilities: Capabilities) -> PlannedJob {
    let start = match (lid, phone) {
        (Some(lid), _) => Ok(history(lid)),
        (None, Some(phone)) if capabilities.lid_lookup => Ok(Step::LookUpLid { phone: phone.clone() }),
        (None, _) => Err(SkipReason::LidUnknown),
    };
    PlannedJob { address_kind: AddressKind::Lid, address: lid.cloned(), start }
}

fn history(address: &Address) -> Step {
    Step::History { address: address.clone(), cursor: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{awaiting::Completion, provider::Provider};

    const WUZAPI: Capabilities = Capabilities { lid_lookup: true, ..Capabilities::per_address(Provider::Wuzapi) };
    const POSITUS: Capabilities =
        Capabilities { contacts_request: true, ..Capabilities::per_account(Provider::Positus, Completion::Progress) };

    #[test]
    fn every_contact_gets_a_phone_job_and_a_lid_job_whatever_is_known_of_it() {
        let phone: Address = "5511988887777@s.whatsapp.net".parse().unwrap();
        let lid: Address = "190000000000001@lid".parse().unwrap();
        for (known_phone, known_lid, phone_start, lid_start) in [
            (Some(&phone), Some(&lid), Ok(history(&phone)), Ok(history(&lid))),
            (Some(&phone), None, Ok(history(&phone)), Ok(Step::LookUpLid { phone: phone.clone() })),
            (None, Some(&lid), Err(SkipReason::PhoneUnknown), Ok(history(&lid))),
        ] {
            let starts: Vec<_> =
                jobs_of(known_phone, known_lid, false, WUZAPI).into_iter().map(|job| job.start).collect();
            assert_eq!(starts, [phone_start, lid_start]);
        }
    }

    #[test]
    fn without_a_lookup_an_unknown_lid_is_skipped_at_once() {
        let phone: Address = "5511988887777@s.whatsapp.net".parse().unwrap();
        let jobs = jobs_of(Some(&phone), None, true, Capabilities { lid_lookup: false, ..WUZAPI });
        assert_eq!(jobs[1].start, Err(SkipReason::LidUnknown));
    }

    #[test]
    fn a_number_whose_history_comes_as_a_whole_has_one_job_and_one_for_each_contact_that_is_named() {
        let lid: Address = "190000000000001@lid".parse().unwrap();
        assert_eq!(jobs_of(None, Some(&lid), false, POSITUS), []);
        let named = jobs_of(None, Some(&lid), true, POSITUS);
        assert_eq!(named[0].start, Ok(Step::TopUp { address: lid }));
        assert_eq!((account_step(POSITUS), account_step(WUZAPI)), (Some(Step::Prepare), None));
        let silent = Capabilities { status: false, ..POSITUS };
        assert_eq!(account_step(silent), Some(Step::RequestContacts), "nobody can be asked how the session is");
    }

    #[test]
    fn contacts_are_asked_for_before_history_where_they_are_asked_for_at_all() {
        assert_eq!(behind(&Step::Prepare, POSITUS), Some(Step::RequestContacts));
        assert_eq!(behind(&Step::RequestContacts, POSITUS), Some(Step::RequestHistory));
        let wsapi = Capabilities { contacts_request: false, ..POSITUS };
        assert_eq!(behind(&Step::Prepare, wsapi), Some(Step::RequestHistory));
        assert_eq!(behind(&Step::RequestHistory, wsapi), None);
    }
}
