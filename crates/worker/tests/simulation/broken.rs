//! What a history fails with.

/// A promise that was not kept, by name, and what was seen instead.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) promise: &'static str,
    pub(crate) seen: String,
}

pub(crate) type Kept<T = ()> = Result<T, Broken>;

/// Breaks the promise unless it was kept.
pub(crate) fn keep(promise: &'static str, kept: bool, seen: impl FnOnce() -> String) -> Kept {
    if kept { Ok(()) } else { Err(Broken { promise, seen: seen() }) }
}

/// The servers of a simulation do not fail: what they refuse is a fault of ours.
pub(crate) fn refused(error: impl std::fmt::Display) -> Broken {
    Broken { promise: "nothing_is_refused", seen: error.to_string() }
}
