//! A review as one page that needs nothing else: no script, no network, light or dark, wide or narrow.

use super::{
    html::Html,
    lane,
    model::{HostReview, Review, told},
};
use crate::{
    lang::{Language, both, spoken, word},
    rollout::{journal::Outcome, narrate},
};

/// The browser is told, too, that nothing is to be fetched or run.
const HEAD: &str = concat!(
    "<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n",
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    "<style>\n",
    include_str!("page.css"),
    "</style>\n"
);

/// More timelines than these begin folded.
const OPEN: usize = 4;

/// The page.
pub(crate) fn page(review: &Review) -> String {
    let mut html = Html::default();
    html.raw(match spoken() {
        Language::English => "<!doctype html>\n<html lang=\"en\">\n<head>\n",
        Language::Chinese => "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n",
    });
    html.raw(HEAD);
    html.element(
        "<title>",
        &title(review),
        "</title>\n</head>\n<body>\n<main>\n",
    );
    header(&mut html, review);
    table(&mut html, review);
    if !review.weights.is_empty() || !review.phases.is_empty() {
        html.element(
            "<h2>",
            word!("Weights and steps over time", "权重与步骤时间线"),
            "</h2>\n",
        );
        lane::lanes(&mut html, review);
    }
    last_words(&mut html, review);
    probes(&mut html, review);
    timelines(&mut html, review);
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

fn title(review: &Review) -> String {
    let (environment, version) = (&review.environment, &review.version);
    if review.is_rollback {
        both!(
            "{environment}: back to {version}",
            "{environment}：回滚到 {version}"
        )
    } else {
        both!("{environment}: {version}", "{environment}：{version}")
    }
}

fn header(html: &mut Html, review: &Review) {
    let (class, badge) = badge(review.outcome);
    html.raw(class)
        .element("<p class=\"badge\">", badge, "</p>\n");
    html.element("<h1>", &title(review), "</h1>\n");
    html.element("<p>", &review.summary, "</p>\n<dl>\n");
    let job = match review.job {
        0 => review.asked_by.clone(),
        job => {
            let (pipeline, project) = (review.pipeline, review.project);
            both!(
                "job {job} of pipeline {pipeline}, project {project}",
                "任务 {job}（流水线 {pipeline}，项目 {project}）"
            )
        }
    };
    let image = format!("{}@{}", review.image, review.digest);
    let began = review.began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    for (term, text) in [
        (word!("asked by", "发起者"), &job),
        (word!("began", "开始时间"), &began),
        (word!("took", "用时"), &told(review.seconds)),
        (word!("image", "镜像"), &image),
        (word!("run", "运行编号"), &review.run),
    ] {
        html.raw(if *text == image {
            "<div class=\"wide\">"
        } else {
            "<div>"
        });
        html.element("<dt>", term, "</dt><dd>");
        html.text(text).raw("</dd></div>\n");
    }
    html.raw("</dl>\n</header>\n");
}

fn badge(outcome: Option<Outcome>) -> (&'static str, &'static str) {
    match outcome {
        Some(Outcome::Done) => ("<header class=\"good\">\n", word!("done", "已完成")),
        Some(Outcome::Undone) => (
            "<header class=\"bad\">\n",
            word!("failed and undone", "失败，已撤销"),
        ),
        Some(Outcome::Stopped) => ("<header class=\"warn\">\n", word!("stopped", "已停止")),
        Some(Outcome::Stuck) => ("<header class=\"bad\">\n", word!("stuck", "卡住")),
        None => ("<header class=\"bad\">\n", word!("open", "未结束")),
    }
}

fn table(html: &mut Html, review: &Review) {
    html.element(
        "<h2>",
        word!("Hosts", "主机"),
        "</h2>\n<table>\n<thead><tr>",
    );
    let heads = narrate::heads();
    for head in heads {
        html.element("<th>", head, "</th>");
    }
    html.raw("</tr></thead>\n<tbody>\n");
    for row in &review.hosts {
        html.raw(if is_well(row) {
            "<tr>"
        } else {
            "<tr class=\"bad\">"
        });
        for (head, cell) in heads.iter().zip(cells(row)) {
            html.raw("<td data-head=\"").text(head).raw("\">");
            html.text(&cell).raw("</td>");
        }
        html.raw("</tr>\n");
    }
    html.raw("</tbody>\n</table>\n");
    for row in &review.hosts {
        if let Some(problem) = &row.problem {
            html.element("<p class=\"problem\">", problem, "</p>\n");
        }
    }
}

fn is_well(row: &HostReview) -> bool {
    row.problem.is_none() && row.weight_before == row.weight_after
}

fn cells(row: &HostReview) -> [String; 7] {
    let unknown = || "?".to_owned();
    [
        row.host.clone(),
        narrate::change(
            &row.release_before,
            &row.release_after.clone().unwrap_or_else(unknown),
        ),
        match (row.weight_before, row.weight_after) {
            (None, _) => "–".into(),
            (Some(before), Some(after)) => narrate::change(&before.to_string(), &after.to_string()),
            (Some(before), None) => narrate::change(&before.to_string(), "?"),
        },
        row.drained.map_or_else(|| "–".into(), told),
        narrate::times(row.restarted),
        row.health
            .map_or_else(unknown, |health| narrate::health(health).to_owned()),
        match (row.drained, row.connections_cut) {
            (None, _) => "–".into(),
            (Some(_), Some(cut)) => cut.to_string(),
            (Some(_), None) => unknown(),
        },
    ]
}

fn last_words(html: &mut Html, review: &Review) {
    if review.last_words.is_empty() {
        return;
    }
    let head = word!("What containers said last", "容器最后的输出");
    html.element("<h2>", head, "</h2>\n");
    for words in &review.last_words {
        html.element("<h3>", &words.host, "</h3>\n<pre>");
        html.text(&words.lines.join("\n")).raw("</pre>\n");
    }
}

fn probes(html: &mut Html, review: &Review) {
    if review.probes.is_empty() {
        return;
    }
    let head = word!("Asked from outside", "外部探测");
    html.element("<h2>", head, "</h2>\n<ul class=\"probes\">\n");
    for probe in &review.probes {
        html.raw(match probe.trouble {
            None => "<li class=\"good\"><time>",
            Some(_) => "<li class=\"bad\"><time>",
        });
        html.text(&told(probe.at)).raw("</time> <b>");
        html.text(&probe.host).raw("</b> ");
        html.text(match &probe.trouble {
            None => word!("answers", "有应答"),
            Some(why) => why,
        });
        html.raw("</li>\n");
    }
    html.raw("</ul>\n");
}

fn timelines(html: &mut Html, review: &Review) {
    if review.story.is_empty() {
        return;
    }
    html.element("<h2>", word!("Timeline", "过程"), "</h2>\n");
    let is_few = review.hosts.len() <= OPEN;
    for row in &review.hosts {
        timeline(html, review, Some(row), is_few || row.problem.is_some());
    }
    timeline(html, review, None, is_few);
}

fn timeline(html: &mut Html, review: &Review, row: Option<&HostReview>, is_open: bool) {
    let host = row.map(|row| row.host.as_str());
    let lines = review
        .story
        .iter()
        .filter(|said| said.host.as_deref() == host);
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return;
    }
    html.raw(if is_open {
        "<details open><summary>"
    } else {
        "<details><summary>"
    });
    html.text(host.unwrap_or(word!("the rollout", "整次发布")));
    html.raw("</summary>\n<ol>\n");
    for said in lines {
        html.element("<li><time>", &told(said.at), "</time> <span>");
        html.text(&said.text).raw("</span></li>\n");
    }
    html.raw("</ol>\n</details>\n");
}
