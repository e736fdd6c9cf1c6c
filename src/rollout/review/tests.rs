use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    lang::{Language, speak},
    rollout::{
        fact::{Fact, HostReport},
        journal::{Cause, Direction, Event, Outcome, Owner, Run, Step},
        state::{Container, Health, Member, Release, Weight},
    },
};

fn release(version: &str) -> Release {
    Release {
        image: "h/app".into(),
        digest: format!("sha256:{version}"),
        version: version.into(),
    }
}

fn container(version: &str) -> Container {
    let reference = release(version).reference();
    Container {
        id: "c".into(),
        reference: reference.clone(),
        image: version.into(),
        digests: vec![reference],
        is_running: true,
        is_paused: false,
        health: Health::Healthy,
        restarts: 0,
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::new(1_700_000_000, 0).unwrap() + SignedDuration::from_millis(milliseconds)
}

/// A run that failed on its first host; every name and text of it is somebody's.
struct Told {
    events: Vec<(Timestamp, Event)>,
    facts: Vec<(Timestamp, Fact)>,
}

fn told(host: &str, version: &str, text: &str) -> Told {
    Told {
        events: events(host, version, text),
        facts: facts(host, version, text),
    }
}

fn events(host: &str, version: &str, text: &str) -> Vec<(Timestamp, Event)> {
    let full = Weight::new(100).unwrap();
    let member = Member {
        balancer: "clb".into(),
        group: "g".into(),
        server: "i-1".into(),
        port: 1,
    };
    let step = |step, direction| Event::Intent {
        host: host.into(),
        step,
        direction,
    };
    let done = |step, direction| Event::Done {
        host: host.into(),
        step,
        direction,
    };
    vec![
        (
            at(1000),
            Event::Opened {
                run: "r1".into(),
                release: release(version),
                owner: Owner {
                    project: 42,
                    pipeline: 7,
                    job: 17,
                },
                hosts: vec![host.into()],
                cause: Cause::Deploy,
            },
        ),
        (
            at(1000),
            Event::Captured {
                host: host.into(),
                weight: Some(full),
                found: Some(full),
                member: Some(member),
                previous: Some(container("v1")),
                is_outdated: false,
            },
        ),
        (at(2000), step(Step::Drain, Direction::Do)),
        (at(10_500), done(Step::Drain, Direction::Do)),
        (at(10_500), step(Step::Switch, Direction::Do)),
        (at(20_000), step(Step::Switch, Direction::Undo)),
        (at(30_000), done(Step::Switch, Direction::Undo)),
        (
            at(31_000),
            Event::Closed {
                outcome: Outcome::Undone,
                summary: text.into(),
            },
        ),
    ]
}

fn facts(host: &str, version: &str, text: &str) -> Vec<(Timestamp, Fact)> {
    let full = Weight::new(100).unwrap();
    let of = || host.to_owned();
    vec![
        (
            at(0),
            Fact::Said {
                host: None,
                text: format!("\u{1b}[1m{text}\u{1b}[0;m"),
            },
        ),
        (
            at(2500),
            Fact::Weighed {
                host: of(),
                weight: Weight::ZERO,
            },
        ),
        (
            at(10_000),
            Fact::Drained {
                host: of(),
                milliseconds: 8500,
                left: Some(3),
            },
        ),
        (
            at(11_000),
            Fact::Switched {
                host: of(),
                to: version.into(),
                way: Direction::Do,
            },
        ),
        (
            at(15_000),
            Fact::Probed {
                host: of(),
                trouble: Some(text.into()),
            },
        ),
        (
            at(16_000),
            Fact::LastWords {
                host: of(),
                lines: vec![text.into()],
            },
        ),
        (
            at(17_000),
            Fact::Said {
                host: Some(of()),
                text: text.into(),
            },
        ),
        (
            at(30_500),
            Fact::Weighed {
                host: of(),
                weight: full,
            },
        ),
        (
            at(31_000),
            Fact::Ended {
                hosts: vec![HostReport {
                    host: of(),
                    weight: Some(full),
                    original: Some(full),
                    ran: "v1".into(),
                    runs: "v1".into(),
                    is_new: false,
                    health: Some(Health::Healthy),
                    problem: Some(text.into()),
                }],
            },
        ),
    ]
}

fn reviewed(told: &Told, environment: &str) -> (String, serde_json::Value) {
    let run = Run::fold(told.events.iter().map(|(_, event)| event)).unwrap();
    let review = review(&Source {
        environment,
        run: &run,
        summary: "as it ended",
        events: &told.events,
        facts: &told.facts,
        versions: &[release("v1")],
    });
    (page(&review), serde_json::to_value(&review).unwrap())
}

/// The names of all tags and attributes.
fn markup(page: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut tags, mut attributes) = (BTreeSet::new(), BTreeSet::new());
    let body = page.split_once("</style>").unwrap().1;
    for tag in body.split('<').skip(1) {
        let tag = tag.split_once('>').unwrap().0;
        tags.insert(tag.split([' ', '>']).next().unwrap().to_owned());
        for (at, part) in tag.split('"').enumerate() {
            if at % 2 == 0 {
                let names = part.split_whitespace().filter(|word| word.ends_with('='));
                attributes.extend(names.map(str::to_owned));
            }
        }
    }
    (tags, attributes)
}

#[test]
fn whatever_hosts_and_logs_are_called_the_page_has_the_same_tags_and_fetches_nothing() {
    let plain = reviewed(&told("app-1", "v2", "text"), "production").0;
    let hostile = "\"'><script src=//x>alert(1)</script><img onerror=x><!--&amp;\u{202e}\u{1b}]0;";
    let page = reviewed(&told(hostile, hostile, hostile), hostile).0;
    assert_eq!(markup(&page), markup(&plain));
    assert!(!page.contains(['\u{1b}', '\u{202e}']));
    for page in [&plain, &page] {
        for word in [
            "<script", "<img", "<link", "<iframe", "url(", "@import", "src=",
        ] {
            let outside_text = page.replace("&lt;script src=//x&gt;", "");
            assert!(!outside_text.contains(word), "{word}");
        }
    }
}

#[test]
fn the_page_shows_what_was_and_what_is() {
    let page = reviewed(
        &told("app-1", "v2", "cannot open the database"),
        "production",
    )
    .0;
    for part in [
        "<title>production: v2</title>",
        "failed and undone",
        "as it ended",
        "job 17 of pipeline 7, project 42",
        ">8.5 s<",
        "data-head=\"connections cut\">3</td>",
        "cannot open the database",
        "<h2>Asked from outside</h2>",
        "class=\"undo\"",
    ] {
        assert!(page.contains(part), "`{part}` is missing in:\n{page}");
    }
    speak(Language::Chinese);
    let page = reviewed(&told("app-1", "v2", "x"), "production").0;
    speak(Language::English);
    for part in ["lang=\"zh-CN\"", "失败，已撤销", "主机", "8.5 秒"] {
        assert!(page.contains(part), "`{part}` is missing in:\n{page}");
    }
}

#[test]
fn the_json_says_it_in_numbers() {
    let json = reviewed(&told("app-1", "v2", "x"), "production").1;
    assert_eq!(json["format"], 1);
    assert_eq!(
        (&json["outcome"], &json["seconds"]),
        (&"undone".into(), &31.0.into())
    );
    let host = &json["hosts"][0];
    assert_eq!(host["drained"], 8.5);
    assert_eq!(host["connections-cut"], 3);
    assert_eq!(host["release-before"], "v1");
    let weights: Vec<_> = json["weights"].as_array().unwrap().iter().collect();
    assert_eq!(weights.len(), 3);
    assert_eq!(
        (&weights[1]["at"], &weights[1]["weight"]),
        (&2.5.into(), &0.into())
    );
    let phases = json["phases"].as_array().unwrap();
    let ends: Vec<_> = phases
        .iter()
        .map(|it| (&it["to"], &it["is-done"]))
        .collect();
    assert_eq!(ends[1], (&20.0.into(), &false.into()));
    assert_eq!(ends[2], (&30.0.into(), &true.into()));
}

#[test]
fn a_run_whose_facts_are_lost_is_told_from_its_journal() {
    let mut told = told("app-1", "v2", "x");
    told.facts.clear();
    let (page, json) = reviewed(&told, "production");
    assert_eq!(json["hosts"][0]["release-before"], "v1");
    assert_eq!(json["hosts"][0]["release-after"], serde_json::Value::Null);
    assert_eq!(json["weights"].as_array().unwrap().len(), 2);
    assert!(page.contains("v1 -&gt; ?"));
}
