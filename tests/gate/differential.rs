//! Ordinary commands answer through the gate as without it, but for ids, times and names.

use crate::fixture::{Job, Jobs, Ran, docker};

testbed::tests![
    Jobs; [Root, Engine];
    ordinary_commands_answer_as_without_the_gate,
];

/// `N` is a name that nobody else has, `B` an image.
const COMMANDS: &[&str] = &[
    "run --rm B echo hello",
    "run --rm B sh -c 'exit 3'",
    "run --rm B sh -c 'echo words >&2'",
    "run --rm -e A=1 B sh -c 'echo $A'",
    "run --rm -w /tmp B sh -c 'echo $PWD'",
    "run --rm -u 1:2 B sh -c 'echo done'",
    "run --rm --entrypoint echo B hello",
    "run --rm --network none B true",
    "run --rm B sh -c none-such-command",
    "run --name N B sh -c 'echo 1 >/tmp/f; echo first; echo last'",
    "logs N",
    "logs --tail 1 N",
    "wait N",
    "diff N",
    "inspect -f {{.State.Status}}/{{.State.ExitCode}} N",
    "inspect -f {{.Path}}{{.Args}} N",
    "inspect -f {{.Config.Cmd}}{{.Config.Env}} N",
    "inspect -f {{.HostConfig.Privileged}}{{.HostConfig.AutoRemove}} N",
    "inspect -f {{.HostConfig.Memory}}{{.HostConfig.NanoCpus}} N",
    "start N",
    "rm N",
    "rm N",
    "create --name N B sleep 100",
    "start N",
    "start N",
    "exec N echo hello",
    "exec N sh -c 'exit 4'",
    "exec -e A=2 -w /tmp N sh -c 'echo $A$PWD'",
    "exec N none-such-command",
    "pause N",
    "unpause N",
    "port N",
    "cp N:/etc/none -",
    "kill N",
    "rm -f N",
    "volume create N",
    "volume inspect -f {{.Driver}}{{.Options}} N",
    "volume rm N",
    "volume rm N",
    "network create N",
    "network inspect -f {{.Driver}}{{.Internal}}{{.Scope}} N",
    "network rm N",
    "network rm N",
    "image inspect -f {{.Os}}{{.Config.Cmd}} B",
    "inspect N-none",
    "start N-none",
    "exec N-none true",
    "version -f {{.Server.Version}}{{.Server.APIVersion}}",
];

fn ordinary_commands_answer_as_without_the_gate(jobs: &Jobs) {
    let job = jobs.open("same");
    let mut different = Vec::new();
    let (inside, outside) = (job.name("in"), job.name("out"));
    for command in COMMANDS {
        let through = said(&job, command, &inside, true);
        let past = said(&job, command, &outside, false);
        if through != past {
            different.push(format!(
                "{command}\n  through: {through:?}\n  past:    {past:?}"
            ));
        }
    }
    docker(&["rm", "-f", &outside]).run();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn said(job: &Job, command: &str, name: &str, is_through: bool) -> (Option<i32>, String) {
    let words: Vec<String> = words(command)
        .into_iter()
        .map(|word| match word.as_str() {
            "B" => job.base.clone(),
            _ => word.replacen('N', name, usize::from(word.starts_with('N'))),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran: Ran = if is_through {
        job.client(&words).run()
    } else {
        docker(&words).run()
    };
    let text = format!("{}{}", ran.stdout, ran.stderr);
    (
        ran.code,
        plain(&text.replace(name, "NAME").replace("dockmaster: ", "")),
    )
}

/// Words as a shell parts them.
fn words(command: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (number, part) in command.split('\'').enumerate() {
        if number % 2 == 1 {
            parts.push(part.to_owned());
        } else {
            parts.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    parts
}

/// Long runs of hexadecimal digits are ids.
fn plain(text: &str) -> String {
    let parts = text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit());
    let parts = parts.map(|part| {
        let digits = part.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
        if digits.len() >= 12 {
            part.replacen(digits, "ID", 1)
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}
