//! docker-compose on a production host: which generation there is, the override file that names the
//! release, and the words of the script that runs it there. Pure but for that script, which
//! somebody else sends.

use std::fmt;

/// The script's text; its head says what it understands.
pub(crate) const SCRIPT: &str = include_str!("compose/host.sh");

/// One Compose on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compose {
    /// `1.29.2`.
    pub version: String,
    /// `docker-compose`, or `docker` `compose`.
    pub command: Vec<String>,
}

impl Compose {
    /// Reads `VERSION COMMAND…`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let version = words.next()?.trim_start_matches('v').to_owned();
        let command: Vec<_> = words.map(str::to_owned).collect();
        let is_version = version.starts_with(|c: char| c.is_ascii_digit());
        (is_version && !command.is_empty()).then_some(Self { version, command })
    }

    pub(crate) fn major(&self) -> Option<u32> {
        major(&self.version)
    }

    fn minor(&self) -> Option<u32> {
        self.version.split('.').nth(1)?.parse().ok()
    }

    /// The one to use of all there are: the generation that made the running container, because
    /// another would name and recreate things its own way; else the newest.
    pub(crate) fn choose(answers: &[Answer], made_by: Option<&str>) -> Option<Self> {
        let all: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                Answer::Compose(compose) => Some(compose),
                _ => None,
            })
            .collect();
        // Version 2 and all that follow are one generation.
        let is_first = |version: Option<u32>| version == Some(1);
        let wanted = made_by.map(|version| is_first(major(version)));
        let same = all
            .iter()
            .find(|it| Some(is_first(it.major())) == wanted)
            .copied();
        let newest = all.iter().max_by_key(|it| it.major()).copied();
        same.or(newest).cloned()
    }

    /// The command line that makes one service run what the files say, and touches no other.
    pub(crate) fn up(&self, project: &str, service: &str) -> Vec<String> {
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
pub(crate) fn override_text(service: &str, reference: &str) -> Option<String> {
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
pub(crate) fn is_half_made(name: &str) -> bool {
    final_name(name).is_some()
}

/// The name that a half-made container was to have or had.
pub(crate) fn final_name(name: &str) -> Option<&str> {
    let (id, rest) = name.split_once('_')?;
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (id.len() == 12 && id.chars().all(is_hex) && !rest.is_empty()).then_some(rest)
}

/// One line of the script's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The host's clock, in seconds, as Docker takes it.
    Time(String),
    FreeKilobytes(u64),
    Switching,
    Compose(Compose),
    /// The project cannot be switched: why, and the file.
    Refuse {
        why: String,
        file: String,
    },
    /// Somebody's attempt did not end in time.
    Busy,
    /// No attempt runs, and the one asked for has not been made.
    Free,
    /// The attempt's exit code.
    Ended(i32),
    /// The attempt was killed.
    Died,
    /// A line of the attempt's log.
    Log(String),
}

/// Reads what the script said; lines that are not its own are left out.
pub(crate) fn answers(text: &str) -> Vec<Answer> {
    text.lines()
        .filter_map(|line| line.strip_prefix("dockmaster "))
        .filter_map(answer)
        .collect()
}

fn answer(line: &str) -> Option<Answer> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "time" => Answer::Time(rest.to_owned()),
        "free" => Answer::FreeKilobytes(rest.parse().ok()?),
        "switching" => Answer::Switching,
        "compose" => Answer::Compose(Compose::parse(rest)?),
        "refuse" => {
            let (why, file) = rest.split_once(' ')?;
            Answer::Refuse {
                why: why.to_owned(),
                file: file.to_owned(),
            }
        }
        "busy" => Answer::Busy,
        "free-to-start" => Answer::Free,
        "ended" => Answer::Ended(rest.trim().parse().ok()?),
        "died" => Answer::Died,
        "log" => Answer::Log(rest.to_owned()),
        _ => return None,
    })
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
        assert!(SCRIPT.contains("'^# Written by dockmaster'"));
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
    fn check_up(answers_text: &str, made_by: Option<&str>, expect: &str) {
        let answers = answers(answers_text);
        let compose = Compose::choose(&answers, made_by).unwrap();
        assert_eq!(compose.up("shop", "app").join(" "), expect);
    }

    #[test]
    fn both_generations_are_found_under_either_name() {
        let first = "dockmaster compose 1.29.2 docker-compose\n";
        let second = "dockmaster compose v2.26.1 docker compose\n";
        let both = format!("{second}{first}");
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
            "dockmaster compose 2.6.0 docker-compose",
            None,
            "docker-compose -p shop up -d --no-deps --no-build app",
        );
        check_up("dockmaster compose 5.0.0 docker compose", None, line_2);
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

    #[test]
    fn a_greeting_is_not_taken_for_an_answer() {
        let text = "Welcome to app-1!\ndockmaster time 17.5\ndockmaster free 12\n\
                    dockmaster log Recreating shop_app_1 ...\ndockmaster ended 1\n\
                    dockmaster refuse foreign /srv/a b/x.yml\ndockmaster nonsense 1\n";
        assert_eq!(
            answers(text),
            [
                Answer::Time("17.5".into()),
                Answer::FreeKilobytes(12),
                Answer::Log("Recreating shop_app_1 ...".into()),
                Answer::Ended(1),
                Answer::Refuse {
                    why: "foreign".into(),
                    file: "/srv/a b/x.yml".into()
                },
            ]
        );
    }
}
