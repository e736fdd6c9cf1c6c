//! Dockerfiles as people write them, and what the engine gets of each.

use std::fmt::Write;
use std::path::Path;

use super::Case;
use crate::gate::dockerfile::Road;

/// What both roads make of a file, and the images that it names.
fn told(text: &[u8]) -> String {
    let mut all = String::new();
    for road in [Road::Classic, Road::BuildKit] {
        let mut case = Case::new(road);
        case.target = if text.ends_with(b"COPY --from=also.example.com/y /a /b\n") {
            "wanted"
        } else {
            ""
        };
        writeln!(all, "----- {road:?}").unwrap();
        match case.rewritten(text) {
            Ok(written) => {
                for image in case.read(text).unwrap().images() {
                    let platform = image.platform.as_deref().unwrap_or("any platform");
                    writeln!(all, "takes {} for {platform}", image.name).unwrap();
                }
                writeln!(all, "{written}-----").unwrap();
            }
            Err(denied) => writeln!(all, "{}: {}", denied.status, denied.message).unwrap(),
        }
    }
    all
}

#[test]
fn honest_dockerfiles_are_written_as_they_were_meant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gate/dockerfile");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "Dockerfile"))
        .collect();
    files.sort();
    assert!(files.len() >= 38, "{}", files.len());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let told = told(&std::fs::read(&file).unwrap());
        insta::with_settings!({ snapshot_path => "../../../../tests/golden/gate/dockerfile", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, told);
        });
    }
}
