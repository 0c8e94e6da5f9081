//! Enums whose variants are words that SQL, JSON, metrics and pages share.
//!
//! One macro, so that the word of a variant is written once: serde, `Display` and `FromStr` all
//! come from it and cannot drift apart.

/// A value that is none of the words of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of: {known}")]
pub struct UnknownWord {
    /// What was read.
    pub found: String,
    /// The words that would have been understood, separated by commas.
    pub known: String,
}

/// Declares an enum with one lower-case word per variant.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        $vis enum $name { $(
            $(#[$vmeta])*
            #[serde(rename = $word)]
            // utoipa does not see serde's word through the macro.
            #[cfg_attr(feature = "schema", schema(rename = $word))]
            $variant,
        )+ }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that stands for it everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::word::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| {
                    $crate::word::UnknownWord { found: word.to_owned(), known: [$($word),+].join(", ") }
                })
            }
        }
    };
}

pub(crate) use words;
