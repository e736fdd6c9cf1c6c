//! A host's weight over time as a drawing, with its steps below.

use super::{
    html::Html,
    model::{Phase, Review, told},
};
use crate::{
    lang::word,
    rollout::journal::{Direction, Step},
};

/// The drawing's own units; a browser stretches it.
const WIDTH: f64 = 1000.0;
/// Weight 100 is this high, and stands on this line.
const HEIGHT: f64 = 50.0;
const BASE: f64 = 54.0;

/// All hosts, one below the other, over one axis.
pub(super) fn lanes(html: &mut Html, review: &Review) {
    html.raw("<div class=\"lanes\">\n");
    for row in &review.hosts {
        html.element("<div class=\"lane\"><b>", &row.host, "</b>");
        drawing(html, review, &row.host);
        html.raw("</div>\n");
    }
    html.raw("<div class=\"lane\"><b></b><div class=\"axis\">");
    for part in 0..5 {
        let at = review.seconds * f64::from(part) / 4.0;
        html.element("<span>", &told(at), "</span>");
    }
    html.raw("</div></div>\n</div>\n");
    legend(html);
}

fn drawing(html: &mut Html, review: &Review, host: &str) {
    let x = |at: f64| WIDTH * at / review.seconds.max(0.001);
    html.raw(
        "<svg viewBox=\"0 0 1000 70\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
    );
    html.text(&described(review, host)).raw("\">");
    let own = review.weights.iter().filter(|it| it.host == host);
    let own: Vec<_> = own
        .map(|it| (it.at, f64::from(it.weight.value())))
        .collect();
    if let Some((_, last)) = own.last() {
        html.raw("<path class=\"weight\" d=\"M0 54");
        for (at, weight) in &own {
            // Sideways first: a weight holds until the next one.
            html.raw("H").number(x(*at));
            html.raw("V").number(BASE - HEIGHT * weight / 100.0);
        }
        html.raw("H1000V54Z\"><title>");
        html.text(word!("weight", "权重")).raw(" ");
        html.text(&last.to_string()).raw("</title></path>");
    }
    for phase in review.phases.iter().filter(|phase| phase.host == host) {
        html.raw(class(phase));
        html.raw(" x=\"").number(x(phase.from));
        html.raw("\" y=\"58\" height=\"12\" width=\"");
        html.number((x(phase.to) - x(phase.from)).max(2.0));
        html.raw("\"><title>").text(name(phase)).raw(" ");
        html.text(&told(phase.to - phase.from));
        html.raw("</title></rect>");
    }
    html.raw("</svg>");
}

/// The drawing in words: `0.0 s: 100, 1.2 s: 0`.
fn described(review: &Review, host: &str) -> String {
    let own = review.weights.iter().filter(|it| it.host == host);
    let all = own.map(|it| format!("{}: {}", told(it.at), it.weight));
    all.collect::<Vec<_>>().join(", ")
}

fn class(phase: &Phase) -> &'static str {
    match (phase.direction, phase.step) {
        (Direction::Undo, _) => "<rect class=\"undo\"",
        (Direction::Do, Step::Drain) => "<rect class=\"drain\"",
        (Direction::Do, Step::Switch) => "<rect class=\"switch\"",
        (Direction::Do, _) => "<rect class=\"admit\"",
    }
}

fn name(phase: &Phase) -> &'static str {
    match (phase.direction, phase.step) {
        (Direction::Undo, _) => word!("undo", "撤销"),
        (Direction::Do, Step::Drain) => word!("drain", "摘流量"),
        (Direction::Do, Step::Switch) => word!("switch", "切换版本"),
        (Direction::Do, Step::Bridge | Step::Share | Step::Retire) => {
            word!("second instance", "第二实例")
        }
        (Direction::Do, Step::Admit) => word!("admit", "恢复流量"),
    }
}

fn legend(html: &mut Html) {
    html.raw("<p class=\"legend\"><i class=\"weight\"></i>");
    html.text(word!("weight", "权重"))
        .raw("<i class=\"drain\"></i>");
    html.text(word!("drain", "摘流量"))
        .raw("<i class=\"switch\"></i>");
    html.text(word!("switch", "切换版本"))
        .raw("<i class=\"admit\"></i>");
    html.text(word!("admit", "恢复流量"))
        .raw("<i class=\"undo\"></i>");
    html.text(word!("undo", "撤销")).raw("</p>\n");
}
