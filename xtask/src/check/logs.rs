//! Log messages are constant lowercase sentences without a full stop, so that a line can be found, counted and alerted
//! on by its text; whatever varies stands in fields, where it can be filtered and redacted.

use std::ops::Range;

use anyhow::Result;

use super::Project;
use crate::source::{Source, is_word};

const MACROS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "tracing::event"];

/// Crates that talk to people on standard output.
const PRINTING: [&str; 4] = ["solmu", "solmu-cli", "tests", "xtask"];

/// Log calls and prints that break the rule.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for source in &project.sources {
        for name in MACROS {
            for call in calls(source, name) {
                if let Err(cause) = judge(source, call.clone()) {
                    problems.push(format!("{}: {cause}", source.place(call.start)));
                }
            }
        }
        problems.extend(prints(source));
    }
    Ok(problems)
}

/// `println!` in a library.
fn prints(source: &Source) -> Vec<String> {
    let in_program = source.path.components().any(|part| {
        ["bin", "build.rs", "examples"]
            .iter()
            .any(|name| part.as_os_str() == *name)
    });
    if PRINTING.contains(&source.krate().as_str()) || source.is_test() || in_program {
        return Vec::new();
    }
    let tests = source.tests_start();
    ["println", "print"]
        .into_iter()
        .flat_map(|name| calls(source, name))
        .filter(|call| call.start < tests)
        .map(|call| format!("{}: a library prints; log it", source.place(call.start)))
        .collect()
}

/// The arguments of each call of the macro `name`, without its brackets.
fn calls(source: &Source, name: &str) -> Vec<Range<usize>> {
    let code = source.code.as_bytes();
    source
        .code
        .match_indices(&format!("{name}!"))
        .filter(|(at, _)| *at == 0 || !is_word(code[at - 1]))
        .filter_map(|(at, matched)| {
            let open = at + matched.len();
            let is_call = code.get(open).is_some_and(|byte| b"([{".contains(byte));
            is_call.then(|| open + 1..closing(code, open))
        })
        .collect()
}

/// Where the bracket at `open` is closed.
fn closing(code: &[u8], open: usize) -> usize {
    let mut depth = 0_u32;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// What is wrong with one call.
fn judge(source: &Source, call: Range<usize>) -> Result<(), String> {
    let arguments = arguments(source, call);
    let position = arguments.iter().position(|argument| {
        let code = source.code[argument.clone()].trim_start_matches("br#");
        code.starts_with('"') && code.ends_with('"') && code.matches('"').count() == 2
    });
    let Some(position) = position else {
        return Err("no constant message".to_owned());
    };
    if position + 1 < arguments.len() {
        return Err("values stand behind the message; make them fields before it".to_owned());
    }
    let message = source.text[arguments[position].clone()].trim_matches('"');
    judge_message(message)
}

fn judge_message(message: &str) -> Result<(), String> {
    let first_word = message.split_whitespace().next().unwrap_or_default();
    let capitals = first_word
        .chars()
        .filter(|char| char.is_uppercase())
        .count();
    let cause = if message.trim().is_empty() {
        "an empty message"
    } else if message.contains(['{', '}']) {
        "the message is not constant; make its values fields"
    } else if message.ends_with(['.', '!']) {
        "the message ends with a full stop"
    } else if first_word.starts_with(char::is_uppercase) && capitals < 2 {
        // NATS, PostgreSQL and JetStream may open a sentence.
        "the message does not start in lowercase"
    } else {
        return Ok(());
    };
    Err(format!("{cause}: '{message}'"))
}

/// The arguments of a call, trimmed, without an empty last one.
fn arguments(source: &Source, call: Range<usize>) -> Vec<Range<usize>> {
    let code = source.code.as_bytes();
    let mut depth = 0_i32;
    let mut start = call.start;
    let mut arguments = Vec::new();
    for at in call.clone() {
        match code[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                arguments.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    arguments.push(start..call.end);
    arguments
        .into_iter()
        .map(|range| trimmed(&source.code, range))
        .filter(|range| !range.is_empty())
        .collect()
}

fn trimmed(code: &str, range: Range<usize>) -> Range<usize> {
    let text = &code[range.clone()];
    let start = range.start + text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The causes of all calls in `text`.
    fn judged(text: &str) -> Vec<Result<(), String>> {
        let source = Source::new(PathBuf::from("crates/solmu-bus/src/a.rs"), text.to_owned());
        MACROS
            .iter()
            .flat_map(|name| calls(&source, name))
            .map(|call| judge(&source, call))
            .collect()
    }

    #[test]
    fn good_calls_pass() {
        for text in [
            r#"tracing::info!("drained")"#,
            r#"warn!(lease = group.name, error = &e as &dyn Error, "renewing takes too long");"#,
            "error!(\n    %id,\n    a = f(x, \"y\"),\n    \"NATS went away\",\n)",
            r#"tracing::event!(Level::INFO, a = 1, "it happened")"#,
            r#"debug!(target: "solmu", { a = 1 }, "hello, world")"#,
        ] {
            assert_eq!(judged(text), [Ok(())], "{text}");
        }
    }

    #[test]
    fn bad_calls_are_found() {
        for (text, cause) in [
            (r#"info!("Drained")"#, "lowercase"),
            (r#"info!("drained.")"#, "full stop"),
            (r#"info!("drained {x}")"#, "not constant"),
            (r#"info!("drained", x)"#, "behind the message"),
            ("info!(x)", "no constant message"),
            (r#"info!(a = "b")"#, "no constant message"),
            (r#"info!(" ")"#, "empty"),
        ] {
            let judged = judged(text);
            assert_eq!(judged.len(), 1, "{text}");
            let found = judged[0].clone().unwrap_err();
            assert!(found.contains(cause), "{text}: {found}");
        }
    }

    #[test]
    fn other_words_are_no_calls() {
        assert_eq!(
            judged("my_info!(x); // info!(x)\nlet a = \"info!(x)\"; event!(x)"),
            []
        );
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "fn a() { println!(); }\n#[cfg(test)]\nmod tests {\nfn b() { println!(); }\n}\n";
        let of = |path: &str| prints(&Source::new(PathBuf::from(path), text.to_owned())).len();
        assert_eq!(of("crates/solmu-bus/src/a.rs"), 1);
        assert_eq!(of("crates/solmu-bus/src/bin/a.rs"), 0);
        assert_eq!(of("crates/solmu-bus/build.rs"), 0);
        assert_eq!(of("crates/solmu-cli/src/a.rs"), 0);
        assert_eq!(of("crates/solmu-bus/tests/a.rs"), 0);
    }
}
