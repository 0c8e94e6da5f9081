//! A gateway's good answer -> what the job came to.

use chrono::{DateTime, Utc};
use sincro_core::{
    address::Address,
    gateway::Answer,
    job::{Ending, Job, Outcome, SkipReason, Step},
    message::Message,
};

/// What an answer means for its job, and what is to be stored with it.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) outcome: Outcome,
    pub(crate) address: Option<Address>,
    pub(crate) messages: Vec<Message>,
    /// Messages of the answer that are older than the sync's window.
    pub(crate) left_out: u32,
    pub(crate) learned: Option<Address>,
}

impl Reading {
    /// An outcome that brings nothing to store.
    pub(crate) fn bare(outcome: Outcome) -> Self {
        Self { outcome, address: None, messages: Vec::new(), left_out: 0, learned: None }
    }

    /// Reads the answer to a history job's step; none when it answers another call than the step made.
    pub(crate) fn of(job: &Job, answer: Answer, top_up: bool) -> Option<Self> {
        match (&job.step, answer) {
            (Step::LookUpLid { .. }, Answer::Lid(None)) => {
                Some(Self::bare(Outcome::Ended(Ending::Skipped(SkipReason::LidUnknown))))
            }
            (Step::LookUpLid { .. }, Answer::Lid(Some(lid))) => {
                let next = Step::History { address: lid.clone(), cursor: None };
                Some(Self { learned: Some(lid), ..Self::bare(Outcome::Next(next)) })
            }
            (Step::History { address, cursor }, Answer::History(page)) => {
                let (messages, old) = within(job.window_from, page.messages);
                let fetched = job.fetched + i64::try_from(messages.len()).unwrap_or(i64::MAX);
                // The newest come first: behind an old one are older ones.
                let next = page.next.filter(|_| old == 0);
                let outcome = match next {
                    Some(next) => Outcome::Next(Step::History { address: address.clone(), cursor: Some(next) }),
                    None if top_up && old == 0 && (1..i64::from(job.messages_wanted)).contains(&fetched) => {
                        Outcome::Next(Step::TopUp { address: address.clone() })
                    }
                    None if messages.is_empty() && cursor.is_none() => Outcome::Ended(Ending::Empty),
                    None => Outcome::Ended(Ending::Succeeded),
                };
                Some(Self { outcome, address: Some(address.clone()), messages, left_out: old, learned: None })
            }
            _ => None,
        }
    }
}

/// The messages that were asked for, and how many are older than that.
fn within(from: Option<DateTime<Utc>>, messages: Vec<Message>) -> (Vec<Message>, u32) {
    let Some(from) = from else { return (messages, 0) };
    let all = messages.len();
    let messages: Vec<Message> = messages.into_iter().filter(|message| message.sent_at >= from).collect();
    let old = u32::try_from(all - messages.len()).unwrap_or(u32::MAX);
    (messages, old)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use sincro_core::{
        job::JobKind,
        message::{MessageKind, Page},
    };
    use uuid::Uuid;

    use super::*;

    fn job(step: Step) -> Job {
        Job {
            id: 7,
            sync: Uuid::nil(),
            channel: Uuid::nil(),
            channel_version: 1,
            contact: Some(1),
            kind: JobKind::History,
            address_kind: None,
            step,
            steps_done: 0,
            attempts: 0,
            attempt_limit: 5,
            ran_alone: false,
            messages_wanted: 25,
            deep: false,
            window_from: None,
            fetched: 0,
            sync_paused: false,
        }
    }

    fn history(cursor: Option<&str>) -> Step {
        Step::History { address: "190000000000001@lid".parse().unwrap(), cursor: cursor.map(str::to_owned) }
    }

    fn page(ages_in_days: &[i64], next: Option<&str>) -> Answer {
        let message = |age: &i64| Message {
            id: age.to_string(),
            from_me: false,
            sent_at: DateTime::UNIX_EPOCH - TimeDelta::days(*age),
            kind: MessageKind::Text,
            text: None,
            status: None,
            media: None,
            payload: serde_json::value::RawValue::NULL.to_owned(),
        };
        Answer::History(Page { messages: ages_in_days.iter().map(message).collect(), next: next.map(str::to_owned) })
    }

    #[test]
    fn a_learned_lid_is_the_next_chat_to_read() {
        let lookup = job(Step::LookUpLid { phone: "5511988887777@s.whatsapp.net".parse().unwrap() });
        let lid: Address = "190000000000001@lid".parse().unwrap();
        let reading = Reading::of(&lookup, Answer::Lid(Some(lid.clone())), false).unwrap();
        assert_eq!(reading.outcome, Outcome::Next(history(None)));
        assert_eq!(reading.learned, Some(lid));
        let unknown = Reading::of(&lookup, Answer::Lid(None), false).unwrap();
        assert_eq!(unknown.outcome, Outcome::Ended(Ending::Skipped(SkipReason::LidUnknown)));
    }

    #[test]
    fn a_chat_without_messages_is_empty_only_if_it_was_so_from_the_first_page_on() {
        let outcome = |cursor, answer| Reading::of(&job(history(cursor)), answer, false).unwrap().outcome;
        assert_eq!(outcome(None, page(&[], None)), Outcome::Ended(Ending::Empty));
        assert_eq!(outcome(Some("40"), page(&[], None)), Outcome::Ended(Ending::Succeeded));
        assert_eq!(outcome(None, page(&[], Some("40"))), Outcome::Next(history(Some("40"))));
    }

    #[test]
    fn what_is_older_than_the_window_is_left_out_and_nothing_behind_it_is_asked_for() {
        let from = DateTime::UNIX_EPOCH - TimeDelta::days(3);
        let job = Job { window_from: Some(from), ..job(history(None)) };
        let reading = Reading::of(&job, page(&[1, 3, 4, 5], Some("40")), true).unwrap();
        assert_eq!((reading.messages.len(), reading.left_out), (2, 2));
        assert_eq!(reading.outcome, Outcome::Ended(Ending::Succeeded));
        let old = Reading::of(&job, page(&[9], None), true).unwrap();
        assert_eq!((old.outcome, old.left_out), (Outcome::Ended(Ending::Empty), 1));
    }

    #[test]
    fn a_phone_is_asked_for_more_where_the_gateway_has_some_and_too_few() {
        let outcome = |ages: &[i64], fetched| {
            let job = Job { fetched, ..job(history(None)) };
            Reading::of(&job, page(ages, None), true).unwrap().outcome
        };
        let Step::History { address, .. } = history(None) else { unreachable!() };
        assert_eq!(outcome(&[1], 0), Outcome::Next(Step::TopUp { address }));
        assert_eq!(outcome(&[1], 24), Outcome::Ended(Ending::Succeeded));
        assert_eq!(outcome(&[], 0), Outcome::Ended(Ending::Empty));
    }

    #[test]
    fn an_answer_to_another_call_is_not_read() {
        assert!(Reading::of(&job(history(None)), Answer::Lid(None), false).is_none());
    }
}
