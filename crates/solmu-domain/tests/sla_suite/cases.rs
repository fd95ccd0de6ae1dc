//! The SLA engine against the shared tables of cases, to the second.

use std::{fs, path::PathBuf};

use serde_json::Value;
use solmu_domain::sla::eval::eval_case;

/// The folder of the tables; they are not part of the project.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/sla")
}

/// What `expect` says and `got` does not. `expect` may leave fields out.
fn differences(expect: &Value, got: &Value, path: &str, found: &mut Vec<String>) {
    match (expect, got) {
        (Value::Object(expect), Value::Object(got)) => {
            for (key, value) in expect {
                differences(
                    value,
                    got.get(key).unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                    found,
                );
            }
        }
        (Value::Array(expect), Value::Array(got)) if expect.len() == got.len() => {
            for (index, (expect, got)) in expect.iter().zip(got).enumerate() {
                differences(expect, got, &format!("{path}[{index}]"), found);
            }
        }
        _ if expect == got => {}
        _ => found.push(format!("{path}: expected {expect}, got {got}")),
    }
}

/// Runs a table; answers the number of cases and what failed.
fn run(table: &str) -> Option<(usize, Vec<String>)> {
    let path = folder().join(table);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("sla cases of {table} did not run: the shared fixtures are not here");
        return None;
    };
    let mut failures = Vec::new();
    let mut count = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        count += 1;
        let case: Value = serde_json::from_str(line).expect("a case is a JSON object");
        let id = case["id"].clone();
        let expect = case["expect"].clone();
        match eval_case(case) {
            Ok(got) => {
                assert_eq!(got["id"], id);
                let mut found = Vec::new();
                differences(&expect, &got, "", &mut found);
                failures.extend((!found.is_empty()).then(|| format!("{id} {}", found.join("; "))));
            }
            Err(error) => failures.push(format!("{id} {error:?}")),
        }
    }
    Some((count, failures))
}

fn assert_table(table: &str, at_least: usize) {
    if let Some((count, failures)) = run(table) {
        eprintln!("{table}: {} of {count} cases met", count - failures.len());
        assert!(
            failures.is_empty(),
            "{} of {count} cases differ:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(count >= at_least, "{table} has only {count} cases");
    }
}

#[test]
fn public_and_own_cases_are_met_to_the_second() {
    assert_table("cases.jsonl", 230);
}

#[test]
fn random_cases_are_met_to_the_second() {
    assert_table("cases_random.jsonl", 600);
}
