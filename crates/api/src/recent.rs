//! What was looked up a moment ago: a small map that forgets by time and never grows past its bound.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Values by key, each kept for the same time.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    kept_for: Duration,
    most: usize,
    known: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps at most `most` values, each for `kept_for`.
    pub(crate) fn new(kept_for: Duration, most: usize) -> Self {
        Self { kept_for, most, known: Mutex::new(HashMap::new()) }
    }

    /// The value, if it is fresh.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let known = self.known.lock();
        let (since, value) = known.get(key)?;
        (since.elapsed() < self.kept_for).then(|| value.clone())
    }

    /// Keeps a value. When there is no room, what is stale goes first, then everything: looking up again is cheap.
    pub(crate) fn put(&self, key: K, value: V) {
        let mut known = self.known.lock();
        if known.len() >= self.most && !known.contains_key(&key) {
            known.retain(|_, (since, _)| since.elapsed() < self.kept_for);
            if known.len() >= self.most {
                known.clear();
            }
        }
        known.insert(key, (Instant::now(), value));
    }

    /// Forgets a value that has changed.
    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.known.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_forgotten_in_time() {
        let recent = Recent::new(Duration::from_secs(10), 100);
        recent.put("a".to_owned(), 1);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(recent.get("a"), Some(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(recent.get("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_holds_more_than_its_bound_and_drops_stale_values_first() {
        let recent = Recent::new(Duration::from_secs(10), 3);
        recent.put(0, 0);
        tokio::time::advance(Duration::from_secs(10)).await;
        for key in 1..=3 {
            recent.put(key, key);
        }
        assert_eq!((1..=3).filter_map(|key| recent.get(&key)).count(), 3);
        recent.put(4, 4);
        assert!(recent.known.lock().len() <= 3);
        assert_eq!(recent.get(&4), Some(4));
    }

    #[test]
    fn a_changed_value_can_be_forgotten_at_once() {
        let recent = Recent::new(Duration::from_secs(10), 3);
        recent.put(1, 1);
        recent.forget(&1);
        assert_eq!(recent.get(&1), None);
    }
}
