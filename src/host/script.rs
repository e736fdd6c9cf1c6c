//! The script that runs on a host, sent over SSH each time, and the lines it answers with.

use super::compose::Compose;

/// Its text; its head says what it understands.
pub(super) const TEXT: &str = include_str!("script.sh");

/// One line of the script's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
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
    /// Whether the service has a health check of the compose file's.
    HealthCheck(bool),
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
pub(super) fn answers(text: &str) -> Vec<Answer> {
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
        "health-check" => Answer::HealthCheck(rest.trim().parse().ok()?),
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
