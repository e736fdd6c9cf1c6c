//! What is refused, and what the refusal says.

use super::Case;
use crate::gate::dockerfile::{Road, judge_trigger};

#[track_caller]
fn refused(text: &str, words: &str) {
    for road in [Road::Classic, Road::BuildKit] {
        refused_on(road, text, words);
    }
}

#[track_caller]
fn refused_on(road: Road, text: &str, words: &str) {
    match Case::new(road).rewritten(text.as_bytes()) {
        Ok(written) => panic!("{text:?} became {written:?}"),
        Err(denied) => assert!(
            denied.message.contains(words),
            "{text:?}: {}",
            denied.message
        ),
    }
}

#[track_caller]
fn written(road: Road, text: &str, expected: &str) {
    assert_eq!(
        Case::new(road).rewritten(text.as_bytes()).unwrap(),
        expected
    );
}

#[test]
fn nothing_is_fetched_from_where_the_operator_does_not_allow_it() {
    for source in [
        "http://127.0.0.1:8080/",
        "https://example.com/x",
        "HTTPS://example.com/x.git",
        "git://example.com/x.git",
        "ssh://git@example.com/x",
        "git@github.com:a/b.git",
        "\"http://x/\"",
        "'ht'tp://x/",
        "\\http://x/",
        "https://dl.example.com@evil.example.com/x",
        "https://dl.example.com\\@evil.example.com/x",
        "https://evil.example.com?https://dl.example.com/x",
        "http://dl.example.com/x",
    ] {
        refused(
            &format!("FROM a\nADD {source} /x\n"),
            "line 2 of the Dockerfile, ADD",
        );
        refused(
            &format!("FROM a\nADD ok {source} /x\n"),
            "line 2 of the Dockerfile, ADD",
        );
    }
    refused("FROM a\nADD [\"http://x/\", \"/x\"]\n", "fetch");
    refused("FROM a\nENV U=http://x\nADD $U/y /x\n", "fetch");
    refused("FROM a\nARG U=http://x\nADD ${U} /x\n", "fetch");
    refused("FROM a\nADD http://$HOST/y /x\n", "the base image may set");
    refused("FROM a\nADD [\"http://x/\\ud800\", \"/x\"]\n", "not JSON");
    refused("FROM a\nADD [\"http://x/\", \"/x\"] y\n", "not JSON");
}

#[test]
fn a_variable_makes_no_address_of_a_path() {
    let text = "FROM a\nADD $X /x\nADD \"$X\" /x\nADD ${X#y} /x\nADD $X/y $X /x\n";
    let expected =
        "FROM image.invalid/0\nADD ./$X /x\nADD ./\"$X\" /x\nADD ./${X#y} /x\nADD ./$X/y ./$X /x\n";
    written(Road::BuildKit, text, expected);
}

#[test]
fn an_address_that_is_allowed_is_written_in_full() {
    let text = "FROM a\nARG V=1\nADD https://dl.example.com/$V/x?a=b#c /x\n";
    let expected = "FROM image.invalid/0\nARG V=1\nADD https://dl.example.com/1/x?a=b#c /x\n";
    written(Road::BuildKit, text, expected);
}

#[test]
fn a_build_stays_in_its_sandbox() {
    refused("FROM a\nRUN --network=host true\n", "network");
    refused("FROM a\nRUN --network=\"ho\"st true\n", "network");
    refused("FROM a\nRUN --security=insecure true\n", "rights");
    refused("FROM a\nRUN --device=nvidia.com/gpu=all true\n", "--device");
    refused("FROM a\nONBUILD RUN --network=host true\n", "network");
    refused("FROM a\nLABEL dockmaster.cache=7\n", "label");
    refused("FROM a\nLABEL \"dock\"master.cache=7\n", "label");
    refused("FROM a\nLABEL x=1 ${A}=7\n", "label");
    refused("FROM a\nONBUILD LABEL dockmaster.cache=7\n", "label");
}

#[test]
fn what_engines_read_differently_is_refused() {
    refused(
        "FROM a\nRUN --mount=type=bind\\,from=b true\n",
        "differently",
    );
    refused(
        "# escape=`\nFROM a\nRUN --mount=from=`b true\n",
        "differently",
    );
    refused(
        "FROM a\nRUN --mount='type=bind,\"from=b\"' true\n",
        "differently",
    );
    refused("FROM a\nCOPY --from=\u{e9} a b\n", "ASCII");
    refused("FROM a\nCOPY --from=$X a b\n", "no variable");
    refused("FROM a\nRUN --mount=from=$X true\n", "no variable");
    refused("FROM a\nCOPY --from=1 a b\n", "no stage 1");
    refused("FROM a\nRUN echo a\\ \\\n", "ends in an escape");
    refused("FROM a\nRUN cat << EOF\nx\nEOF\n", "space");
    refused("FROM a\nRUN echo ${X:-<<EOF} <<EOF\nx\nEOF\n", "rule");
    refused("FROM a\nRUN cat <<\"E$X\"\nx\nE$X\n", "unclear name");
    refused("WOR\u{212a}DIR /x\n", "no instruction");
    refused("FROM a\nFORM b\n", "line 2 of the Dockerfile: \"FORM\"");
    refused("RUN true\n", "before the first FROM");
    refused("", "no FROM");
    refused("# escape=x\nFROM a\n", "escape");
    refused("# escape=`\n# escape=`\nFROM a\n", "twice");
    refused("FROM $X\n", "names no image");
    refused("FROM ${X#y}\n", "cannot be resolved");
    refused("FROM a b\n", "FROM image AS name");
    refused("FROM UPPER/case\n", "is not the name of an image");
    refused("FROM --x=y a\n", "--x");
}

#[test]
fn here_documents_are_no_instructions_for_an_older_engine() {
    refused_on(
        Road::BuildKit,
        "FROM a\nRUN <<RUN\nADD http://x/ /x\nRUN\n",
        "older engine",
    );
    let swallowed = "FROM a\nRUN <<EOF\nADD http://x/ /x\nRUN \\\nEOF\n";
    refused_on(Road::BuildKit, swallowed, "older engine");
    refused_on(Road::BuildKit, "FROM a\nRUN <<EOF\nx\n", "no end");
    refused_on(
        Road::Classic,
        "FROM a\nRUN <<EOF\nx\nEOF\n",
        "DOCKER_BUILDKIT=1",
    );
}

#[test]
fn triggers_of_a_base_image_name_nothing() {
    for trigger in [
        "ADD http://x/ /x",
        "ADD $X /x",
        "COPY --from=alpine /a /b",
        "RUN --mount=from=alpine true",
        "# escape=`\nADD http://x /x",
        "RUN true\nRUN true",
        "ADD `http://x /x",
        "FROM alpine",
        "nonsense",
        "LABEL dockmaster.cache=1",
    ] {
        for road in [Road::Classic, Road::BuildKit] {
            let denied = judge_trigger(trigger, road).unwrap_err();
            assert!(
                denied.message.contains("use another base image"),
                "{}",
                denied.message
            );
        }
    }
    for trigger in [
        "COPY . /app",
        "RUN npm ci",
        "ADD x /y",
        "COPY --from=0 /a /b",
    ] {
        judge_trigger(trigger, Road::Classic).unwrap();
    }
}

#[test]
fn long_lines_are_broken_where_nothing_changes() {
    let long = format!(
        "FROM a\nRUN echo {}end\nRUN two\n",
        "word \\\n".repeat(30_000)
    );
    let written = Case::new(Road::BuildKit)
        .rewritten(long.as_bytes())
        .unwrap();
    assert!(written.lines().all(|line| line.len() < 65_536));
    let again = Case::new(Road::BuildKit).read(written.as_bytes()).unwrap();
    assert_eq!(again.pieces.len(), 3);
    let joined = written.replace("\\\n", "");
    assert!(joined.contains(&"word ".repeat(30_000)));
}

#[test]
fn variables_grow_no_further_than_a_name_can_be() {
    let grown = (1..40).map(|place| {
        let before = format!("${{a{}}}", place - 1).repeat(8);
        format!("ARG a{place}={before}\n")
    });
    let text = format!("ARG a0=0123456789\n{}", grown.collect::<String>());
    refused(&format!("{text}FROM $a39\n"), "longer than any name");
    let nested = "${a-".repeat(100_000) + "x" + &"}".repeat(100_000);
    refused(&format!("FROM {nested}\n"), "cannot be resolved here");
}
