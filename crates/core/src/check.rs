//! What a look at a channel's set-up finds, and what it advises: the rules, without the looking.
//!
//! Each finding is about one thing and says how that is, what was seen, and how to mend it. A later finding about the same thing
//! takes the place of an earlier one.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    gateway::{Receiver, Refusal, Session, Subscriptions},
    provider::{Connect, Provider},
    word::words,
};

words! {
    /// What a finding is about, in the order in which people mend things.
    pub enum Aspect {
        /// Whether our own address for webhooks answers.
        Receiver = "receiver",
        /// Whether the clocks agree: windows and deadlines are times.
        Clock = "clock",
        /// Whether the gateway can be reached and lets us in.
        Credentials = "credentials",
        /// Whether the number is connected and paired.
        Session = "session",
        /// Whether there is history to be had.
        History = "history",
        /// Whether the gateway sends what is needed, and to us.
        Webhooks = "webhooks",
        /// Whether webhooks can show where they come from.
        Proof = "proof",
        /// Whether webhooks are sent however old what they are about.
        Age = "age",
    }
}

words! {
    /// How a thing is.
    pub enum Health {
        /// As it should be.
        Good = "good",
        /// Nobody can tell from here.
        Unknown = "unknown",
        /// It works, and could be better.
        Warning = "warning",
        /// It does not work.
        Bad = "bad",
    }
}

words! {
    /// Where a check is; each needs one gateway call at most.
    pub enum Stage {
        /// The number's session, and what can be told without the gateway.
        Session = "session",
        /// Where webhooks go.
        Webhooks = "webhooks",
        /// Having them sent here.
        Registration = "registration",
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Finding {
    /// About what.
    pub about: Aspect,
    /// How it is.
    pub health: Health,
    /// What was seen.
    #[cfg_attr(feature = "schema", schema(example = "not logged in"))]
    pub says: String,
    /// What to do about it, where something is to be done.
    #[cfg_attr(feature = "schema", schema(example = "pair the number at the gateway"))]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(about: Aspect, says: impl Into<String>) -> Self {
        Self { about, health: Health::Good, says: says.into(), mend: None }
    }

    /// Something that wants to be mended, or looked at by somebody who can.
    pub fn of(about: Aspect, health: Health, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, health, says: says.into(), mend: Some(mend.into()) }
    }
}

/// Puts later findings in the place of earlier ones, in the order in which people mend things.
#[must_use]
pub fn joined(earlier: Vec<Finding>, later: &[Finding]) -> Vec<Finding> {
    let stays = |finding: &Finding| later.iter().all(|new| new.about != finding.about);
    let mut all: Vec<Finding> = earlier.into_iter().filter(stays).chain(later.iter().cloned()).collect();
    all.sort_by_key(|finding| finding.about);
    all
}

/// Where the page about a provider's set-up is.
fn page(provider: Provider) -> String {
    format!("docs/providers/{provider}.md")
}

/// Clocks that differ by less are as good as the same.
const SAME_TIME: TimeDelta = TimeDelta::seconds(5);
/// From here on windows and deadlines are wrong.
const OTHER_TIME: TimeDelta = TimeDelta::minutes(2);

/// How far the clocks of Postgres and of the gateway are ahead of the worker's, where they told.
#[must_use]
pub fn clocks(postgres: TimeDelta, gateway: Option<TimeDelta>) -> Finding {
    let known = [("Postgres", Some(postgres)), ("the gateway", gateway)];
    let told: Vec<(&str, TimeDelta)> = known.into_iter().filter_map(|(who, ahead)| Some((who, ahead?))).collect();
    let worst = told.iter().map(|(_, ahead)| ahead.abs()).max().unwrap_or_default();
    let says = told.iter().map(|(who, ahead)| format!("{who} is {}", difference(*ahead))).collect::<Vec<_>>();
    let says = format!("seen from the worker, {}", says.join(", "));
    if worst < SAME_TIME {
        return Finding::good(Aspect::Clock, says);
    }
    let health = if worst < OTHER_TIME { Health::Warning } else { Health::Bad };
    Finding::of(
        Aspect::Clock,
        health,
        says,
        "let all machines keep their time by NTP: windows and deadlines are counted by it",
    )
}

fn difference(ahead: TimeDelta) -> String {
    let seconds = ahead.num_seconds();
    match seconds {
        0 => "on time".to_owned(),
        1.. => format!("{seconds} s ahead"),
        _ => format!("{} s behind", -seconds),
    }
}

/// What a gateway that refused a call has shown of itself; none for a wait, which is no finding.
#[must_use]
pub fn of_refusal(about: Aspect, refusal: &Refusal, provider: Provider) -> Option<Finding> {
    let bad = |about, mend: &str| Some(Finding::of(about, Health::Bad, refusal.to_string(), mend));
    match refusal {
        Refusal::Throttled { .. } => None,
        Refusal::Unreachable { .. } => {
            bad(Aspect::Credentials, "see that the gateway runs and that base_url is its address as the worker sees it")
        }
        Refusal::Unauthorized { .. } => bad(
            Aspect::Credentials,
            "give other credentials (`sincro channel update CHANNEL --credentials @FILE`), then `sincro channel resume CHANNEL` if it stands still",
        ),
        Refusal::Banned { .. } => bad(Aspect::Session, "WhatsApp has banned the number: nothing can be done from here"),
        Refusal::SessionLost { .. } => {
            bad(Aspect::Session, "connect the number at the gateway; pair it again if it was logged out")
        }
        Refusal::Permanent { .. } => {
            let mend = if about == Aspect::Webhooks {
                format!("the gateway says why; what it takes: {}", page(provider))
            } else {
                format!("see whether base_url is the gateway's root, and compare with {}", page(provider))
            };
            Some(Finding::of(about, Health::Bad, refusal.to_string(), mend))
        }
        Refusal::Transient { .. } => bad(about, "check again; if it stays so, look at the gateway's own log"),
    }
}

/// What a session's status says of it and of its history.
#[must_use]
pub fn of_session(session: &Session, provider: Provider) -> Vec<Finding> {
    let let_in = Finding::good(Aspect::Credentials, "the gateway answers and takes the credentials");
    let state = match (session.connected, session.logged_in) {
        (true, true) => Finding::good(Aspect::Session, "connected and logged in"),
        (_, false) => Finding::of(Aspect::Session, Health::Bad, "not logged in", "pair the number at the gateway"),
        (false, true) => {
            Finding::of(Aspect::Session, Health::Bad, "not connected", "connect the number at the gateway")
        }
    };
    let history = session.keeps_history.map(|keeps| {
        if keeps {
            return Finding::good(Aspect::History, "the gateway keeps history");
        }
        let mend = format!("turn it on at the gateway and pair the number again: {}", page(provider));
        Finding::of(Aspect::History, Health::Bad, "the gateway keeps no history", mend)
    });
    [let_in, state].into_iter().chain(history).collect()
}

/// Whether webhooks come here, as far as the gateway shows where they go. Receivers of others are named by their hosts: the rest of an
/// address may be a secret.
#[must_use]
pub fn of_subscriptions(found: &Subscriptions, ours: &str, connect: Connect) -> Finding {
    let register = match connect {
        Connect::No => "register hook_url at the gateway",
        Connect::Adds => "`sincro channel connect CHANNEL`",
        Connect::Replaces => {
            "`sincro channel connect CHANNEL`, with --replace where another receiver is to be forgotten"
        }
    };
    let Some(receiver) = found.receiver(ours) else {
        let others = hosts(found, ours);
        let says = if others.is_empty() {
            "no webhooks are registered".to_owned()
        } else {
            format!("webhooks go to {others} and not to our address")
        };
        return Finding::of(Aspect::Webhooks, Health::Bad, says, register);
    };
    if !receiver.missing.is_empty() {
        let says = format!("our address is registered without: {}", receiver.missing.join(", "));
        return Finding::of(Aspect::Webhooks, Health::Bad, says, register);
    }
    Finding::good(Aspect::Webhooks, "our address is registered for everything that is needed")
}

/// What is told beside where webhooks go: whether history is taken in, and what would not be sent.
#[must_use]
pub fn of_settings(found: &Subscriptions, provider: Provider) -> Vec<Finding> {
    let history = found.keeps_history.map(|keeps| {
        if keeps {
            return Finding::good(Aspect::History, "the gateway takes in the whole history");
        }
        let mend = format!("turn it on in its settings and connect the number again: {}", page(provider));
        let says = "the gateway takes in new messages only: old ones are not there to be read";
        Finding::of(Aspect::History, Health::Warning, says, mend)
    });
    let old = found.forgets_after.map(|age| {
        let says =
            format!("webhooks about what is older than {} s are not sent: restored messages are old", age.as_secs());
        let mend = format!("have the gateway send webhooks of any age: {}", page(provider));
        Finding::of(Aspect::Age, Health::Warning, says, mend)
    });
    history.into_iter().chain(old).collect()
}

/// What keeps our address from being registered now, or that it is there already; none where the call can be made.
#[must_use]
pub fn against_registration(found: &Subscriptions, ours: &str, connect: Connect, replace: bool) -> Option<Finding> {
    let receiver = found.receiver(ours);
    if receiver.is_some_and(|receiver| receiver.missing.is_empty()) {
        return Some(of_subscriptions(found, ours, connect));
    }
    match connect {
        Connect::No => Some(of_subscriptions(found, ours, connect)),
        Connect::Replaces if !replace => {
            let others = hosts(found, ours);
            let says = format!("nothing was changed: webhooks go to {others}, and would no longer");
            (!others.is_empty())
                .then(|| Finding::of(Aspect::Webhooks, Health::Bad, says, "say --replace if that is meant"))
        }
        // Where the gateway is sent the whole list, ours takes its own place; elsewhere it would stand there twice.
        Connect::Adds if receiver.is_some() && found.kept.is_none() => {
            let missing = receiver.map(|receiver| receiver.missing.join(", ")).unwrap_or_default();
            let says = format!(
                "our address is registered without: {missing}; registered again it would be told everything twice"
            );
            Some(Finding::of(
                Aspect::Webhooks,
                Health::Bad,
                says,
                "remove it at the gateway, then `sincro channel connect CHANNEL`",
            ))
        }
        Connect::Adds | Connect::Replaces => None,
    }
}

/// What is said where our address was registered by somebody who did not live to tell: a gateway that makes a secret for each receiver
/// told it to nobody else. None where it is not there, or there is no such secret.
#[must_use]
pub fn untold_secret(found: &Subscriptions, ours: &str, connect: Connect) -> Option<Finding> {
    let is_there = found.receiver(ours).is_some();
    (is_there && connect == Connect::Adds && found.kept.is_none()).then(|| {
        Finding::of(
            Aspect::Webhooks,
            Health::Bad,
            "our address is registered, and whoever did that broke off before the secret of it was kept",
            "remove it at the gateway, then `sincro channel connect CHANNEL`",
        )
    })
}

fn hosts(found: &Subscriptions, ours: &str) -> String {
    let host = |receiver: &Receiver| {
        let parsed: Option<Url> = receiver.url.parse().ok();
        parsed.as_ref().and_then(Url::host_str).map_or_else(|| "an address that is none".to_owned(), str::to_owned)
    };
    let others = found.receivers.iter().filter(|receiver| receiver.url != ours);
    others.map(host).collect::<Vec<_>>().join(", ")
}

/// What is said of webhooks where the gateway has no call that shows where they go: whether any came.
#[must_use]
pub fn of_silence(heard_at: Option<DateTime<Utc>>, provider: Provider) -> Finding {
    let seconds = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    match heard_at {
        Some(at) => Finding::good(
            Aspect::Webhooks,
            format!(
                "{provider} has no call that shows where webhooks go; one of this number was read at {}",
                seconds(at)
            ),
        ),
        None => Finding::of(
            Aspect::Webhooks,
            Health::Unknown,
            format!("{provider} has no call that shows where webhooks go, and none of this number has come yet"),
            format!("see at the gateway that hook_url is registered: {}", page(provider)),
        ),
    }
}

/// Whether webhooks can show where they come from: by this header, with the secret under this field of the credentials.
#[must_use]
pub fn of_proof(header: &str, field: &str, has_secret: bool) -> Finding {
    if has_secret {
        return Finding::good(Aspect::Proof, format!("webhooks have to show `{header}`, or they are refused"));
    }
    Finding::of(
        Aspect::Proof,
        Health::Warning,
        format!("the credentials have no `{field}`: whoever knows hook_url is believed"),
        format!("give `{field}` in the credentials, where the gateway can send `{header}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Kept;

    const OURS: &str = "https://sincro.example/hooks/wuzapi/abc";

    /// Receivers that all miss the same.
    fn registered(urls: &[&str], missing: &[&str], kept: bool) -> Subscriptions {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let receivers = own(urls).into_iter().map(|url| Receiver { url, missing: own(missing) }).collect();
        Subscriptions { receivers, kept: kept.then(|| Kept("[]".into())), ..Subscriptions::default() }
    }

    #[test]
    fn a_later_finding_takes_the_place_of_an_earlier_one_about_the_same() {
        let earlier = vec![
            Finding::good(Aspect::Session, "connected"),
            Finding::of(Aspect::Webhooks, Health::Bad, "none", "connect"),
        ];
        let all = joined(earlier, &[Finding::good(Aspect::Webhooks, "ours"), Finding::good(Aspect::Clock, "on time")]);
        let told: Vec<_> = all.iter().map(|finding| (finding.about, finding.health)).collect();
        assert_eq!(
            told,
            [(Aspect::Clock, Health::Good), (Aspect::Session, Health::Good), (Aspect::Webhooks, Health::Good)]
        );
    }

    #[test]
    fn clocks_that_differ_are_told_apart_from_those_that_agree() {
        let of = |postgres, gateway: Option<i64>| {
            clocks(TimeDelta::seconds(postgres), gateway.map(TimeDelta::seconds)).health
        };
        assert_eq!((of(0, None), of(4, Some(-4)), of(0, Some(5))), (Health::Good, Health::Good, Health::Warning));
        assert_eq!((of(-119, None), of(0, Some(120))), (Health::Warning, Health::Bad));
        let says = clocks(TimeDelta::seconds(-7), Some(TimeDelta::seconds(3))).says;
        assert_eq!(says, "seen from the worker, Postgres is 7 s behind, the gateway is 3 s ahead");
    }

    #[test]
    fn a_refusal_is_found_where_it_belongs_and_a_wait_is_no_finding() {
        let detail = || "GET /session/status: it said so".to_owned();
        let about = |refusal| of_refusal(Aspect::Webhooks, &refusal, Provider::Wuzapi).map(|finding| finding.about);
        for (refusal, aspect) in [
            (Refusal::Unreachable { detail: detail() }, Aspect::Credentials),
            (Refusal::Unauthorized { detail: detail() }, Aspect::Credentials),
            (Refusal::Banned { detail: detail() }, Aspect::Session),
            (Refusal::SessionLost { detail: detail() }, Aspect::Session),
            (Refusal::Permanent { code: "not_found", detail: detail() }, Aspect::Webhooks),
            (Refusal::Transient { code: "timeout", detail: detail() }, Aspect::Webhooks),
        ] {
            assert_eq!(about(refusal), Some(aspect));
        }
        let throttled = Refusal::Throttled { level: crate::limit::Level::Channel, retry_after: None, detail: detail() };
        assert_eq!(about(throttled), None);
    }

    #[test]
    fn a_session_without_its_number_or_without_history_is_said_with_the_way_to_mend_it() {
        let seen = |connected, logged_in, keeps_history| {
            let session = Session { connected, logged_in, keeps_history, clock: None };
            of_session(&session, Provider::Wuzapi).into_iter().map(|finding| finding.says).collect::<Vec<_>>()
        };
        assert_eq!(seen(true, true, Some(true))[1..], ["connected and logged in", "the gateway keeps history"]);
        assert_eq!(seen(false, false, None)[1..], ["not logged in"]);
        assert_eq!(seen(false, true, Some(false))[1..], ["not connected", "the gateway keeps no history"]);
    }

    #[test]
    fn receivers_of_others_are_named_by_their_hosts_alone() {
        let found = registered(&["https://crm.example/in?key=hush"], &[], false);
        let finding = of_subscriptions(&found, OURS, Connect::Adds);
        assert_eq!(finding.says, "webhooks go to crm.example and not to our address");
        assert_eq!(
            of_subscriptions(&registered(&[], &[], false), OURS, Connect::No).says,
            "no webhooks are registered"
        );
        let partly = of_subscriptions(&registered(&[OURS], &["HistorySync"], false), OURS, Connect::Adds);
        assert_eq!((partly.health, partly.says.ends_with("without: HistorySync")), (Health::Bad, true));
    }

    #[test]
    fn what_somebody_else_is_sent_is_missing_here_all_the_same() {
        let mut found = registered(&[OURS], &["messages"], true);
        found.receivers.push(Receiver { url: "https://crm.example".into(), missing: Vec::new() });
        assert!(of_subscriptions(&found, OURS, Connect::Adds).says.ends_with("without: messages"));
        assert_eq!(against_registration(&found, OURS, Connect::Adds, false), None, "it is registered anew");
    }

    #[test]
    fn what_would_forget_somebody_or_tell_us_twice_is_not_registered_by_itself() {
        let theirs = "https://crm.example/in";
        let against = |found: &Subscriptions, connect, replace| against_registration(found, OURS, connect, replace);
        let another = registered(&[theirs], &["Message"], false);
        assert!(against(&another, Connect::Replaces, false).unwrap().says.contains("crm.example"));
        assert_eq!(against(&another, Connect::Replaces, true), None);
        assert_eq!(against(&another, Connect::Adds, false), None);
        assert_eq!(
            against(&registered(&[], &["Message"], false), Connect::Replaces, false),
            None,
            "nobody is forgotten"
        );
        let partly = registered(&[OURS], &["Message"], false);
        assert_eq!(against(&partly, Connect::Replaces, false), None);
        assert!(against(&partly, Connect::Adds, false).unwrap().says.contains("twice"));
        assert_eq!(against(&registered(&[OURS], &["messages"], true), Connect::Adds, false), None);
        let whole = registered(&[OURS, theirs], &[], false);
        assert_eq!(against(&whole, Connect::Adds, true).unwrap().health, Health::Good, "it is there already");
        assert_eq!(against(&another, Connect::No, true).unwrap().health, Health::Bad);
    }
}
