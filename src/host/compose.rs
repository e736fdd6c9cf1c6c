//! docker-compose on a production host: which generation there is, what it is told, and the names it
//! gives to containers. Pure.

use std::fmt;

use super::project::Project;

/// One Compose on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compose {
    /// `1.29.2`.
    version: String,
    /// `docker-compose`, or `docker` `compose`.
    command: Vec<String>,
}

impl Compose {
    /// Reads `VERSION COMMAND…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let version = words.next()?.trim_start_matches('v').to_owned();
        let command: Vec<_> = words.map(str::to_owned).collect();
        let is_version = version.starts_with(|c: char| c.is_ascii_digit());
        (is_version && !command.is_empty()).then_some(Self { version, command })
    }

    pub(super) fn major(&self) -> Option<u32> {
        major(&self.version)
    }

    fn minor(&self) -> Option<u32> {
        self.version.split('.').nth(1)?.parse().ok()
    }

    /// The one to use of all there are: the generation that made the running container, because
    /// another would name and recreate things its own way; else the newest.
    pub(super) fn choose(all: &[Self], made_by: Option<&str>) -> Option<Self> {
        // Version 2 and all that follow are one generation.
        let is_first = |version: Option<u32>| version == Some(1);
        let wanted = made_by.map(|version| is_first(major(version)));
        let same = all.iter().find(|it| Some(is_first(it.major())) == wanted);
        let newest = all.iter().max_by_key(|it| it.major());
        same.or(newest).cloned()
    }

    pub(super) fn is_first_generation(&self) -> bool {
        self.major() == Some(1)
    }

    /// The command line up to the verb: the project as it is, whatever a variable or the folder says.
    fn begin(&self, project: &Project) -> Vec<String> {
        let mut line = self.command.clone();
        let name = [
            "-p",
            &project.name,
            "--project-directory",
            &project.directory,
        ];
        line.extend(name.map(str::to_owned));
        let files = project.files.iter().map(|file| ["-f", file]);
        let env_files = project.env_files.iter().map(|file| ["--env-file", file]);
        line.extend(files.chain(env_files).flatten().map(str::to_owned));
        line
    }

    /// True where an `up` can be told not to pull.
    pub(super) fn knows_pull(&self) -> bool {
        match self.major() {
            Some(2) => self.minor() >= Some(8),
            major => major > Some(2),
        }
    }

    /// The program alone, for a shell.
    pub(super) fn program(&self) -> String {
        quoted(self.command.iter().map(String::as_str))
    }

    /// The command line that prints the project's name among other things, in the second generation.
    pub(super) fn name(&self) -> String {
        quoted(self.command.iter().map(String::as_str).chain(["config"]))
    }

    /// The command line that prints what the files say, for a shell.
    pub(super) fn config(&self, project: &Project) -> String {
        let line = self.begin(project);
        quoted(line.iter().map(String::as_str).chain(["config"]))
    }

    /// The command line that prints what the files say with no variable's value in it, for a shell; the oldest
    /// releases do not know it, and fail.
    pub(super) fn raw(&self, project: &Project) -> String {
        let line = self.begin(project);
        let words = line.iter().map(String::as_str);
        quoted(words.chain(["config", "--no-interpolate"]))
    }

    /// The command line that prints what each container's definition is compared by, for a shell.
    pub(super) fn hashes(&self, project: &Project) -> String {
        let line = self.begin(project);
        let words = line.iter().map(String::as_str);
        quoted(words.chain(["config", "--hash", "*"]))
    }

    /// True for releases that take a service for changed when they are told to leave alone what it
    /// depends on: the next call without that would make its container anew.
    pub(super) fn forgets_dependencies(&self) -> bool {
        self.major() == Some(2) && (Some(26)..=Some(29)).contains(&self.minor())
    }

    /// The command line that makes one service run what the files say. It touches no other, but
    /// `with_dependencies` those it depends on, where they do not run as the files say.
    pub(super) fn up(
        &self,
        project: &Project,
        service: &str,
        with_dependencies: bool,
    ) -> Vec<String> {
        let mut line = self.begin(project);
        line.extend(["up", "-d", "--no-build"].map(str::to_owned));
        if !with_dependencies {
            line.push("--no-deps".into());
        }
        // The image is local: a pull by Compose could only fail, or bring something else.
        if self.knows_pull() {
            line.extend(["--pull", "never"].map(str::to_owned));
        }
        line.push(service.to_owned());
        line
    }
}

/// Words as a shell reads them back.
pub(super) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quote = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words: Vec<_> = words.into_iter().map(quote).collect();
    words.join(" ")
}

impl fmt::Display for Compose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.command.join(" "), self.version)
    }
}

fn major(version: &str) -> Option<u32> {
    version
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// How the override begins that earlier releases of dockmaster wrote beside a project's own file.
const OURS: &str = "# Written by dockmaster";

/// True for the text of such an override: the release is named in the project's own file now.
pub(super) fn is_old_override(path: &str, text: &str) -> bool {
    path.ends_with("/docker-compose.override.yml") && text.starts_with(OURS)
}

/// True for the name of a container that Compose was in the middle of replacing.
pub(super) fn is_half_made(name: &str) -> bool {
    final_name(name).is_some()
}

/// The name that a half-made container was to have or had.
pub(super) fn final_name(name: &str) -> Option<&str> {
    let (id, rest) = name.split_once('_')?;
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (id.len() == 12 && id.chars().all(is_hex) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_override_of_ours_is_ours() {
        let path = "/srv/shop/docker-compose.override.yml";
        assert!(is_old_override(
            path,
            "# Written by dockmaster at each rollout: …"
        ));
        assert!(!is_old_override(path, "services: {}"));
        assert!(!is_old_override(
            "/srv/shop/prod.yml",
            "# Written by dockmaster"
        ));
    }

    #[test]
    fn words_are_a_shell_s_words_again() {
        assert_eq!(quoted(["a b", "$x", "it's"]), r"'a b' '$x' 'it'\''s'");
    }

    fn project() -> Project {
        Project {
            name: "shop".into(),
            directory: "/srv".into(),
            files: vec!["/srv/a.yml".into(), "/srv/b.yml".into()],
            env_files: vec!["/srv/prod.env".into()],
            unnamed: Vec::new(),
        }
    }

    const BEGIN: &str =
        "-p shop --project-directory /srv -f /srv/a.yml -f /srv/b.yml --env-file /srv/prod.env";

    #[track_caller]
    fn check_up(found: &[&str], made_by: Option<&str>, expect: &str) {
        let found: Vec<_> = found.iter().filter_map(|it| Compose::parse(it)).collect();
        let compose = Compose::choose(&found, made_by).unwrap();
        let line = compose.up(&project(), "app", false).join(" ");
        assert_eq!(line.replace(BEGIN, "…"), expect);
    }

    #[test]
    fn both_generations_are_found_under_either_name() {
        let first = ["1.29.2 docker-compose"].as_slice();
        let second = ["v2.26.1 docker compose"].as_slice();
        let both = [second, first].concat();
        let line_1 = "docker-compose … up -d --no-build --no-deps app";
        let line_2 = "docker compose … up -d --no-build --no-deps --pull never app";
        check_up(first, None, line_1);
        check_up(second, None, line_2);
        check_up(&both, None, line_2);
        check_up(&both, Some("1.29.2"), line_1);
        check_up(&both, Some("2.30.0"), line_2);
        check_up(&both, Some("5.0.1"), line_2);
        check_up(first, Some("2.30.0"), line_1);
        check_up(
            &["2.6.0 docker-compose"],
            None,
            "docker-compose … up -d --no-build --no-deps app",
        );
        check_up(&["5.0.0 docker compose"], None, line_2);
        assert_eq!(Compose::choose(&[], None), None);
    }

    #[test]
    fn only_some_releases_forget_what_a_service_depends_on() {
        for (version, expect) in [
            ("1.29.2", false),
            ("2.25.0", false),
            ("2.26.1-4", true),
            ("2.29.7", true),
            ("2.30.0", false),
            ("5.0.0", false),
        ] {
            let compose = Compose::parse(&format!("{version} docker compose")).unwrap();
            assert_eq!(compose.forgets_dependencies(), expect, "{version}");
            let line = compose.up(&project(), "app", expect);
            assert_eq!(line.contains(&"--no-deps".to_owned()), !expect);
        }
    }

    #[test]
    fn half_made_containers_are_known_by_their_names() {
        assert_eq!(final_name("8e4ed551c6dd_shop_app_1"), Some("shop_app_1"));
        for name in [
            "shop_app_1",
            "8e4ed551c6d_shop",
            "8E4ED551C6DD_shop",
            "8e4ed551c6dd_",
        ] {
            assert!(!is_half_made(name), "{name}");
        }
    }
}
