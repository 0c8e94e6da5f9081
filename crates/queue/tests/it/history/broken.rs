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

/// Breaks the promise that both sides say the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(of: &str, scripts: &T, model: &T) -> Kept {
    keep("scripts_and_model_agree", scripts == model, || format!("{of}\n   scripts {scripts:?}\n   model   {model:?}"))
}
