//! How long files and functions are, and the limits: what fits on a few screens is read before it is changed.
//!
//! A file counts up to its inline tests, every line; a function counts the lines of its body that hold code, as clippy
//! counts them. The figures are of production code; the limits hold for tests too.

use std::{collections::BTreeMap, ops::Range};

use anyhow::Result;

use super::Project;
use crate::source::{Source, is_word};

const FILE_MAX: usize = 500;
const FUNCTION_MAX: usize = 80;
const CRATE_MAX: usize = 10_000;
/// Crates that are to be split, and how long they may be until then: a figure here only ever goes down.
const TO_BE_SPLIT: [(&str, usize); 0] = [];

/// What STYLE asks of the whole: median and 90th percentile.
const FILE_AIMS: (usize, usize) = (150, 400);
const FUNCTION_AIMS: (usize, usize) = (10, 40);

/// Files and functions that are too long; prints the figures.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    let mut lengths = Vec::new();
    let mut crates: BTreeMap<String, usize> = BTreeMap::new();
    for source in &project.sources {
        let tests = source.tests_start();
        let lines = source.text[..tests].lines().count();
        if lines > FILE_MAX {
            problems.push(format!(
                "{}: {lines} lines before its tests (at most {FILE_MAX})",
                source.path.display()
            ));
        }
        let is_test = source.is_test();
        if !is_test {
            files.push(lines);
            *crates.entry(source.krate()).or_default() += lines;
        }
        for function in functions(source) {
            let length = code_lines(source, function.clone());
            if length > FUNCTION_MAX {
                problems.push(format!(
                    "{}: a function of {length} lines (at most {FUNCTION_MAX})",
                    source.place(function.start)
                ));
            }
            if !is_test && function.start < tests {
                lengths.push(length);
            }
        }
    }
    for (name, lines) in crates {
        let max = TO_BE_SPLIT
            .iter()
            .find_map(|(to_be_split, max)| (*to_be_split == name).then_some(*max))
            .unwrap_or(CRATE_MAX);
        if lines > max {
            problems.push(format!(
                "{name}: a crate of {lines} lines without its tests (at most {max})"
            ));
        }
    }
    print_figures("files", files, FILE_AIMS);
    print_figures("functions", lengths, FUNCTION_AIMS);
    Ok(problems)
}

fn print_figures(what: &str, mut lengths: Vec<usize>, (median_aim, p90_aim): (usize, usize)) {
    lengths.sort_unstable();
    let at = |percent: usize| {
        let index = lengths.len().saturating_sub(1) * percent / 100;
        lengths.get(index).copied().unwrap_or_default()
    };
    let (median, p90) = (at(50), at(90));
    let verdict = if median > median_aim || p90 > p90_aim {
        "; longer than aimed at"
    } else {
        ""
    };
    println!(
        "      {:>5} {what}: median {median} lines (aim {median_aim}), p90 {p90} (aim {p90_aim}), longest {}{verdict}",
        lengths.len(),
        at(100)
    );
}

/// The body of every function, without its braces.
fn functions(source: &Source) -> Vec<Range<usize>> {
    let code = source.code.as_bytes();
    source
        .code
        .match_indices("fn ")
        .filter(|(at, _)| *at == 0 || !is_word(code[at - 1]))
        .filter(|(at, _)| code.get(at + 3).is_some_and(|byte| is_word(*byte)))
        .filter_map(|(at, _)| body(code, at))
        .collect()
}

/// The body of the function that is declared at `at`; a declaration without one has none.
fn body(code: &[u8], at: usize) -> Option<Range<usize>> {
    let mut brackets = 0_i32;
    let open = (at..code.len()).find(|at| {
        match code[*at] {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            _ => {}
        }
        brackets == 0 && matches!(code[*at], b'{' | b';')
    })?;
    if code[open] == b';' {
        return None;
    }
    let mut depth = 0_i32;
    let close = (open..code.len()).find(|at| {
        match code[*at] {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    Some(open + 1..close)
}

/// Lines that hold more than comments.
fn code_lines(source: &Source, range: Range<usize>) -> usize {
    source.code[range]
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn lengths(text: &str) -> Vec<usize> {
        let source = Source::new(PathBuf::from("a.rs"), text.to_owned());
        functions(&source)
            .into_iter()
            .map(|function| code_lines(&source, function))
            .collect()
    }

    #[test]
    fn bodies_are_counted_without_comments() {
        assert_eq!(
            lengths("fn a() {\n    // why\n\n    b();\n    \"{\";\n}\n"),
            [2]
        );
        assert_eq!(
            lengths("trait A {\n    fn a(&self) -> [u8; 4];\n    fn b() { c() }\n}\n"),
            [1]
        );
        assert_eq!(
            lengths("type A = fn (u8);\nlet fn_ = 1; // fn a() {}\n"),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn functions_inside_functions_count_too() {
        assert_eq!(
            lengths("fn a() {\n    fn b() {\n        c();\n    }\n    b();\n}\n"),
            [4, 1]
        );
    }
}
