//! The language that people are spoken to. A sentence has both languages side by side: with one of
//! them missing it does not compile.
//!
//! A process speaks one language, which its configuration names. It is the thread's own, because all
//! that speaks runs on one thread, and tests side by side shall not change each other's.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

/// A language that every sentence has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

thread_local! {
    static SPOKEN: Cell<Language> = const { Cell::new(Language::English) };
}

/// From here on this thread speaks it.
pub(crate) fn speak(language: Language) {
    SPOKEN.set(language);
}

pub(crate) fn spoken() -> Language {
    SPOKEN.get()
}

/// A sentence as text: English, then Chinese; both take the same variables.
macro_rules! both {
    ($english:literal, $chinese:literal $(, $($arguments:tt)*)?) => {
        match $crate::lang::spoken() {
            $crate::lang::Language::English => format!($english $(, $($arguments)*)?),
            $crate::lang::Language::Chinese => format!($chinese $(, $($arguments)*)?),
        }
    };
}

/// The same for words without variables, as a `&'static str`.
macro_rules! word {
    ($english:literal, $chinese:literal $(,)?) => {
        match $crate::lang::spoken() {
            $crate::lang::Language::English => $english,
            $crate::lang::Language::Chinese => $chinese,
        }
    };
}

pub(crate) use {both, word};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_in_the_language_that_is_spoken() {
        let host = "app-1";
        let said = || (both!("{host} is down", "{host} 停机了"), word!("yes", "是"));
        assert_eq!(said(), ("app-1 is down".into(), "yes"));
        speak(Language::Chinese);
        assert_eq!(said(), ("app-1 停机了".into(), "是"));
        speak(Language::English);
    }
}
