//! The script that runs on a host, sent over SSH each time, and the lines it answers with.

use super::compose::Compose;
use crate::mask::masked;

/// Its text; its head says what it understands.
pub(super) const TEXT: &str = concat!(
    include_str!("attempt.sh"),
    include_str!("files.sh"),
    include_str!("script.sh")
);

/// One line of the script's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The host's clock, in seconds, as Docker takes it.
    Time(String),
    FreeKilobytes(u64),
    Switching,
    Compose(Compose),
    /// The folder without links.
    Real(String),
    There(String),
    Gone(String),
    /// `.env` names the files.
    OwnFiles,
    /// The project's name.
    Name(String),
    /// A line of what was kept of the project.
    Remembered(String),
    File(File),
    /// A file whose content came with a release.
    Written(String),
    Before(Before),
    /// An attempt that was cut off, and what ran before it.
    CutOff(CutOff),
    /// A definition of before that was kept.
    Kept(String),
    /// Compose does not understand its files.
    Unreadable,
    /// A variable of the files that nothing sets.
    Unset(String),
    /// What a service's definition is compared by.
    Hash {
        service: String,
        hash: String,
    },
    /// The same, before a release's files take the place of those that are there.
    WasHash {
        service: String,
        hash: String,
    },
    /// Compose takes the files that are there.
    WasRead,
    /// A variable that nothing sets for them.
    WasUnset(String),
    /// What a release's files change: never a value.
    Change(Change),
    /// A port that a service publishes.
    Port {
        service: String,
        port: String,
    },
    /// `container_name` or `network_mode` of the service.
    Part {
        name: String,
        value: String,
    },
    /// Another service with the release's image.
    SharesImage(String),
    /// What the files need of the host, and is there or not.
    Stays(String),
    Missing(String),
    /// What the service is said to run.
    Image(String),
    /// How many containers it is to have.
    Scale(u32),
    /// The same, in the words of `deploy`.
    Replicas(u32),
    NoService,
    /// Why there can be no second instance.
    Single(String),
    /// Another service that names this one.
    Sister(String),
    /// Somebody listens at the port.
    Listens,
    /// More than the image differs.
    OtherChanges,
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

/// An attempt that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CutOff {
    pub attempt: String,
    /// Of the container before it: its image, and what its definition is compared by.
    pub image: String,
    pub hash: String,
}

/// A difference between two definitions of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// `+`, `-` or `~`.
    pub sign: String,
    /// `-` for what belongs to no service.
    pub service: String,
    /// `service`, `image`, `port`, `variable`, `volume`, `part`, or a part of the whole project.
    pub kind: String,
    pub name: String,
}

/// A file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub path: String,
    pub sum: String,
    pub text: String,
}

/// What was there before the run's first attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// `image` or `hash` of the container, with its value.
    Fact(String),
    /// A line of the project.
    Place(String),
    /// A file that was changed: its sums before and after, and where it was kept.
    File {
        was: String,
        is: String,
        kept: String,
        path: String,
    },
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
    let number = || rest.trim().parse().ok();
    let text = rest.to_owned();
    Some(match word {
        "time" => Answer::Time(text),
        "free" => Answer::FreeKilobytes(rest.parse().ok()?),
        "switching" => Answer::Switching,
        "compose" => Answer::Compose(Compose::parse(rest)?),
        "real" => Answer::Real(text),
        "there" => Answer::There(text),
        "gone" => Answer::Gone(text),
        "own-files" => Answer::OwnFiles,
        "name" => Answer::Name(text),
        "remembered" => Answer::Remembered(text),
        "file" => Answer::File(file(rest)?),
        "written" => Answer::Written(text),
        "before-fact" => Answer::Before(Before::Fact(text)),
        "before-place" => Answer::Before(Before::Place(text)),
        "before-file" => Answer::Before(before_file(rest)?),
        "cut-off" => cut_off(rest)?,
        "was-hash" => was_hash(rest)?,
        "was-read" => Answer::WasRead,
        "was-unset" => Answer::WasUnset(text),
        "change" => Answer::Change(change(rest)?),
        "port" => port(rest)?,
        "part" => part(rest)?,
        "shares-image" => Answer::SharesImage(text),
        "stays" => Answer::Stays(text),
        "missing" => Answer::Missing(text),
        "kept" => Answer::Kept(text),
        "unreadable" => Answer::Unreadable,
        "unset" => Answer::Unset(text),
        "hash" => hash(rest)?,
        "image" => Answer::Image(text),
        "scale" => Answer::Scale(number()?),
        "replicas" => Answer::Replicas(number()?),
        "no-service" => Answer::NoService,
        "bridge-refuse" => Answer::Single(text),
        "sister" => Answer::Sister(text),
        "listens" => Answer::Listens,
        "other-changes" => Answer::OtherChanges,
        "refuse" => refuse(rest)?,
        "health-check" => Answer::HealthCheck(rest.trim().parse().ok()?),
        "busy" => Answer::Busy,
        "free-to-start" => Answer::Free,
        "ended" => Answer::Ended(rest.trim().parse().ok()?),
        "died" => Answer::Died,
        // Compose quotes lines of the files that it reads.
        "log" => Answer::Log(masked(&text)),
        _ => return None,
    })
}

fn refuse(rest: &str) -> Option<Answer> {
    let (why, file) = rest.split_once(' ')?;
    Some(Answer::Refuse {
        why: why.to_owned(),
        file: file.to_owned(),
    })
}

fn cut_off(rest: &str) -> Option<Answer> {
    let mut words = rest.split(' ').map(str::to_owned);
    Some(Answer::CutOff(CutOff {
        attempt: words.next()?,
        image: words.next()?,
        hash: words.next()?,
    }))
}

fn was_hash(rest: &str) -> Option<Answer> {
    let (service, hash) = two(rest)?;
    Some(Answer::WasHash { service, hash })
}

fn port(rest: &str) -> Option<Answer> {
    let (service, port) = two(rest)?;
    Some(Answer::Port { service, port })
}

fn part(rest: &str) -> Option<Answer> {
    let (name, value) = two(rest)?;
    Some(Answer::Part { name, value })
}

fn two(rest: &str) -> Option<(String, String)> {
    let (one, other) = rest.split_once(' ')?;
    Some((one.to_owned(), other.to_owned()))
}

fn change(rest: &str) -> Option<Change> {
    let mut parts = rest.splitn(4, '\t').map(str::to_owned);
    Some(Change {
        sign: parts.next()?,
        service: parts.next()?,
        kind: parts.next()?,
        name: parts.next()?,
    })
}

fn hash(rest: &str) -> Option<Answer> {
    let (service, hash) = rest.split_once(' ')?;
    Some(Answer::Hash {
        service: service.to_owned(),
        hash: hash.to_owned(),
    })
}

fn file(rest: &str) -> Option<File> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut parts = rest.splitn(3, '\t');
    let sum = parts.next()?.to_owned();
    let bytes = STANDARD.decode(parts.next()?).ok()?;
    Some(File {
        path: parts.next()?.to_owned(),
        sum,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

fn before_file(rest: &str) -> Option<Before> {
    let mut parts = rest.splitn(4, '\t').map(str::to_owned);
    Some(Before::File {
        was: parts.next()?,
        is: parts.next()?,
        kept: parts.next()?,
        path: parts.next()?,
    })
}

#[cfg(test)]
mod shell;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_not_taken_for_an_answer() {
        let text = "Welcome to app-1!\ndockmaster time 17.5\ndockmaster free 12\n\
                    dockmaster log Recreating shop_app_1 ...\ndockmaster ended 1\n\
                    dockmaster log line 3: DB_PASSWORD=s3cret\n\
                    dockmaster refuse foreign /srv/a b/x.yml\ndockmaster nonsense 1\n";
        assert_eq!(
            answers(text),
            [
                Answer::Time("17.5".into()),
                Answer::FreeKilobytes(12),
                Answer::Log("Recreating shop_app_1 ...".into()),
                Answer::Ended(1),
                Answer::Log("line 3: DB_PASSWORD=[MASKED]".into()),
                Answer::Refuse {
                    why: "foreign".into(),
                    file: "/srv/a b/x.yml".into()
                },
            ]
        );
    }

    #[test]
    fn a_file_comes_whole_whatever_it_is_called() {
        let text = "dockmaster file 01\taW1hZ2U6IHgK\t/srv/a b/x.yml\n\
                    dockmaster file 02\t\t/srv/empty.yml\n\
                    dockmaster before-file 01\t-\t/home/a/1\t/srv/a b/x.yml\n";
        let file = |path: &str, sum: &str, text: &str| {
            Answer::File(File {
                path: path.into(),
                sum: sum.into(),
                text: text.into(),
            })
        };
        assert_eq!(
            answers(text),
            [
                file("/srv/a b/x.yml", "01", "image: x\n"),
                file("/srv/empty.yml", "02", ""),
                Answer::Before(Before::File {
                    was: "01".into(),
                    is: "-".into(),
                    kept: "/home/a/1".into(),
                    path: "/srv/a b/x.yml".into()
                }),
            ]
        );
    }
}
