use std::{path::Path, process::Command};

use tempfile::TempDir;

use super::*;
use crate::broker::objects;

/// A repository with one commit.
struct Repository {
    folder: TempDir,
    commit: String,
}

impl Repository {
    fn new(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        git(path, &["init", "-q", &format!("--object-format={format}")]);
        std::fs::create_dir_all(path.join("deploy/prod")).unwrap();
        for (name, text) in [
            ("deploy/docker-compose.yml", "services: {}\n"),
            ("deploy/prod/more.yml", "services: {app: {}}\r\n"),
            ("deploy/binary", "a\0b"),
            ("top.yml", ""),
        ] {
            std::fs::write(path.join(name), text).unwrap();
        }
        let large = "x".repeat(FILE_LIMIT + 1);
        std::fs::write(path.join("large.yml"), large).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path.join("link.yml")).unwrap();
        git(path, &["add", "-A"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b"];
        git(path, &[&author[..], &["commit", "-qm", "one"]].concat());
        let commit = git(path, &["rev-parse", "HEAD"]);
        Self { folder, commit }
    }

    fn objects(&self, paths: &[&str]) -> Vec<Object> {
        objects::collect(self.folder.path(), &self.commit, &owned(paths)).unwrap()
    }

    fn read_from(
        &self,
        objects: Vec<Object>,
        paths: &[&str],
    ) -> Result<Vec<ComposeFile>, CommitError> {
        let wanted = Wanted {
            commit: &self.commit,
            environment: "production",
            paths: &owned(paths),
        };
        wanted.read(objects)
    }

    fn read(&self, paths: &[&str]) -> Result<Vec<ComposeFile>, CommitError> {
        self.read_from(self.objects(paths), paths)
    }
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn files_are_as_the_commit_has_them() {
    for format in ["sha1", "sha256"] {
        let repository = Repository::new(format);
        // The work tree is not believed.
        let changed = repository.folder.path().join("deploy/docker-compose.yml");
        std::fs::write(changed, "forged").unwrap();
        let files = repository.read(&["deploy/docker-compose.yml", "deploy/prod/more.yml"]);
        let texts = files.unwrap().into_iter().map(|file| file.text);
        assert_eq!(
            texts.collect::<Vec<_>>(),
            ["services: {}\n", "services: {app: {}}\r\n"]
        );
        assert_eq!(repository.read(&["top.yml"]).unwrap()[0].text, "");
    }
}

#[test]
fn what_is_no_regular_text_is_refused() {
    let repository = Repository::new("sha1");
    let says = |path: &str, expect: &str| {
        let error = repository.read(&[path]).unwrap_err().to_string();
        assert!(
            error.contains(path) && error.contains(expect),
            "{path}: {error}"
        );
    };
    says("deploy/nowhere.yml", "compose.file");
    says("nowhere/a.yml", "is not in commit");
    says("top.yml/a.yml", "is not in commit");
    says("link.yml", "a symbolic link");
    says("deploy", "a folder");
    says("deploy/binary", "no text");
    says("large.yml", "a megabyte");
}

#[test]
fn a_job_hands_over_what_the_commit_says_or_nothing() {
    let path = "deploy/docker-compose.yml";
    for format in ["sha1", "sha256"] {
        let repository = Repository::new(format);
        let good = repository.objects(&[path]);
        assert_eq!(good.len(), 4);
        for at in 0..good.len() {
            let mut forged = good.clone();
            let mut body = STANDARD.decode(&forged[at].body).unwrap();
            let last = body.len() - 1;
            body[last] ^= 1;
            forged[at].body = STANDARD.encode(&body);
            let error = repository.read_from(forged, &[path]).unwrap_err();
            assert!(matches!(error, CommitError::NotHanded { .. }), "{error}");
        }
        // Whatever else is in the heap is nobody's.
        let mut more = good.clone();
        more.push(Object {
            kind: "blob".into(),
            body: STANDARD.encode("forged"),
        });
        assert!(repository.read_from(more, &[path]).is_ok());
    }
}

#[test]
fn a_replaced_object_is_not_taken_for_the_commit_s() {
    let path = "deploy/docker-compose.yml";
    let repository = Repository::new("sha1");
    let folder = repository.folder.path();
    let blob = git(folder, &["rev-parse", &format!("HEAD:{path}")]);
    let other = git(folder, &["rev-parse", "HEAD:deploy/prod/more.yml"]);
    git(folder, &["replace", &blob, &other]);
    assert_eq!(repository.read(&[path]).unwrap()[0].text, "services: {}\n");
}
