//! How many jobs and gateway calls a number of contacts comes to: the planner's rule, counted instead of carried out.

use sincro_core::{
    contact::Contact,
    provider::{Capabilities, HistoryAccess},
};
use sincro_store::contacts::ContactCounts;

/// What a sync has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Workload {
    /// Persons.
    pub(super) contacts: i64,
    /// Jobs that it has, also those that end at once because there is nothing to ask.
    pub(super) jobs: i64,
    /// Jobs that call the gateway.
    pub(super) asking: i64,
    /// Gateway calls of all of them.
    pub(super) calls: i64,
}

impl Workload {
    /// For the contacts of a list.
    pub(super) fn of_list(list: &[Contact], capabilities: Capabilities) -> Self {
        let mut counts = ContactCounts::default();
        for contact in list {
            match (contact.phone(), contact.lid()) {
                (Some(_), Some(_)) => counts.with_both += 1,
                (Some(_), None) => counts.with_phone_only += 1,
                (None, _) => counts.with_lid_only += 1,
            }
        }
        if capabilities.history == HistoryAccess::PerAccount {
            // Each is asked for what is older than its oldest message.
            let contacts = counts.with_phone_only + counts.with_lid_only + counts.with_both;
            return Self { contacts, jobs: contacts, asking: contacts, calls: contacts };
        }
        Self::of_counts(&counts, capabilities)
    }

    /// For so many contacts of each kind.
    pub(super) fn of_counts(counts: &ContactCounts, capabilities: Capabilities) -> Self {
        let ContactCounts { with_phone_only, with_lid_only, with_both } = *counts;
        let contacts = with_phone_only + with_lid_only + with_both;
        if capabilities.history == HistoryAccess::PerAccount {
            // A look at the session, and the request; one more for contacts where they are asked for apart.
            let calls = 2 + i64::from(capabilities.contacts_request);
            return Self { contacts, jobs: 1, asking: 1, calls };
        }
        let phones = with_phone_only + with_both;
        let lids = with_lid_only + with_both;
        let looked_up = if capabilities.lid_lookup { with_phone_only } else { 0 };
        Self { contacts, jobs: 2 * contacts, asking: phones + lids + looked_up, calls: phones + lids + 2 * looked_up }
    }

    /// The same, with the job that reads the gateway's contact list.
    pub(super) fn and_contact_list(self) -> Self {
        Self { asking: self.asking + 1, calls: self.calls + 1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::{address::Address, job::Step, plan::jobs_of, provider::Provider};

    use super::*;

    /// What the planner makes of the same contacts.
    fn planned(list: &[Contact], capabilities: Capabilities) -> Workload {
        let mut load = Workload::default();
        for contact in list {
            load.contacts += 1;
            for job in jobs_of(contact.phone(), contact.lid(), true, capabilities) {
                load.jobs += 1;
                load.asking += i64::from(job.start.is_ok());
                load.calls += match job.start {
                    Ok(Step::LookUpLid { .. }) => 2,
                    Ok(_) => 1,
                    Err(_) => 0,
                };
            }
        }
        load
    }

    #[test]
    fn the_count_is_what_the_planner_would_plan() {
        let phone = |n: u32| Some(format!("55119{n:08}@s.whatsapp.net").parse::<Address>().unwrap());
        let lid = |n: u32| Some(format!("19{n:013}@lid").parse::<Address>().unwrap());
        let contact = |phone, lid| Contact::new(phone, lid, None).unwrap();
        let mut list = Vec::new();
        list.extend((0..5).map(|n| contact(phone(n), None)));
        list.extend((5..12).map(|n| contact(phone(n), lid(n))));
        list.extend((12..15).map(|n| contact(None, lid(n))));
        for history in [HistoryAccess::PerAddress, HistoryAccess::PerAccount] {
            for lid_lookup in [true, false] {
                let capabilities = Capabilities { history, lid_lookup, ..Capabilities::per_address(Provider::Wuzapi) };
                assert_eq!(Workload::of_list(&list, capabilities), planned(&list, capabilities), "{capabilities:?}");
            }
        }
    }
}
