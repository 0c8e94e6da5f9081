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

/// The jobs of one contact: one for its phone JID and one for its LID, always both, so that the
/// receipt has a line for each and the totals add up.
#[must_use]
pub fn jobs_of(phone: Option<&Address>, lid: Option<&Address>, capabilities: Capabilities) -> Vec<PlannedJob> {
    match capabilities.history {
        HistoryAccess::PerAccount => Vec::new(),
        HistoryAccess::PerAddress => vec![phone_job(phone), lid_job(phone, lid, capabilities)],
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
    use crate::provider::Provider;

    const WUZAPI: Capabilities =
        Capabilities { provider: Provider::Wuzapi, history: HistoryAccess::PerAddress, lid_lookup: true };

    #[test]
    fn every_contact_gets_a_phone_job_and_a_lid_job_whatever_is_known_of_it() {
        let phone: Address = "5511988887777@s.whatsapp.net".parse().unwrap();
        let lid: Address = "190000000000001@lid".parse().unwrap();
        for (known_phone, known_lid, phone_start, lid_start) in [
            (Some(&phone), Some(&lid), Ok(history(&phone)), Ok(history(&lid))),
            (Some(&phone), None, Ok(history(&phone)), Ok(Step::LookUpLid { phone: phone.clone() })),
            (None, Some(&lid), Err(SkipReason::PhoneUnknown), Ok(history(&lid))),
        ] {
            let starts: Vec<_> = jobs_of(known_phone, known_lid, WUZAPI).into_iter().map(|job| job.start).collect();
            assert_eq!(starts, [phone_start, lid_start]);
        }
    }

    #[test]
    fn without_a_lookup_an_unknown_lid_is_skipped_at_once() {
        let phone: Address = "5511988887777@s.whatsapp.net".parse().unwrap();
        let jobs = jobs_of(Some(&phone), None, Capabilities { lid_lookup: false, ..WUZAPI });
        assert_eq!(jobs[1].start, Err(SkipReason::LidUnknown));
    }
}
