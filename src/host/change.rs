//! What a release's files change, in words: names alone, never a value. Pure.

use super::script::Change;
use crate::lang::both;

/// More lines than this of one host are counted only.
const MOST: usize = 40;

/// A line for each change, the project's own first.
pub(super) fn lines(changes: &[Change], service: &str) -> Vec<String> {
    let mut lines: Vec<_> = changes.iter().map(|it| line(it, service)).collect();
    let more = lines.len().saturating_sub(MOST);
    if more > 0 {
        lines.truncate(MOST);
        lines.push(both!("and {more} changes more", "另有 {more} 处变化"));
    }
    lines
}

fn line(change: &Change, own: &str) -> String {
    let Change {
        sign,
        service,
        kind,
        name,
    } = change;
    match (kind.as_str(), sign.as_str()) {
        ("service", "+") => both!(
            "+ service {service}: dockmaster starts {own} alone",
            "+ 服务 {service}：dockmaster 只启动 {own}"
        ),
        ("service", _) => both!(
            "- service {service}: its container is left as it is",
            "- 服务 {service}：它的容器保持原样"
        ),
        ("part", _) => format!("{sign} {service}: {name}"),
        _ if service == "-" => format!("{sign} {kind}: {name}"),
        ("variable", _) => both!(
            "{sign} {service}: environment variable {name}",
            "{sign} {service}：环境变量 {name}"
        ),
        ("image", _) => both!(
            "{sign} {service}: image {name}",
            "{sign} {service}：镜像 {name}"
        ),
        ("port", _) => both!(
            "{sign} {service}: port {name}",
            "{sign} {service}：端口 {name}"
        ),
        _ => both!(
            "{sign} {service}: volume {name}",
            "{sign} {service}：卷 {name}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(words: &str) -> Change {
        let mut words = words.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap();
        Change {
            sign: next(),
            service: next(),
            kind: next(),
            name: next(),
        }
    }

    #[test]
    fn each_change_is_a_line() {
        let changes: Vec<_> = [
            "+ - volumes data",
            "~ app variable KEY",
            "- app part command",
            "+ cache service ?",
            "+ cache image redis:7",
        ]
        .map(change)
        .into();
        assert_eq!(
            lines(&changes, "app"),
            [
                "+ volumes: data",
                "~ app: environment variable KEY",
                "- app: command",
                "+ service cache: dockmaster starts app alone",
                "+ cache: image redis:7",
            ]
        );
        let many = vec![change("+ app port 1:1"); MOST + 3];
        assert_eq!(lines(&many, "app").pop().unwrap(), "and 3 changes more");
    }
}
