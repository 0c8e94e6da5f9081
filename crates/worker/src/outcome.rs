//! A gateway's good answer -> what the job came to.

use sincro_core::{
    address::Address,
    gateway::Answer,
    job::{Ending, Outcome, SkipReason, Step},
    message::Message,
};

/// What an answer means for its job, and what is to be stored with it.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) outcome: Outcome,
    pub(crate) address: Option<Address>,
    pub(crate) messages: Vec<Message>,
    pub(crate) learned: Option<Address>,
}

impl Reading {
    /// An outcome that brings nothing to store.
    pub(crate) fn bare(outcome: Outcome) -> Self {
        Self { outcome, address: None, messages: Vec::new(), learned: None }
    }

    /// Reads the answer to a history job's step; none when it answers another call than the step made.
    pub(crate) fn of(step: &Step, answer: Answer) -> Option<Self> {
        match (step, answer) {
            (Step::LookUpLid { .. }, Answer::Lid(None)) => {
                Some(Self::bare(Outcome::Ended(Ending::Skipped(SkipReason::LidUnknown))))
            }
            (Step::LookUpLid { .. }, Answer::Lid(Some(lid))) => {
                let next = Step::History { address: lid.clone(), cursor: None };
                Some(Self { learned: Some(lid), ..Self::bare(Outcome::Next(next)) })
            }
            (Step::History { address, cursor }, Answer::History(page)) => {
                let outcome = match page.next {
                    Some(next) => Outcome::Next(Step::History { address: address.clone(), cursor: Some(next) }),
                    None if page.messages.is_empty() && cursor.is_none() => Outcome::Ended(Ending::Empty),
                    None => Outcome::Ended(Ending::Succeeded),
                };
                Some(Self { outcome, address: Some(address.clone()), messages: page.messages, learned: None })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::message::Page;

    use super::*;

    fn history(cursor: Option<&str>) -> Step {
        Step::History { address: "190000000000001@lid".parse().unwrap(), cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_learned_lid_is_the_next_chat_to_read() {
        let lookup = Step::LookUpLid { phone: "5511988887777@s.whatsapp.net".parse().unwrap() };
        let lid: Address = "190000000000001@lid".parse().unwrap();
        let reading = Reading::of(&lookup, Answer::Lid(Some(lid.clone()))).unwrap();
        assert_eq!(reading.outcome, Outcome::Next(history(None)));
        assert_eq!(reading.learned, Some(lid));
        let unknown = Reading::of(&lookup, Answer::Lid(None)).unwrap();
        assert_eq!(unknown.outcome, Outcome::Ended(Ending::Skipped(SkipReason::LidUnknown)));
    }

    #[test]
    fn a_chat_without_messages_is_empty_only_if_it_was_so_from_the_first_page_on() {
        let nothing = || Answer::History(Page::default());
        assert_eq!(Reading::of(&history(None), nothing()).unwrap().outcome, Outcome::Ended(Ending::Empty));
        assert_eq!(Reading::of(&history(Some("40")), nothing()).unwrap().outcome, Outcome::Ended(Ending::Succeeded));
        let more = Answer::History(Page { next: Some("40".into()), ..Page::default() });
        assert_eq!(Reading::of(&history(None), more).unwrap().outcome, Outcome::Next(history(Some("40"))));
    }

    #[test]
    fn an_answer_to_another_call_is_not_read() {
        assert!(Reading::of(&history(None), Answer::Lid(None)).is_none());
    }
}
