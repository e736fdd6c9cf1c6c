//! Puts a script together line by line, indented as its blocks are.

use super::quote;

const GREEN: &str = "\x1b[32;1m";
const YELLOW: &str = "\x1b[0;33m";
const RESET: &str = "\x1b[0;m";

#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    pub(crate) fn finish(self) -> String {
        self.text
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.verbatim(line);
    }

    /// A line of the user's, never indented: it may hold a here-document.
    pub(crate) fn verbatim(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(crate) fn export(&mut self, key: &str, value: &str) {
        self.line(&format!("export {key}={}", quote(value)));
    }

    /// A command with each argument quoted for what it is.
    pub(crate) fn command<I: IntoIterator<Item: AsRef<str>>>(&mut self, program: &str, words: I) {
        let mut line = program.to_owned();
        for word in words {
            line.push(' ');
            line.push_str(&quote(word.as_ref()));
        }
        self.line(&line);
    }

    /// A command whose arguments stand in double quotes, where the shell still expands.
    pub(crate) fn expanded<I: IntoIterator<Item: AsRef<str>>>(&mut self, program: &str, words: I) {
        let mut line = program.to_owned();
        for word in words {
            let word = word.as_ref().replace('"', "\\\"");
            line.extend([" \"", &word, "\""]);
        }
        self.line(&line);
    }

    pub(crate) fn notice(&mut self, text: &str) {
        self.line(&format!("echo {}", quote(&format!("{GREEN}{text}{RESET}"))));
    }

    pub(crate) fn warning(&mut self, text: &str) {
        self.line(&format!(
            "echo {}",
            quote(&format!("{YELLOW}{text}{RESET}"))
        ));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.expanded("rm", ["-f", path]);
    }

    pub(crate) fn remove_tree(&mut self, path: &str) {
        self.expanded("rm", ["-r", "-f", path]);
    }

    pub(crate) fn make_directory(&mut self, path: &str) {
        self.line(&format!("mkdir -p \"{path}\""));
    }

    pub(crate) fn change_directory(&mut self, path: &str) {
        self.command("cd", [path]);
    }

    pub(crate) fn if_directory(&mut self, path: &str, body: impl FnOnce(&mut Self)) {
        self.if_line(&format!("if [ -d \"{path}\" ]; then"), body);
    }

    pub(crate) fn if_exists(&mut self, path: &str, body: impl FnOnce(&mut Self)) {
        self.if_line(&format!("if [ -e \"{path}\" ]; then"), body);
    }

    pub(crate) fn if_succeeds(&mut self, command: &str, body: impl FnOnce(&mut Self)) {
        self.if_line(&format!("if {command} ; then"), body);
    }

    pub(crate) fn if_else(
        &mut self,
        command: &str,
        body: impl FnOnce(&mut Self),
        other: impl FnOnce(&mut Self),
    ) {
        self.line(&format!("if {command} ; then"));
        self.block(body);
        self.line("else");
        self.block(other);
        self.line("fi");
    }

    fn if_line(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(head);
        self.block(body);
        self.line("fi");
    }

    fn block(&mut self, body: impl FnOnce(&mut Self)) {
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }
}
