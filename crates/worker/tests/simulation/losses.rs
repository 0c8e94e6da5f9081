//! Misfortune of the queue: it loses what it holds, all of it or some.

use rand::Rng as _;

use crate::{broken::Kept, world::World};

impl World<'_> {
    pub(crate) async fn lose_something(&mut self) -> Kept {
        self.book.note_loss();
        match self.dice.random_range(0..10) {
            0..3 => self.lose("everything", "").await,
            3..5 => self.lose("its epoch", "epoch").await,
            5 | 6 => self.lose_channel().await,
            7 => self.remember().await,
            _ => self.roll_back().await,
        }
    }

    async fn lose(&mut self, what: &str, with: &str) -> Kept {
        let keys = self.place.keys(with).await;
        self.place.forget(&keys).await;
        self.tell(format_args!("the queue loses {what}"));
        Ok(())
    }

    /// Some keys of one channel or of one of its syncs.
    async fn lose_channel(&mut self) -> Kept {
        let channel = self.dice.random_range(0..self.channels.len());
        let names = self.syncs.iter().filter(|sync| sync.channel == channel).map(|sync| sync.id.to_string());
        let mut keys = self.place.keys(&self.channels[channel].id.to_string()).await;
        for name in names {
            keys.extend(self.place.keys(&name).await);
        }
        // By their kinds, because their names are others each time.
        let lost: Vec<String> = keys.into_iter().filter(|_| self.dice.random_bool(0.6)).collect();
        self.place.forget(&lost).await;
        self.tell(format_args!("the queue loses {} keys of channel {channel}", lost.len()));
        Ok(())
    }

    async fn remember(&mut self) -> Kept {
        self.snapshot = Some(self.place.snapshot().await);
        self.tell("what the queue holds is written to disk");
        Ok(())
    }

    /// Redis comes back with an older state.
    async fn roll_back(&mut self) -> Kept {
        let Some(snapshot) = self.snapshot.take() else { return Ok(()) };
        self.place.roll_back(&snapshot).await;
        self.tell("the queue comes back with what was written to disk");
        Ok(())
    }
}
