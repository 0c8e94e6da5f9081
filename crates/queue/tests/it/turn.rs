//! As many tests at once as there are cores, however many threads there are: what a script may take of a moment is tested here.

use std::{
    cell::Cell,
    sync::{Condvar, Mutex, OnceLock},
    thread::available_parallelism,
};

/// How many may still begin.
struct Free {
    places: Mutex<usize>,
    one_more: Condvar,
}

static FREE: OnceLock<Free> = OnceLock::new();

thread_local! {
    /// This thread's test has its place: it needs no second one for a second Redis.
    static PLACED: Cell<bool> = const { Cell::new(false) };
}

/// A test's leave to run, until it is dropped.
pub(crate) struct Turn {
    took_a_place: bool,
}

impl Turn {
    pub(crate) fn take() -> Self {
        let took_a_place = !PLACED.replace(true);
        if took_a_place {
            let free = FREE.get_or_init(|| {
                let places = available_parallelism().map_or(2, usize::from);
                Free { places: Mutex::new(places), one_more: Condvar::new() }
            });
            let mut places = free.one_more.wait_while(free.places.lock().unwrap(), |places| *places == 0).unwrap();
            *places -= 1;
        }
        Self { took_a_place }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.took_a_place
            && let Some(free) = FREE.get()
        {
            PLACED.set(false);
            *free.places.lock().unwrap() += 1;
            free.one_more.notify_one();
        }
    }
}
