use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 + seconds, 0).unwrap()
}

/// Waits that are easy to tell apart.
fn waits() -> Waits {
    Waits {
        quiet: Duration::from_mins(1),
        beginning: Duration::from_mins(5),
        reply_quiet: Duration::from_secs(5),
        ..Waits::default()
    }
}

/// A delivery that was asked for at 0 and may take a thousand seconds.
fn delivery(rule: Completion) -> Awaited {
    Awaited {
        awaits: Awaits::Delivery,
        rule,
        since: at(0),
        until: at(1_000),
        heard_at: None,
        delivered: Delivered::default(),
        fetched: 0,
        known: 0,
        wanted: 25,
    }
}

fn heard(mut awaited: Awaited, seconds: i64, messages: i64, percent: u32) -> Awaited {
    awaited.heard_at = Some(at(seconds));
    awaited.delivered.events += 1;
    awaited.delivered.messages += messages.unsigned_abs();
    awaited.delivered.new += messages.unsigned_abs();
    awaited.fetched += messages;
    awaited.known += messages;
    if percent > 0 {
        awaited.delivered.note(&Progress { percent: Some(percent), ..Progress::default() });
    }
    awaited
}

#[test]
fn a_progress_of_100_and_a_silence_end_a_delivery_and_neither_alone_does() {
    let waits = waits();
    let half = heard(delivery(Completion::Progress), 10, 7, 55);
    assert_eq!(half.look(&waits, at(900)), Look::Later(at(1_000)));
    let whole = heard(half, 20, 7, 100);
    assert_eq!(whole.look(&waits, at(79)), Look::Later(at(80)));
    assert_eq!(whole.look(&waits, at(80)), Look::Over(Ending::Succeeded));
    let late_chunk = heard(whole, 70, 7, 90);
    assert_eq!(late_chunk.look(&waits, at(80)), Look::Later(at(130)));
}

#[test]
fn what_is_missing_at_the_deadline_is_said() {
    let waits = waits();
    let half = heard(delivery(Completion::Progress), 10, 7, 55);
    let Look::Over(Ending::Partial(missing)) = half.look(&waits, at(1_000)) else { panic!("{half:?}") };
    assert!(missing.contains("55 %") && missing.contains("7 messages"), "{missing}");
    let nothing = delivery(Completion::Progress).look(&waits, at(1_000));
    assert_eq!(nothing, Look::Over(Ending::Nothing(NothingReason::NothingReceived, None)));
}

#[test]
fn a_gateway_that_announces_no_end_is_given_time_to_begin_and_then_a_silence() {
    let waits = waits();
    let begun = heard(delivery(Completion::Quiescence), 10, 7, 0);
    assert_eq!(begun.look(&waits, at(100)), Look::Later(at(300)), "it may begin again within its first five minutes");
    let long = heard(begun, 290, 7, 0);
    assert_eq!(long.look(&waits, at(300)), Look::Later(at(350)));
    assert_eq!(long.look(&waits, at(350)), Look::Over(Ending::Succeeded));
    let silent = delivery(Completion::Quiescence);
    assert_eq!(silent.look(&waits, at(300)), Look::Over(Ending::Nothing(NothingReason::NothingReceived, None)));
}

#[test]
fn an_event_that_says_done_ends_a_delivery_without_bodies_with_its_counts() {
    let waits = waits();
    let mut counted = heard(delivery(Completion::Event), 10, 0, 40);
    counted.delivered.note(&Progress { conversations: Some(30), ..Progress::default() });
    assert_eq!(counted.look(&waits, at(500)), Look::Later(at(1_000)), "progress alone is no end");
    counted.delivered.complete = true;
    let Look::Over(Ending::Nothing(NothingReason::NoBodies, Some(told))) = counted.look(&waits, at(15)) else {
        panic!("{counted:?}")
    };
    assert!(told.contains("30 chats"), "{told}");
    assert_eq!(heard(counted, 12, 3, 0).look(&waits, at(17)), Look::Over(Ending::Succeeded));
}

#[test]
fn a_phone_is_asked_again_until_it_has_nothing_older_or_enough_has_come() {
    let waits = waits();
    let some = heard(delivery(Completion::Reply), 10, 7, 0);
    assert_eq!(some.look(&waits, at(14)), Look::Later(at(15)));
    assert_eq!(some.look(&waits, at(15)), Look::GoOn);
    let mut known = some.clone();
    known.delivered.new = 0;
    assert_eq!(known.look(&waits, at(15)), Look::Over(Ending::Succeeded), "it sends what was there already");
    let mut last = some.clone();
    last.delivered.exhausted = true;
    assert_eq!(last.look(&waits, at(10)), Look::Over(Ending::Succeeded));
    assert_eq!(heard(some, 11, 20, 0).look(&waits, at(16)), Look::Over(Ending::Succeeded));
}

#[test]
fn a_silent_phone_is_an_expected_end_that_keeps_what_was_there_before() {
    let waits = waits();
    let silent = delivery(Completion::Reply);
    assert_eq!(silent.look(&waits, at(1_000)), Look::Over(Ending::Nothing(NothingReason::NothingReceived, None)));
    let after_a_page = Awaited { fetched: 7, ..silent };
    assert_eq!(after_a_page.look(&waits, at(1_000)), Look::Over(Ending::Succeeded));
}

#[test]
fn a_decline_ends_it_at_once_and_an_unknown_outcome_only_if_nothing_comes() {
    let waits = waits();
    let mut declined = delivery(Completion::Progress);
    declined.delivered.declined = Some(Failure::new("declined", "2593109"));
    assert!(matches!(declined.look(&waits, at(1)), Look::Over(Ending::Failed(failure)) if failure.code == "declined"));
    let mut uncertain = delivery(Completion::Progress);
    uncertain.delivered.uncertain = true;
    assert_eq!(uncertain.look(&waits, at(999)), Look::Later(at(1_000)));
    assert_eq!(uncertain.look(&waits, at(1_000)), Look::Over(Ending::Failed(unknown_outcome())));
    assert_eq!(heard(uncertain, 20, 7, 100).look(&waits, at(80)), Look::Over(Ending::Succeeded));
}

#[test]
fn a_wait_for_a_time_goes_on_then_and_one_for_the_first_sync_fails_with_what_can_be_done() {
    let waits = waits();
    let reread = Awaited { awaits: Awaits::Reread, until: at(30), ..delivery(Completion::Answer) };
    assert_eq!((reread.look(&waits, at(29)), reread.look(&waits, at(30))), (Look::Later(at(30)), Look::GoOn));
    let first = Awaited { awaits: Awaits::InitialSync, ..reread };
    let Look::Over(Ending::Failed(failure)) = first.look(&waits, at(30)) else { panic!("{first:?}") };
    assert_eq!(failure.code, "no_initial_sync");
}

#[test]
fn reports_in_any_order_and_twice_leave_the_same_progress() {
    let reports = [(0, 1, 5), (1, 1, 20), (1, 2, 55), (1, 2, 55), (2, 1, 100)].map(|(phase, chunk, percent)| {
        Progress { phase: Some(phase), chunk: Some(chunk), percent: Some(percent), conversations: None }
    });
    let (mut forth, mut back) = (Delivered::default(), Delivered::default());
    for report in &reports {
        forth.note(report);
    }
    reports.iter().rev().for_each(|report| back.note(report));
    assert_eq!(forth, back);
    assert_eq!(forth.told().as_deref(), Some("phase 2, chunk 1, 100 %"));
}

#[test]
fn an_answer_under_an_address_that_nobody_knows_is_said_and_does_not_end_the_wait() {
    let waits = waits();
    let mut silent = delivery(Completion::Reply);
    silent.delivered.unmapped = 1;
    assert_eq!(silent.look(&waits, at(999)), Look::Later(at(1_000)));
    let Look::Over(Ending::Nothing(NothingReason::NothingReceived, Some(told))) = silent.look(&waits, at(1_000)) else {
        panic!("{silent:?}")
    };
    assert!(told.contains("under an address"), "{told}");
}
