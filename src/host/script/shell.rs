//! The script by a shell of this machine, without any Compose: what it does to files, and what it says where it can
//! write nothing.

use std::{
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::host::said::packed;

/// A host's folders: the project's, and the home.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for folder in ["srv", "home", "tmp"] {
            fs::create_dir(desk.0.path().join(folder)).unwrap();
        }
        desk.write("srv/a.yml", "old\n");
        desk
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// What lies in a folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join(folder)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|it| name(it).into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn tells(&self, arguments: &[&str]) -> Vec<Answer> {
        self.tells_at("home", arguments)
    }

    fn tells_at(&self, home: &str, arguments: &[&str]) -> Vec<Answer> {
        let mut child = Command::new("sh")
            .args(["-s", "--"])
            .args(arguments)
            .env("HOME", self.path(home))
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(TEXT.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        answers(&String::from_utf8(output.stdout).unwrap())
    }

    /// The change of the one file, for the script.
    fn edits(&self) -> String {
        let path = self.path("srv/a.yml");
        let shown = self.tells(&["show", "shop", "-", &path]);
        let [Answer::File(file)] = &shown[..] else {
            panic!("{shown:?}");
        };
        packed(&format!("{}\tline\t1\t{path}\tnew\n", file.sum))
    }

    fn try_with(&self, old: &str) -> Vec<Answer> {
        let arguments = [
            "try",
            &self.path("srv"),
            "app",
            &self.edits(),
            old,
            ":",
            ":",
        ];
        self.tells(&arguments)
    }

    fn start(&self, home: &str, up: &str) -> Vec<Answer> {
        let (srv, edits) = (self.path("srv"), self.edits());
        let [facts, place] = ["image sha256:1\n", "name shop\n"].map(packed);
        let start = ["start", &srv, "shop", "run-1", "9", &edits, &facts];
        let rest = [&place, "key", up, "app", ":", ":", &place];
        self.tells_at(home, &[&start[..], &rest[..]].concat())
    }

    #[track_caller]
    fn refuses(&self, said: &[Answer], folder: &str) {
        let refusal = Answer::Refuse {
            why: "unwritten".into(),
            file: self.path(folder),
        };
        assert_eq!(said, [refusal]);
    }
}

#[test]
fn a_folder_for_scratch_that_takes_nothing_is_named() {
    let desk = Desk::new();
    fs::remove_dir(desk.path("tmp")).unwrap();
    desk.refuses(&desk.try_with(":"), "tmp");
}

#[test]
fn a_compose_folder_that_takes_nothing_is_named() {
    let desk = Desk::new();
    // Nothing can be written where a folder is.
    fs::create_dir(desk.path("srv/.a.yml.dockmaster")).unwrap();
    desk.refuses(&desk.try_with(":"), "srv");
    desk.refuses(&desk.start("home", ":"), "srv");
    assert_eq!(desk.read("srv/a.yml"), "old\n");
}

#[test]
fn a_home_that_takes_nothing_is_named() {
    let desk = Desk::new();
    desk.write("full/.cache", "");
    let wait = ["await", "shop", "run-1", "9"];
    desk.refuses(&desk.tells_at("full", &wait), "full/.cache");
    let said = desk.start("full", ":");
    desk.refuses(&said, "full/.cache/dockmaster/shop/run-1");
    // The place of what is remembered is taken, and the file is left alone.
    fs::create_dir_all(desk.path("home/.cache/dockmaster/.places/key.new")).unwrap();
    let said = desk.start("home", ":");
    desk.refuses(&said, "home/.cache/dockmaster/shop/run-1");
    assert_eq!(desk.read("srv/a.yml"), "old\n");
    assert_eq!(desk.names("srv"), ["a.yml"]);
}

#[test]
fn an_end_that_could_not_be_written_is_none() {
    let desk = Desk::new();
    let rc = "home/.cache/dockmaster/shop/run-1/rc";
    let wait = ["await", "shop", "run-1", "9"];
    desk.write(rc, "");
    assert_eq!(desk.tells(&wait), [Answer::Free]);
    desk.write(rc, "7\n");
    assert_eq!(desk.tells(&wait), [Answer::Ended(7)]);
}

#[test]
fn a_file_with_another_name_keeps_it() {
    for (up, expect) in [("true", "new\n"), ("false", "old\n")] {
        let desk = Desk::new();
        fs::hard_link(desk.path("srv/a.yml"), desk.path("srv/b.yml")).unwrap();
        let said = desk.start("home", up);
        assert!(matches!(said[..], [Answer::Ended(_), ..]), "{said:?}");
        assert_eq!(desk.read("srv/a.yml"), expect);
        assert_eq!(desk.read("srv/b.yml"), expect);
        assert_eq!(desk.names("srv"), ["a.yml", "b.yml"]);
    }
}

#[test]
fn a_file_of_one_name_is_taken_over_in_one_move() {
    let desk = Desk::new();
    let inode = |path: &str| fs::metadata(Path::new(path)).unwrap().ino();
    let before = inode(&desk.path("srv/a.yml"));
    // Whoever has the old one open reads it to its end.
    let open = fs::File::open(desk.path("srv/a.yml")).unwrap();
    assert_eq!(desk.start("home", "true"), [Answer::Ended(0)]);
    assert_ne!(inode(&desk.path("srv/a.yml")), before);
    assert_eq!(std::io::read_to_string(open).unwrap(), "old\n");
    assert_eq!(desk.names("srv"), ["a.yml"]);
}

#[test]
fn a_signal_leaves_nothing_behind() {
    let desk = Desk::new();
    // As one that was killed leaves it.
    desk.write("srv/.a.yml.dockmaster.new", "");
    assert_eq!(desk.try_with("kill -TERM $PPID"), []);
    assert_eq!(desk.names("tmp"), [""; 0]);
    assert_eq!(desk.names("srv"), ["a.yml"]);
}
