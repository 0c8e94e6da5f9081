//! A value that several calls change: a mutex held only inside a closure.
//!
//! Never held across an await.

use parking_lot::Mutex;

/// A mutex whose lock cannot leave the closure it is used in.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Runs `change` alone with the value.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0.lock())
    }
}
