//! Whether `.dockerignore` leaves a file out. Pure.

use std::collections::HashSet;

/// A longer pattern is nobody's; it only decides whether the author's Dockerfile is in the context, too.
const LONGEST: usize = 1024;

/// Whether the patterns leave this path out of the context; the last that fits counts.
pub(super) fn excludes(patterns: &str, path: &str) -> bool {
    let patterns = patterns.strip_prefix('\u{feff}').unwrap_or(patterns);
    let lines = patterns.lines().filter(|line| !line.starts_with('#'));
    let mut is_out = false;
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let (is_back, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern.trim()),
            None => (false, line),
        };
        if fits_or_holds(&cleaned(pattern), path) {
            is_out = !is_back;
        }
    }
    is_out
}

fn cleaned(pattern: &str) -> String {
    let parts = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

/// Whether a pattern fits the path or a folder that holds it.
fn fits_or_holds(pattern: &str, path: &str) -> bool {
    if pattern.len() > LONGEST {
        return false;
    }
    let ends = path.match_indices('/').map(|(end, _)| end);
    ends.chain([path.len()]).any(|end| {
        let mut matcher = Matcher::default();
        matcher.fits(pattern.as_bytes(), &path.as_bytes()[..end])
    })
}

/// Remembers which rest of a pattern did not fit which rest of the path: without that, the time doubles
/// with each star of a job's pattern.
#[derive(Default)]
struct Matcher {
    unfit: HashSet<(usize, usize)>,
}

impl Matcher {
    fn fits(&mut self, pattern: &[u8], path: &[u8]) -> bool {
        let place = (pattern.len(), path.len());
        if self.unfit.contains(&place) {
            return false;
        }
        let is_fit = self.begins(pattern, path);
        if !is_fit {
            self.unfit.insert(place);
        }
        is_fit
    }

    fn begins(&mut self, pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', b'/', rest @ ..] => {
                let is_folder = |place: &usize| *place == 0 || path[place - 1] == b'/';
                (0..=path.len())
                    .filter(is_folder)
                    .any(|place| self.fits(rest, &path[place..]))
            }
            [b'*', b'*', rest @ ..] => {
                (0..=path.len()).any(|place| self.fits(rest, &path[place..]))
            }
            [b'*', rest @ ..] => {
                let part = path
                    .iter()
                    .position(|byte| *byte == b'/')
                    .unwrap_or(path.len());
                (0..=part).any(|place| self.fits(rest, &path[place..]))
            }
            [b'?', rest @ ..] => match path {
                [sign, after @ ..] => *sign != b'/' && self.fits(rest, after),
                [] => false,
            },
            [b'[', rest @ ..] => self.class(rest, path),
            [b'\\', sign, rest @ ..] | [sign, rest @ ..] => {
                path.first() == Some(sign) && self.fits(rest, &path[1..])
            }
        }
    }

    /// `a-z]…`, behind the bracket.
    fn class(&mut self, rest: &[u8], path: &[u8]) -> bool {
        let (Some(end), Some((sign, after))) = (
            rest.iter().position(|byte| *byte == b']'),
            path.split_first(),
        ) else {
            return false;
        };
        let (is_not, inner) = match &rest[..end] {
            [b'^', inner @ ..] => (true, inner),
            inner => (false, inner),
        };
        let mut is_in = false;
        let mut inner = inner;
        while let Some((first, more)) = inner.split_first() {
            if let [b'-', last, more @ ..] = more {
                is_in |= (*first..=*last).contains(sign);
                inner = more;
            } else {
                is_in |= first == sign;
                inner = more;
            }
        }
        is_in != is_not && self.fits(&rest[end + 1..], after)
    }
}

#[cfg(test)]
mod tests {
    use super::excludes;

    #[test]
    fn no_pattern_takes_for_ever() {
        let (pattern, path) = ("*a".repeat(200) + "b", "a".repeat(300));
        assert!(!excludes(&pattern, &path));
        assert!(!excludes(&"*".repeat(1_000_000), "b/Dockerfile"));
    }

    #[test]
    fn a_file_is_left_out_as_the_engine_leaves_it_out() {
        for (patterns, path, expected) in [
            ("", "Dockerfile", false),
            ("Dockerfile", "Dockerfile", true),
            ("/Dockerfile\n", "Dockerfile", true),
            ("./Dockerfile", "Dockerfile", true),
            ("# Dockerfile", "Dockerfile", false),
            ("Dockerfile*", "Dockerfile.prod", true),
            ("*", "Dockerfile", true),
            ("*\n!Dockerfile", "Dockerfile", false),
            ("!Dockerfile\n*", "Dockerfile", true),
            ("docker", "docker/app/Dockerfile", true),
            ("*/Dockerfile", "docker/Dockerfile", true),
            ("*/Dockerfile", "Dockerfile", false),
            ("**/Dockerfile", "Dockerfile", true),
            ("**/Dockerfile", "a/b/Dockerfile", true),
            ("**", "a/b", true),
            ("D?ckerfile", "Dockerfile", true),
            ("[A-E]ockerfile", "Dockerfile", true),
            ("[^A-E]ockerfile", "Dockerfile", false),
            ("\\Dockerfile", "Dockerfile", true),
            ("dockerfile", "Dockerfile", false),
            ("Docker", "Dockerfile", false),
        ] {
            assert_eq!(excludes(patterns, path), expected, "{patterns:?} {path}");
        }
    }
}
