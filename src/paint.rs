//! Colours for our own lines in a job's log, as GitLab shows them.

const RESET: &str = "\u{1b}[0;m";

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

pub(crate) fn green(text: &str) -> String {
    paint("32;1", text)
}

pub(crate) fn red(text: &str) -> String {
    paint("31;1", text)
}

pub(crate) fn yellow(text: &str) -> String {
    paint("0;33", text)
}

fn paint(colour: &str, text: &str) -> String {
    format!("\u{1b}[{colour}m{text}{RESET}")
}
