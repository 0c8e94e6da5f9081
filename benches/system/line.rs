//! One measured line of the table: ours, whoever did the same beside it in the same run, and the mark.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one run says of one line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What it is, in a few words; the same in every run.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) peer: Option<Peer>,
    pub(crate) mark: Mark,
}

/// Somebody else's value of the same line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// What a line has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub(crate) enum Mark {
    /// So many times the peer's.
    TimesAtLeast(f64),
    /// So small a part of the peer's.
    TimesAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
    /// Nothing of it in any run.
    Never,
    /// Only told.
    Told,
}

impl Line {
    /// Our value alone.
    pub(crate) const fn alone(name: &'static str, unit: &'static str, ours: f64, mark: Mark) -> Self {
        Self { name, unit, ours, peer: None, mark }
    }

    /// Our value beside that of a peer.
    pub(crate) const fn beside(self, peer: &'static str, value: f64) -> Self {
        Self { peer: Some(Peer { name: peer, value }), ..self }
    }

    /// Ours to the peer's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| self.ours / peer.value)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.name, number(self.ours), self.unit)?;
        if let (Some(peer), Some(ratio)) = (self.peer, self.ratio()) {
            write!(f, "; {}: {}, ratio {}", peer.name, number(peer.value), number(ratio))?;
        }
        Ok(())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimesAtLeast(times) => write!(f, "ratio at least {}", number(*times)),
            Self::TimesAtMost(times) => write!(f, "ratio at most {}", number(*times)),
            Self::AtLeast(value) => write!(f, "at least {}", number(*value)),
            Self::AtMost(value) => write!(f, "at most {}", number(*value)),
            Self::Never => f.write_str("none, ever"),
            Self::Told => f.write_str("-"),
        }
    }
}

/// A number with as many digits as are worth reading: `61,200`, `48.3`, `0.0123`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        let digits = format!("{size:.0}");
        let grouped: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|chunk| str::from_utf8(chunk).ok()).collect();
        return format!("{}{}", if value < 0.0 { "-" } else { "" }, grouped.join(","));
    }
    let decimals = if size >= 10.0 {
        1
    } else if size >= 1.0 || size == 0.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
