//! Columns that hold one of a few words.

/// A text that is none of the words of its column.
#[derive(Debug, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct UnknownWord {
    /// The text.
    pub text: String,
    /// What it was to be.
    pub what: &'static str,
}

/// Defines an enum whose values are words in a column.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$word_doc:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word),+
        }

        impl $name {
            /// As it is stored, and as in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$word),)+
                    _ => Err($crate::words::UnknownWord { text: text.to_owned(), what: $what }),
                }
            }
        }
    };
}

pub(crate) use words;
