//! The metrics that the code registers: calls of `counter`, `gauge` and `histogram`, and descriptors of collectors.

use super::{Catalogue, Metric};
use crate::source::Source;

/// What the registry's methods are called.
const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];

/// Every metric of the sources, and what cannot be read off them.
pub(super) fn metrics(sources: &[Source]) -> (Catalogue, Vec<String>) {
    let mut found = Catalogue::new();
    let mut problems = Vec::new();
    for source in sources {
        let krate = source.krate();
        let client = ["solmu-cli", "solmu-bench", "solmu-deskcli"].contains(&krate.as_str());
        if source.is_test() || !source.path.starts_with("crates") || client {
            continue;
        }
        let text = &source.text[..source.tests_start().min(source.text.len())];
        for call in calls(text) {
            let Some((name, metric)) = metric(text, &call, &source.krate()) else {
                problems.push(format!(
                    "{}: the labels of a metric are no list in its file: {}",
                    source.path.display(),
                    call.arguments.first().map_or("", String::as_str)
                ));
                continue;
            };
            found.entry(name).or_insert(metric);
        }
    }
    (found, problems)
}

/// A call with a name of a metric as its first text.
struct Call {
    kind: &'static str,
    /// Where it begins.
    at: usize,
    arguments: Vec<String>,
}

fn calls(text: &str) -> Vec<Call> {
    let mut found = Vec::new();
    for kind in KINDS {
        let mark = format!("{kind}(");
        for (at, _) in text.match_indices(&mark) {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' {
                continue;
            }
            let arguments = arguments(&text[at + mark.len()..]);
            let first = arguments.iter().position(|it| is_name(it));
            // `gauge(&mut encoder, "name", help, ...)` of a collector has its name second.
            if let Some(first @ (0 | 1)) = first {
                let mut arguments = arguments;
                arguments.drain(..first);
                found.push(Call {
                    kind,
                    at,
                    arguments,
                });
            }
        }
    }
    for (at, mark) in text.match_indices("encode_descriptor(") {
        let arguments = arguments(&text[at + mark.len()..]);
        if arguments.first().is_some_and(|it| is_name(it)) {
            let kind = if arguments.iter().any(|it| it.contains("Counter")) {
                "counter"
            } else {
                "gauge"
            };
            found.push(Call {
                kind,
                at,
                arguments,
            });
        }
    }
    found
}

fn is_name(argument: &str) -> bool {
    let Some(name) = unquoted(argument) else {
        return false;
    };
    name.contains('_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn unquoted(argument: &str) -> Option<String> {
    let inner = argument.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\""))
}

/// The arguments of a call whose bracket has just been opened.
fn arguments(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for letter in text.chars() {
        let last = found.len() - 1;
        if quoted {
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            found[last].push(letter);
            continue;
        }
        match letter {
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found[last].push(letter);
    }
    found
        .into_iter()
        .map(|argument| argument.trim().to_owned())
        .filter(|argument| !argument.is_empty())
        .collect()
}

fn metric(text: &str, call: &Call, krate: &str) -> Option<(String, Metric)> {
    let name = unquoted(call.arguments.first()?)?;
    let meaning = call
        .arguments
        .get(1)
        .and_then(|it| resolved(&text[..call.at], it))?;
    let rest = call.arguments.get(2..).unwrap_or_default();
    let suffix_of = |unit: &str| match unit {
        "seconds" => "_seconds",
        "bytes" => "_bytes",
        "ratio" => "_ratio",
        _ => "",
    };
    let mut name = name;
    let unit = rest
        .iter()
        .find_map(|it| unit(it))
        .or_else(|| unit_of_name(&name))
        .unwrap_or("1");
    let described = rest
        .iter()
        .any(|it| it.contains("Some(&Unit::") || it == "None");
    if described {
        // What the encoder adds to a collector's name.
        name += suffix_of(unit);
        if call.kind == "counter" {
            name += "_total";
        }
    }
    let labels = if described {
        Vec::new()
    } else {
        labels(text, rest)?
    };
    let metric = Metric {
        kind: call.kind.to_owned(),
        unit: unit.to_owned(),
        labels,
        meaning: meaning.trim_end_matches('.').to_owned(),
        source: krate.to_owned(),
    };
    Some((name, metric))
}

/// A text, or the text that a name was bound to just before.
fn resolved(before: &str, argument: &str) -> Option<String> {
    unquoted(argument).or_else(|| {
        let bound = before.rsplit_once(&format!("let {argument} = "))?.1;
        unquoted(bound.split_once(';')?.0)
    })
}

fn unit(argument: &str) -> Option<&'static str> {
    [
        ("Seconds", "seconds"),
        ("Bytes", "bytes"),
        ("Ratio", "ratio"),
        ("Count", "1"),
    ]
    .into_iter()
    .find(|(variant, _)| {
        argument.ends_with(&format!("Unit::{variant}"))
            || argument.ends_with(&format!("Unit::{variant})"))
    })
    .map(|(_, name)| name)
}

fn unit_of_name(name: &str) -> Option<&'static str> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    [
        ("_seconds", "seconds"),
        ("_bytes", "bytes"),
        ("_ratio", "ratio"),
    ]
    .into_iter()
    .find(|(suffix, _)| base.ends_with(suffix))
    .map(|(_, unit)| unit)
}

/// The labels: a list in the call, a list bound to a name in the file, or one label for a helper that makes a list of it.
fn labels(text: &str, rest: &[String]) -> Option<Vec<String>> {
    let list = |it: &str| -> Option<Vec<String>> {
        let inner = it.trim().strip_prefix('[')?.strip_suffix(']')?;
        inner
            .split(',')
            .map(str::trim)
            .filter(|label| !label.is_empty())
            .map(unquoted)
            .collect()
    };
    for argument in rest {
        if let Some(labels) = list(argument) {
            return Some(labels);
        }
        if let Some(label) = unquoted(argument) {
            return Some(vec![label]);
        }
        for bound in [format!("let {argument} = ["), format!("const {argument}: ")] {
            if let Some((_, after)) = text.split_once(&bound) {
                let start = after.find('[').filter(|_| bound.starts_with("const"));
                let body = match start {
                    Some(_) => after.split_once("= [")?.1,
                    None => after,
                };
                return list(&format!("[{}]", body.split_once(']')?.0));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn of(text: &str) -> Catalogue {
        let source = Source::new(
            PathBuf::from("crates/solmu-bus/src/metrics.rs"),
            text.to_owned(),
        );
        let (found, problems) = metrics(&[source]);
        assert_eq!(problems, Vec::<String>::new());
        found
    }

    #[test]
    fn calls_in_every_form_are_read() {
        let found = of(r#"
            let owner = ["owner"];
            let count = Unit::Count;
            metrics.counter("solmu_a_total", "things, by \"what\"", Unit::Count, ["x", "y"]);
            metrics.gauge("solmu_b_seconds", "age", Unit::Seconds, owner);
            metrics.histogram("solmu_c_seconds", "time", Unit::Seconds, [], CALL_SECONDS);
            let gauge = |name, help, unit, label| metrics.gauge(name, help, unit, [label]);
            gauge("solmu_d_bytes", "size", Unit::Bytes, "stream");
            metrics.gauge("solmu_e", "open", count, []);
            let help = "Memory.";
            gauge(&mut encoder, "process_memory", help, Some(&Unit::Bytes), bytes)?;
            let help = "Files.";
            gauge(&mut encoder, "process_files", help, None, files)?;
            encoder.encode_descriptor("process_cpu", "Time.", Some(&Unit::Seconds), MetricType::Counter)?;
        "#);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "process_cpu_seconds_total",
                "process_files",
                "process_memory_bytes",
                "solmu_a_total",
                "solmu_b_seconds",
                "solmu_c_seconds",
                "solmu_d_bytes",
                "solmu_e"
            ]
        );
        assert_eq!(found["solmu_a_total"].labels, ["x", "y"]);
        assert_eq!(found["solmu_a_total"].meaning, "things, by \"what\"");
        assert_eq!(found["solmu_b_seconds"].labels, ["owner"]);
        assert_eq!(found["solmu_d_bytes"].labels, ["stream"]);
        assert_eq!(found["process_memory_bytes"].meaning, "Memory");
        assert_eq!(found["process_files"].meaning, "Files");
        assert_eq!(
            (
                found["solmu_e"].unit.as_str(),
                found["solmu_c_seconds"].kind.as_str()
            ),
            ("1", "histogram")
        );
    }
}
