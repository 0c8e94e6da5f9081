//! Random faults on everything at once, while a backend asks for all it can ask for; then the question what is left of it.
//!
//! | module | its one task |
//! |---|---|
//! | `fault` | what can go wrong |
//! | `plan` | what goes wrong, what is asked for, and when: drawn from the seed |
//! | `site` | everything that runs, and what the plan does to it |
//! | `servers`, `member`, `line`, `folder` | Redis and Postgres, processes, lines between them, files and logs |
//! | `warden` | ends what is left of a run that was killed |
//! | `backend` | asks for what the plan says until it is answered, and remembers what it was promised |
//! | `weather` | when a call could arrive in time |
//! | `audit` | ledger, messages and queue after the end |
//! | `calls` | limits and rests, as the gateway saw them |
//! | `effects` | whether what went wrong had effect |
//!
//! `docs/chaos.md` says what is checked and how a run is read. `SINCRO_CHAOS_SEED` and `SINCRO_CHAOS_MINUTES` choose another
//! run than the one of every test run; `./just chaos` sets them. Of the tests of the whole system it alone sleeps: until the times that the plan draws,
//! as long as a line is slow, and between looks at processes that cannot say when they are ready, because they may just have been killed.

mod audit;
mod backend;
mod calls;
mod effects;
mod fault;
mod folder;
mod line;
mod member;
mod plan;
mod servers;
mod site;
mod warden;
mod weather;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use sincro_core::limit::Limit;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    backend::Backend,
    effects::Effects,
    plan::{Event, Plan},
    site::Site,
    weather::Weather,
};
use crate::support::{Client, announce, environment, turn};

const SEED: u64 = 1;
const MINUTES: f64 = 2.0;
/// How often the processes are looked after.
const ROUND: Duration = Duration::from_millis(100);
/// Syncs with failures are retried so often.
const RETRIES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_at_random_costs_time_and_nothing_else() {
    let seed = setting("SINCRO_CHAOS_SEED", SEED);
    let minutes = setting("SINCRO_CHAOS_MINUTES", MINUTES);
    let _turn = turn::alone().await;
    let guard = Repeat { seed, minutes };
    Run::begin(seed, Duration::from_secs_f64(minutes * 60.0)).await.play_out().await;
    drop(guard);
}

/// One run.
struct Run {
    seed: u64,
    plan: Plan,
    site: Site,
    backend: Arc<Backend>,
    deeds: JoinSet<()>,
    weather: Weather,
    faults: BTreeMap<&'static str, usize>,
    began: Instant,
}

impl Run {
    async fn begin(seed: u64, length: Duration) -> Self {
        let plan = Plan::draw(seed, length);
        let site = Site::open(&plan, seed).await;
        announce(&format!("seed {seed}, clocks {:?} s wrong, logs in {}", plan.skews, site.folder.path().display()));
        let backend = Arc::new(connect(&site).await);
        let weather = Weather::watch(&site.gateway);
        let (deeds, faults) = (JoinSet::new(), BTreeMap::new());
        Self { seed, plan, site, backend, deeds, weather, faults, began: Instant::now() }
    }

    async fn play_out(mut self) {
        for (at, event) in std::mem::take(&mut self.plan.events) {
            self.wait_until(self.began + at).await;
            announce(&format!("{:7.2} s  {event}", self.began.elapsed().as_secs_f64()));
            self.play(event).await;
        }
        let length = self.began.elapsed();
        announce(&format!("{:7.2} s  no more faults", length.as_secs_f64()));
        self.site.calm_gateway();
        self.finish().await;
        self.judge(length).await;
    }

    /// Looks after the processes meanwhile.
    async fn wait_until(&mut self, time: Instant) {
        loop {
            self.site.look_after();
            while let Some(deed) = self.deeds.try_join_next() {
                deed.unwrap();
            }
            let next = time.min(Instant::now() + ROUND);
            sleep_until(next).await;
            if next == time {
                return;
            }
        }
    }

    async fn play(&mut self, event: Event) {
        match event {
            Event::Begin(fault) => {
                *self.faults.entry(fault.kind()).or_default() += 1;
                if fault.is_weather() {
                    self.weather.worse();
                }
                self.site.begin(&fault).await;
                if fault.is_weather() && !fault.has_end() {
                    self.weather.better();
                }
            }
            Event::End(fault) => {
                self.site.end(&fault).await;
                if fault.is_weather() {
                    self.weather.better();
                }
            }
            Event::Do(deed) => {
                let backend = self.backend.clone();
                self.deeds.spawn(async move { backend.perform(deed).await });
            }
        }
    }

    /// Every request is answered, every sync is over, and what failed is retried until nothing fails.
    async fn finish(&mut self) {
        while !self.deeds.is_empty() {
            self.wait_until(Instant::now() + ROUND).await;
        }
        for _ in 0..RETRIES {
            audit::until_quiet(&mut self.site).await;
            let failed = "SELECT id FROM syncs WHERE state IN ('completed_with_failures', 'failed') ORDER BY id";
            let failed: Vec<uuid::Uuid> = sqlx::query_scalar(failed).fetch_all(&self.site.sql).await.unwrap();
            if failed.is_empty() && self.sync_what_nobody_completed().await {
                return;
            }
            for sync in failed {
                // Refused while another sync of its channel is open: in the next round, then.
                self.backend.steer("syncs", sync, "retry").await;
            }
        }
        panic!("syncs fail for good");
    }

    /// Every channel is to be compared with the truth as a whole: one whose syncs were all cancelled is synced once more. Whether
    /// there was none.
    async fn sync_what_nobody_completed(&self) -> bool {
        let completed = "SELECT DISTINCT channel_id FROM syncs WHERE kind = 'channel' AND state = 'completed'";
        let completed: Vec<uuid::Uuid> = sqlx::query_scalar(completed).fetch_all(&self.site.sql).await.unwrap();
        let mut none = true;
        for (channel, id) in self.backend.channels.iter().enumerate() {
            if !completed.contains(id) {
                self.backend.sync_channel(channel).await;
                none = false;
            }
        }
        none
    }

    async fn judge(mut self, length: Duration) {
        let (ends, mut wrong) = audit::look_through(&self.site, &self.backend).await;
        let findings = calls::look_through(&self.site, &self.weather);
        wrong.extend(findings.wrong.iter().cloned());
        let jobs = audit::number(&self.site.sql, "SELECT count(*) FROM jobs").await;
        let messages = audit::number(&self.site.sql, "SELECT count(*) FROM messages").await;
        let effects = Effects::of(&self.site, &self.weather);
        announce(&format!(
            "{effects}; {}; {} calls in fair weather, at most {:.2} of a limit then and {:.2} ever; {} rests kept",
            self.backend.tally(),
            findings.fair,
            findings.fullest_fair,
            findings.fullest,
            findings.rests,
        ));
        if length >= effects::LONG_ENOUGH {
            wrong.extend(effects.missing(&self.faults, &findings, &self.backend));
        }
        if !wrong.is_empty() {
            let calls = serde_json::to_string(&self.site.gateway.calls().all()).unwrap();
            std::fs::write(self.site.folder.path().join("calls.json"), calls).unwrap();
        }
        assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
        audit::compare(&self.site, &self.backend).await;
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let ends: Vec<String> = ends.iter().map(|(state, count)| format!("{count} {state}")).collect();
        announce(&format!(
            "survived: seed {}, {:.0} s of faults and {:.0} s to the end; {}; {} syncs ({}), {jobs} jobs, {messages} messages, {} \
             calls",
            self.seed,
            length.as_secs_f64(),
            self.began.elapsed().saturating_sub(length).as_secs_f64(),
            faults.join(", "),
            self.backend.promises().len(),
            ends.join(", "),
            findings.calls
        ));
        self.site.folder.remove();
    }
}

/// Channels and limits, and a backend that knows them.
async fn connect(site: &Site) -> Backend {
    let client = Client::new(&format!("http://127.0.0.1:{}", site.api_port), &site.key);
    let limit = Limit { rate_per_second: calls::CHANNEL_RATE.into(), burst: 1, concurrency: calls::CONCURRENCY };
    let server = format!("wuzapi/{}", site.gateway.base_url().trim_start_matches("http://"));
    let rules = json!({"rules": [{"match": server, "rate_per_second": calls::SERVER_RATE, "burst": 1}]});
    client.send(client.request(reqwest::Method::PUT, "/v1/limits").json(&rules)).await.ok::<serde_json::Value>();
    let (mut channels, mut addresses) = (Vec::new(), Vec::new());
    for token in site.gateway.tokens() {
        channels.push(client.create_channel_with(&site.gateway, token, limit).await);
        let truth = site.gateway.truth_of(token).expect("every token has a truth");
        addresses
            .push(truth.persons().iter().filter_map(|person| person.addresses().next().map(str::to_owned)).collect());
    }
    Backend::new(client, channels, addresses)
}

/// Says how to see a failure again.
struct Repeat {
    seed: u64,
    minutes: f64,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            announce(&format!("repeat it with: ./just chaos --seed {} --minutes {}", self.seed, self.minutes));
        }
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    environment::text(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
