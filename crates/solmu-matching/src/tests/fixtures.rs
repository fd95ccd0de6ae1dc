//! Cases of others, where their folder is there.

use std::path::PathBuf;

use serde_json::Value;

use crate::snapshot::{eval_line, match_line};

fn lines(name: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/routing")
        .join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("not run: no fixtures in {}", path.display());
        return Vec::new();
    };
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_scenario_is_decided_as_expected() {
    let mut wrong = Vec::new();
    for line in lines("scenarios.jsonl") {
        let case: Value = serde_json::from_str(&line).unwrap();
        let found = serde_json::to_value(eval_line(&line).unwrap()).unwrap();
        if found["assignments"] != case["expect"] {
            wrong.push(format!(
                "{} {}: {} instead of {}",
                case["id"], case["what"], found["assignments"], case["expect"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_weight_placed_is_the_optimum_with_repair_and_near_it_without() {
    let (mut shares, mut wrong) = (Vec::new(), Vec::new());
    for line in lines("matching.jsonl") {
        let case: Value = serde_json::from_str(&line).unwrap();
        let optimum = case["optimum"].as_i64().unwrap();
        let matched = match_line(&line, true).unwrap();
        if matched.placed != optimum {
            wrong.push(format!("{}: {} of {optimum}", case["id"], matched.placed));
        }
        check_snapshot(&case, &matched.assignments);
        let greedy = match_line(&line, false).unwrap().placed;
        #[expect(clippy::cast_precision_loss, reason = "weights are small")]
        shares.push(greedy as f64 / optimum.max(1) as f64);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if !shares.is_empty() {
        #[expect(clippy::cast_precision_loss, reason = "a count is small")]
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let worst = shares.iter().copied().fold(1.0, f64::min);
        eprintln!("without repair: mean {mean:.4}, worst {worst:.4}");
        assert!(mean >= 0.995, "mean {mean}");
    }
}

/// Nobody has more than they can, or what they cannot do; nothing is with two.
fn check_snapshot(case: &Value, assignments: &[(usize, usize)]) {
    let mut room: Vec<i64> = case["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["cap"].as_i64().unwrap())
        .collect();
    let mut seen = std::collections::HashSet::new();
    for (ticket, agent) in assignments {
        assert!(seen.insert(ticket), "{}: with two", case["id"]);
        room[*agent] -= 1;
        let skills = case["agents"][*agent]["skills"].as_array().unwrap();
        let needs = case["tickets"][*ticket]["need"].as_array().unwrap();
        assert!(
            needs.iter().all(|need| skills.contains(need)),
            "{}",
            case["id"]
        );
    }
    assert!(room.iter().all(|left| *left >= 0), "{}", case["id"]);
}
