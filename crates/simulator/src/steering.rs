//! Steering what comes by webhook, beside what [`Simulator`] steers of calls.

use anyhow::Result;

use crate::{
    gdbrns,
    hooks::{DeliveryLog, HookFaults, Hooks, Pace},
    pairing::Step,
    positus,
    simulator::Simulator,
    whapi, wsapi, wuzapi,
};

impl Simulator {
    /// The webhooks of the first channel.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        Hooks::new(&self.server, &self.server.channels[0])
    }

    /// The webhooks of the channel this token opens.
    #[must_use]
    pub fn hooks_of(&self, token: &str) -> Option<Hooks> {
        self.server.channel_of(token).map(|channel| Hooks::new(&self.server, channel))
    }

    /// Every attempt to deliver a webhook so far, of all channels.
    #[must_use]
    pub fn deliveries(&self) -> &DeliveryLog {
        &self.server.deliveries
    }

    /// Replaces all faults of webhooks; counters start again. Fails on a share outside 0..=1.
    pub fn set_hook_faults(&self, faults: impl Into<HookFaults>) -> Result<()> {
        let faults = faults.into();
        faults.check()?;
        self.server.hook_faults.set(faults);
        Ok(())
    }

    /// Changes how webhooks are sent. Fails on what cannot be.
    pub fn set_pace(&self, pace: Pace) -> Result<()> {
        pace.check()?;
        self.server.set_pace(pace);
        Ok(())
    }

    /// The gateway's own name for the channel this token opens: the instance of WSAPI, the number of Positus, the device of
    /// gdbrns, the user of WuzAPI, the channel of Whapi.
    #[must_use]
    pub fn name_of(&self, token: &str) -> Option<String> {
        self.server.channel_of(token).map(|channel| self.server.contract.name_of(channel))
    }

    /// Has the channel this token opens paired (or onboarded) anew. Fails if there is none.
    pub fn pair(&self, token: &str) -> Result<()> {
        self.server.pair(self.channel(token)?, None);
        Ok(())
    }

    /// One step of that. Between the two, what the phone sends is on its way.
    pub fn pair_step(&self, token: &str, step: Step) -> Result<()> {
        self.server.pair(self.channel(token)?, Some(step));
        Ok(())
    }

    /// Has the message with this id become readable, where the provider restores single messages; the webhook of it comes as
    /// well. Fails if the phone does not hold it.
    pub fn restore(&self, token: &str, message_id: &str) -> Result<()> {
        self.server.contract.restore(&self.server, self.channel(token)?, message_id)
    }

    /// Has the file of a message gone, where the gateway gives files. Fails if there is no such channel.
    pub fn lose_file(&self, token: &str, message_id: &str) -> Result<()> {
        self.channel(token)?.lost_files.with(|lost| lost.insert(message_id.to_owned()));
        Ok(())
    }

    /// Lets the hour pass after which WSAPI forgets what it holds of the channel's history.
    pub fn expire_cache(&self, token: &str) -> Result<()> {
        self.channel(token)?.cache.with(wsapi::Cache::forget);
        Ok(())
    }

    /// Lets the day pass within which Positus takes the requests of the channel's onboarding.
    pub fn expire_onboarding(&self, token: &str) -> Result<()> {
        self.channel(token)?.onboarding.with(|onboarding| onboarding.is_over = true);
        Ok(())
    }

    /// Changes how Whapi restores single messages.
    pub fn set_restoring(&self, restoring: whapi::Restoring) {
        self.server.restoring.with(|kept| *kept = restoring);
    }

    /// Decides the open points of WuzAPI's contract anew.
    pub fn set_wuzapi(&self, readings: wuzapi::Readings) {
        self.server.wuzapi.with(|kept| *kept = readings);
    }

    /// Decides the open points of Positus' contract anew. Fails on chunks of nothing.
    pub fn set_positus(&self, readings: positus::Readings) -> Result<()> {
        readings.check()?;
        self.server.positus.with(|kept| *kept = readings);
        Ok(())
    }

    /// Decides the open points of WSAPI's contract anew.
    pub fn set_wsapi(&self, readings: wsapi::Readings) {
        self.server.wsapi.with(|kept| *kept = readings);
    }

    /// Decides the open points of gdbrns' contract anew.
    pub fn set_gdbrns(&self, readings: gdbrns::Readings) {
        self.server.gdbrns.with(|kept| *kept = readings);
    }
}
