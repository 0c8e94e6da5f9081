//! What may be asked for once in an onboarding, and whether it was.

/// One onboarding of one channel.
#[derive(Debug, Default)]
pub(crate) struct Onboarding {
    /// The day within which requests are taken has passed.
    pub(crate) is_over: bool,
    contacts_asked: bool,
    history_asked: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Contacts,
    History,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Repeated,
    TooLate,
}

impl Onboarding {
    /// Takes a request, or says why not.
    pub(super) fn ask(&mut self, wish: Wish) -> Result<(), Refused> {
        if self.is_over {
            return Err(Refused::TooLate);
        }
        let asked = match wish {
            Wish::Contacts => &mut self.contacts_asked,
            Wish::History => &mut self.history_asked,
        };
        if std::mem::replace(asked, true) { Err(Refused::Repeated) } else { Ok(()) }
    }
}
