//! docker-compose on a production host: which generation there is, what it is told, and the names it
//! gives to containers. Pure.

use std::fmt;

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

    /// The command line that prints what the files say.
    pub(super) fn config(&self, project: &str) -> Vec<String> {
        let mut line = self.command.clone();
        line.extend(["-p", project, "config"].map(str::to_owned));
        line
    }

    /// The command line that makes one service run what the files say, and touches no other.
    pub(super) fn up(&self, project: &str, service: &str) -> Vec<String> {
        let mut line = self.command.clone();
        let fixed = ["-p", project, "up", "-d", "--no-deps", "--no-build"];
        line.extend(fixed.map(str::to_owned));
        // The image is local: a pull by Compose could only fail, or bring something else.
        let knows_pull = match self.major() {
            Some(2) => self.minor() >= Some(8),
            major => major > Some(2),
        };
        if knows_pull {
            line.extend(["--pull", "never"].map(str::to_owned));
        }
        line.push(service.to_owned());
        line
    }
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

/// The override file: Compose reads it beside the project's own file, also when somebody types a
/// plain `docker-compose up -d`, which therefore does not bring an old release back.
///
/// `None` when service or reference hold anything that YAML or Compose would read as more than text.
pub(super) fn override_text(service: &str, reference: &str) -> Option<String> {
    let is_plain = |text: &str, extra: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    if !is_plain(service, "._-") || !is_plain(reference, "._-/:@") {
        return None;
    }
    Some(format!(
        "# Written by dockmaster at each rollout: names the release. Your own settings belong into \
         docker-compose.yml.\nservices:\n  {service}:\n    image: \"{reference}\""
    ))
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
    fn the_override_names_the_image_and_carries_the_mark_that_the_script_looks_for() {
        let digest = format!("harbor.example.com:8443/test/app@sha256:{}", "a".repeat(64));
        let text = override_text("app", &digest).unwrap();
        insta::assert_snapshot!(text, @r#"
        # Written by dockmaster at each rollout: names the release. Your own settings belong into docker-compose.yml.
        services:
          app:
            image: "harbor.example.com:8443/test/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "#);
        assert!(text.starts_with("# Written by dockmaster"));
        assert!(include_str!("script.sh").contains("'^# Written by dockmaster'"));
    }

    #[test]
    fn nothing_that_yaml_or_compose_would_interpret_gets_into_the_override() {
        for reference in ["a\"b", "a\nb", "${HOME}", "", "-x", "a b", "a#b"] {
            assert_eq!(override_text("app", reference), None, "{reference:?}");
        }
        assert_eq!(override_text("app: {}", "image"), None);
        assert!(override_text("app", "sha256:0123").is_some());
    }

    #[track_caller]
    fn check_up(found: &[&str], made_by: Option<&str>, expect: &str) {
        let found: Vec<_> = found.iter().filter_map(|it| Compose::parse(it)).collect();
        let compose = Compose::choose(&found, made_by).unwrap();
        assert_eq!(compose.up("shop", "app").join(" "), expect);
    }

    #[test]
    fn both_generations_are_found_under_either_name() {
        let first = ["1.29.2 docker-compose"].as_slice();
        let second = ["v2.26.1 docker compose"].as_slice();
        let both = [second, first].concat();
        let line_1 = "docker-compose -p shop up -d --no-deps --no-build app";
        let line_2 = "docker compose -p shop up -d --no-deps --no-build --pull never app";
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
            "docker-compose -p shop up -d --no-deps --no-build app",
        );
        check_up(&["5.0.0 docker compose"], None, line_2);
        assert_eq!(Compose::choose(&[], None), None);
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
