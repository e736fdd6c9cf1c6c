//! The script by a shell of this machine, without any Compose: what it does to files, and what it says where it can
//! write nothing.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
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
        self.reads_at(home, TEXT, arguments)
    }

    fn reads(&self, script: &str, arguments: &[&str]) -> Vec<Answer> {
        self.reads_at("home", script, arguments)
    }

    fn reads_at(&self, home: &str, script: &str, arguments: &[&str]) -> Vec<Answer> {
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
        input.write_all(script.as_bytes()).unwrap();
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
        packed(&format!("{}\tline\t1\tm\t{path}\tnew\n", file.sum))
    }

    /// As a release's files come: by their sums, in the script itself.
    fn stage(&self, sum: &str, text: &str) -> Vec<Answer> {
        let staged = format!("staged_files() {{ staged {sum} '{}'; }}\n", packed(text));
        self.reads(&format!("{staged}{TEXT}"), &["stage"])
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
        self.start_with((home, TEXT), ("run-1", &self.edits()), up)
    }

    fn start_with(
        &self,
        (home, script): (&str, &str),
        (attempt, edits): (&str, &str),
        up: &str,
    ) -> Vec<Answer> {
        let srv = self.path("srv");
        let [facts, place] = ["image sha256:1\n", "name shop\n"].map(packed);
        let start = ["start", &srv, "shop", attempt, "9", edits, &facts];
        let rest = [&place, "key", up, "app", ":", ":", &place];
        self.reads_at(home, script, &[&start[..], &rest[..]].concat())
    }

    fn link(&self, name: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.path(name)).unwrap();
    }

    fn link_of(&self, name: &str) -> String {
        let to = fs::read_link(self.path(name)).unwrap();
        to.to_str().unwrap().to_owned()
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
    fs::create_dir(desk.path("srv/.a.yml.m.dockmaster")).unwrap();
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
    desk.write("srv/.a.yml.m.dockmaster.new", "");
    assert_eq!(desk.try_with("kill -TERM $PPID"), []);
    assert_eq!(desk.names("tmp"), [""; 0]);
    assert_eq!(desk.names("srv"), ["a.yml"]);
}

const OLD: &str = "services:
  app:
    environment:
      GONE: a
      KEPT: secret-1
      MULTI: |-
        one
        two
    image: h/app:v1
    ports:
    - 3131:80/tcp
    volumes:
    - /srv/shop/certs:/certs:ro
  old:
    image: old:1
version: '3.7'
volumes:
  data: {}
";
const NEW: &str = "name: shop
services:
  app:
    command:
      - serve
    container_name: the-app
    environment:
      ADDED: secret-2
      KEPT: secret-3
      MULTI: |-
        one
        two
    image: h/app@sha256:1
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 80
        published: \"3131\"
        protocol: tcp
    volumes:
      - type: bind
        source: NOWHERE/conf
        target: /conf
        bind:
          create_host_path: true
  cache:
    environment:
      CACHE: secret-4
    image: redis:7
volumes:
  data:
    name: shop_data
";

#[test]
fn what_a_release_changes_is_told_by_names_and_no_value_leaves_the_host() {
    let desk = Desk::new();
    desk.write("old", OLD);
    desk.write("new", &NEW.replace("NOWHERE", &desk.path("srv")));
    let [old, new] = ["old", "new"].map(|name| format!("cat '{}'", desk.path(name)));
    let srv = desk.path("srv");
    let (old_hash, new_hash) = (
        "echo app $(printf %064d 1)".to_owned(),
        "echo app $(printf %064d 2)".to_owned(),
    );
    let arguments = [
        "swap",
        &srv,
        "app",
        "",
        &old,
        &old_hash,
        &new,
        &new_hash,
        "h/app@sha256:1",
        ":",
    ];
    let said = desk.tells(&arguments);
    assert!(!format!("{said:?}").contains("secret"), "{said:?}");
    let changes = said.iter().filter_map(|answer| match answer {
        Answer::Change(it) => Some(format!(
            "{} {} {} {}",
            it.sign, it.service, it.kind, it.name
        )),
        _ => None,
    });
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            "+ app part command",
            "+ app part container_name",
            "+ app port 127.0.0.1:3131:80",
            "+ app variable ADDED",
            &format!("+ app volume {srv}/conf:/conf"),
            "+ cache image redis:7",
            "+ cache service ",
            "- app port 3131:80",
            "- app variable GONE",
            "- app volume /srv/shop/certs:/certs:ro",
            "- old service ",
            "~ app variable KEPT",
        ]
    );
    let hash = |number| format!("{number:064}");
    for expect in [
        Answer::WasRead,
        Answer::WasHash {
            service: "app".into(),
            hash: hash(1),
        },
        Answer::Hash {
            service: "app".into(),
            hash: hash(2),
        },
        Answer::Image("h/app@sha256:1".into()),
        Answer::Port {
            service: "app".into(),
            port: "127.0.0.1:3131:80".into(),
        },
        Answer::Part {
            name: "container_name".into(),
            value: "the-app".into(),
        },
        Answer::Missing(format!("{srv}/conf")),
    ] {
        assert!(said.contains(&expect), "{expect:?} in {said:?}");
    }
}

#[test]
fn what_compose_does_not_take_now_is_over_with_a_release() {
    let desk = Desk::new();
    desk.write("new", "services:\n  app:\n    image: h/app@sha256:1\n");
    let new = format!("cat '{}'", desk.path("new"));
    let srv = desk.path("srv");
    let said = desk.tells(&[
        "swap", &srv, "app", "", "false", "false", &new, ":", "x", ":",
    ]);
    assert!(!said.contains(&Answer::WasRead), "{said:?}");
    assert!(
        said.contains(&Answer::Image("h/app@sha256:1".into())),
        "{said:?}"
    );
    let said = desk.tells(&[
        "swap", &srv, "app", "", "false", "false", "exit 15", ":", "x", ":",
    ]);
    assert_eq!(said, [Answer::Unreadable]);
}

#[test]
fn a_release_s_file_takes_a_place_and_gives_it_back() {
    let text = "new: 'file'\r\n";
    let sum = crate::host::composed::sum(text);
    for (up, expect, names) in [
        ("true", text, ["a.yml", "b.yml"].as_slice()),
        ("false", "old\n", &["a.yml"]),
    ] {
        let desk = Desk::new();
        let (a, b) = (desk.path("srv/a.yml"), desk.path("srv/b.yml"));
        fs::set_permissions(&a, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(desk.stage(&sum, text), []);
        let shown = desk.tells(&["show", "shop", "-", &a]);
        let [Answer::File(file)] = &shown[..] else {
            panic!("{shown:?}");
        };
        let edits = packed(&format!(
            "{}\tplace\t0\tm\t{a}\t{sum} {a}\n-\tplace\t0\tm\t{b}\t{sum} {a}\n",
            file.sum
        ));
        let [facts, before, after] =
            ["image sha256:1\n", "file a\n", "file a\nfile b\n"].map(packed);
        let srv = desk.path("srv");
        let start = ["start", &srv, "shop", "run-1", "9", &edits, &facts, &before];
        let said = desk.tells(&[&start[..], &["key", up, "app", ":", ":", &after]].concat());
        assert!(matches!(said[..], [Answer::Ended(_), ..]), "{said:?}");
        assert_eq!(desk.names("srv"), names);
        assert_eq!(desk.read("srv/a.yml"), expect);
        let memory = desk.read("home/.cache/dockmaster/.places/key");
        assert_eq!(memory.lines().count(), names.len(), "{memory}");
        for name in names {
            let mode = fs::metadata(desk.path(&format!("srv/{name}")))
                .unwrap()
                .mode();
            assert_eq!(mode & 0o777, 0o640, "{name}");
        }
    }
}

#[test]
fn a_release_s_file_that_was_not_kept_whole_takes_no_place() {
    let desk = Desk::new();
    let a = desk.path("srv/a.yml");
    let sum = crate::host::composed::sum("good");
    desk.refuses(&desk.stage(&sum, "bad"), "home/.cache/dockmaster/.released");
    desk.write(&format!("home/.cache/dockmaster/.released/{sum}"), "bad");
    let old = crate::host::composed::sum("old\n");
    let edits = packed(&format!("{old}\tplace\t0\tm\t{a}\t{sum} {a}\n"));
    let arguments = [
        "swap",
        &desk.path("srv"),
        "app",
        &edits,
        "true",
        ":",
        "true",
        ":",
        "x",
        ":",
    ];
    let said = desk.tells(&arguments);
    assert!(
        matches!(said.last(), Some(Answer::Refuse { .. })),
        "{said:?}"
    );
    assert_eq!(desk.names("srv"), ["a.yml"]);
    assert_eq!(desk.read("srv/a.yml"), "old\n");
}

#[test]
fn the_first_file_of_a_host_is_read_by_all() {
    let desk = Desk::new();
    let sum = crate::host::composed::sum("new");
    assert_eq!(desk.stage(&sum, "new"), []);
    let b = desk.path("srv/b.yml");
    let edits = packed(&format!("-\tplace\t0\tm\t{b}\t{sum} -\n"));
    let said = desk.start_with(("home", TEXT), ("run-1", &edits), "true");
    assert_eq!(said, [Answer::Ended(0)]);
    let mode = fs::metadata(&b).unwrap().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn copies_of_another_change_are_left_alone() {
    let desk = Desk::new();
    desk.write("srv/.a.yml.other.dockmaster", "theirs");
    assert!(!desk.try_with(":").is_empty());
    let (copy, names) = (".a.yml.other.dockmaster", desk.names("srv"));
    assert_eq!(names, [copy, "a.yml"]);
    // But for what is old.
    let script = TEXT.replace("-cmin +120", "-cmin -120");
    assert_ne!(script, TEXT);
    let said = desk.start_with(("home", &script), ("run-1", &desk.edits()), "true");
    assert_eq!(said, [Answer::Ended(0)]);
    assert_eq!(desk.names("srv"), ["a.yml"]);
}

#[test]
fn a_copy_that_was_lost_takes_no_file_away() {
    let desk = Desk::new();
    let script = TEXT.replace(
        "if ! write_files",
        "drop_copies \"$edits\"; if ! write_files",
    );
    assert_ne!(script, TEXT);
    let said = desk.start_with(("home", &script), ("run-1", &desk.edits()), "true");
    desk.refuses(&said, "srv");
    assert_eq!(desk.read("srv/a.yml"), "old\n");
}

#[test]
fn a_file_that_went_meanwhile_is_put_back() {
    let desk = Desk::new();
    let up = format!("rm '{}'; exit 1", desk.path("srv/a.yml"));
    let said = desk.start("home", &up);
    assert!(matches!(said[..], [Answer::Ended(1), ..]), "{said:?}");
    assert_eq!(desk.read("srv/a.yml"), "old\n");
}

#[test]
fn a_link_that_was_removed_comes_back_as_a_link() {
    for up in ["true", "false"] {
        let desk = Desk::new();
        desk.write("conf/prod.yml", "prod\n");
        desk.link("srv/b.yml", "../conf/prod.yml");
        let (b, sum) = (desk.path("srv/b.yml"), crate::host::composed::sum("prod\n"));
        let edits = packed(&format!("{sum}\tremove\t0\tm\t{b}\t\n"));
        let said = desk.start_with(("home", TEXT), ("run-1", &edits), up);
        assert!(matches!(said[..], [Answer::Ended(_), ..]), "{said:?}");
        if up == "true" {
            assert_eq!(desk.names("srv"), ["a.yml"]);
            let kept = desk.path("home/.cache/dockmaster/shop/run-1/before/1");
            let edits = packed(&format!("-\trestore\t0\tm\t{b}\t{kept}\n"));
            let said = desk.start_with(("home", TEXT), ("run-2", &edits), "true");
            assert_eq!(said, [Answer::Ended(0)]);
        }
        assert_eq!(desk.link_of("srv/b.yml"), "../conf/prod.yml", "{up}");
        assert_eq!(desk.read("conf/prod.yml"), "prod\n");
        assert_eq!(desk.names("srv"), ["a.yml", "b.yml"]);
    }
}

/// What is told of a release's file that Compose does not take: of what it says with the host's values, and without.
#[track_caller]
fn check_told(log: &str, raw: Option<&str>, expect: &[&str]) {
    let desk = Desk::new();
    desk.write("log", log);
    desk.write("raw", raw.unwrap_or_default());
    let fails = |name: &str| format!("cat '{}' >&2; exit 1", desk.path(name));
    let raw = raw.map_or_else(|| "true".to_owned(), |_| fails("raw"));
    let srv = desk.path("srv");
    let said = desk.tells(&[
        "swap",
        &srv,
        "app",
        "",
        "false",
        "false",
        &fails("log"),
        ":",
        "x",
        &raw,
    ]);
    assert_eq!(said[0], Answer::Unreadable);
    let told: Vec<_> = said[1..].iter().map(|it| format!("{it:?}")).collect();
    let expect: Vec<_> = expect.iter().map(|it| format!("Log({it:?})")).collect();
    assert_eq!(told, expect);
    assert!(!told.join("").contains("hunter2"), "{told:?}");
}

#[test]
fn no_value_that_compose_quotes_in_an_error_leaves_the_host() {
    check_told(
        "ERROR: The Compose file './a.yml' is invalid because:\nservices.app.environment contains non-unique items, please \
         remove duplicates from ['SMTP_LOGIN=hunter2', 'hunter2']\n",
        None,
        &[
            "ERROR: The Compose file … is invalid because:",
            "services.app.environment contains …",
        ],
    );
    check_told(
        "x please remove duplicates from ['hunter2']\n",
        None,
        &["x please remove duplicates from …"],
    );
    check_told(
        "services.app.environment.DSN contains {\"a\": \"hunter2\"}, which is an invalid type\nhunter2",
        Some("services.app.environment.DSN contains ${DSN}, which is\n"),
        &["services.app.environment.DSN contains …"],
    );
    check_told(
        "Invalid hostPort: hunter2\n",
        None,
        &["Invalid hostPort: …"],
    );
    check_told(
        "services.app.ports: no port 'hunter2\nhunter2'\n",
        None,
        &["services.app.ports: no port …"],
    );
    check_told(
        "Couldn't find env file: /srv/x.env\n",
        None,
        &["Could not find env file: /srv/x.env"],
    );
    // What stands in the file itself is told whole.
    let own = "Unsupported config option for services.app: 'no_such_key'\n";
    check_told(own, Some(own), &[own.trim_end()]);
    let env = "failed to read /srv/.env: unexpected character \"!\" in variable name \"hunter2\"\n";
    check_told(
        env,
        Some(env),
        &["failed to read /srv/.env: unexpected character …"],
    );
}

#[test]
fn only_what_the_service_takes_of_the_host_s_folders_is_missed() {
    let desk = Desk::new();
    let text = "secrets:
  one:
    file: HERE/secret-1
  two:
    file: HERE/secret-2
services:
  app:
    image: h/app@sha256:1
    secrets:
    - source: one
      target: two.txt
    volumes:
    - /var/nowhere
    - HERE/short:/short:ro
    - data:/data
    - target: /var/memory
      type: tmpfs
    - target: /var/anonymous
      type: volume
    - source: HERE/long
      target: /long
      type: bind
    - HERE/had:/had
  web:
    volumes:
    - HERE/of-web:/x
";
    let here = desk.path("srv");
    desk.write("new", &text.replace("HERE", &here));
    desk.write(
        "old",
        &format!("services:\n  app:\n    volumes:\n    - {here}/had:/other\n"),
    );
    let [old, new] = ["old", "new"].map(|name| format!("cat '{}'", desk.path(name)));
    let said = desk.tells(&["swap", &here, "app", "", &old, ":", &new, ":", "x", ":"]);
    let missing = said.iter().filter_map(|answer| match answer {
        Answer::Missing(path) => Some(path.strip_prefix(&here).unwrap()),
        _ => None,
    });
    let missing: Vec<_> = missing.collect();
    assert_eq!(missing, ["/long", "/secret-1", "/short"]);
}

#[test]
fn a_file_that_a_release_brought_is_known_again() {
    let desk = Desk::new();
    let a = desk.path("srv/a.yml");
    let show = ["show", "shop", "-", &a];
    let written = Answer::Written(a.clone());
    assert!(!desk.tells(&show).contains(&written));
    let sum = crate::host::composed::sum("old\n");
    assert_eq!(desk.stage(&sum, "old\n"), []);
    assert!(desk.tells(&show).contains(&written));
}
