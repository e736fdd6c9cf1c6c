//! Values that are one text in the file, each with a way of its own to be read.

/// `try_from` by a function from the text to the value, or to a sentence that says what is wrong.
macro_rules! from_text {
    ($($name:ty: $read:expr;)+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let read: fn(&str) -> Result<Self, String> = $read;
                read(&text)
            }
        }
    )+};
}

pub(super) use from_text;
