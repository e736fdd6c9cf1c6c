//! A Dockerfile: read, judged, and written anew, for both builders.
//!
//! Pure. The text is read as the engines' own parsers read it, in each release that is in use; what
//! they do not read alike is refused. What is written has no comment, no continuation and no
//! directive of the author's, and each of its lines begins with an instruction that was judged; so
//! the engine finds nothing in it that was not looked at. Instructions that name no image and fetch
//! nothing keep their text, and stay on their line for the engine's own messages.

mod add;
mod file;
mod flag;
mod heredoc;
mod judge;
mod lex;
mod line;
mod remote;
mod rule;
mod scope;
mod stage;
mod take;
#[cfg(test)]
mod tests;
mod trigger;
mod word;
mod write;

#[cfg(test)]
use file::Dockerfile;
pub(crate) use file::{Given, Image, Road};
pub(crate) use judge::read;
pub(crate) use trigger::judge as judge_trigger;
pub(crate) use write::{Cache, write};
