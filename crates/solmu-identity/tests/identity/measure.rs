//! The resolver against labelled events: people of a village, and the traps that make them look like each other.
//!
//! The generator here is small and our own; a larger one with its scorer stands beside the repository on machines that
//! have it, and its events are taken from there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;
use solmu_identity::{Limits, record};

/// Pairs that were made and that should have been.
struct Score {
    precision: f64,
    recall: f64,
}

fn pairs(n: usize) -> f64 {
    let n = u32::try_from(n).unwrap();
    f64::from(n) * f64::from(n.saturating_sub(1)) / 2.0
}

fn count<'a, K: Ord>(of: impl Iterator<Item = K> + 'a) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for it in of {
        *counts.entry(it).or_default() += 1;
    }
    counts
}

fn score(found: &[String], truth: &[String]) -> Score {
    let all = |counts: Vec<usize>| counts.into_iter().map(pairs).sum::<f64>();
    let both = all(count(found.iter().zip(truth)).into_values().collect());
    let made = all(count(found.iter()).into_values().collect());
    let right = all(count(truth.iter()).into_values().collect());
    Score {
        precision: both / made.max(1.0),
        recall: both / right.max(1.0),
    }
}

/// The people that only their own, honest values would join: what a resolver that knew the labels reached.
fn bound(events: &[Value]) -> Vec<String> {
    const TRAPS: [&str; 7] = [
        "spoofed_form",
        "spoofed_mail",
        "kiosk",
        "junk_value",
        "switchboard",
        "role_mailbox",
        "recycled_number",
    ];
    let honest = events.iter().map(|event| {
        let mut event = event.clone();
        let trap = event["trap"].as_str().unwrap_or_default();
        let truth = event["truth"].as_str().unwrap().to_owned();
        if TRAPS.contains(&trap) {
            event["ids"] = Value::Array(Vec::new());
        }
        for id in event["ids"].as_array_mut().unwrap() {
            id["scope"] = Value::String(truth.clone());
            // An id that nobody else has and that everybody believes.
            let value = format!("{}{}", truth, normal(id));
            id["raw"] = Value::String(value);
            id["t"] = Value::String("psid".to_owned());
            id["a"] = Value::String("platform".to_owned());
        }
        event["name"] = Value::String(String::new());
        event.to_string()
    });
    let text: Vec<String> = honest.collect();
    let sightings = record::read(&text.join("\n")).unwrap();
    let answers = record::answers(&sightings, &Limits::default());
    answers.into_iter().map(|it| it.profile).collect()
}

fn normal(id: &Value) -> String {
    let kind = solmu_identity::Kind::from_name(id["t"].as_str().unwrap()).unwrap();
    let value = solmu_identity::normalise(
        kind,
        id["raw"].as_str().unwrap(),
        solmu_identity::Region::default(),
    )
    .unwrap();
    format!("{}:{}", value.kind.name(), value.matching)
}

fn sample(script: &Path, seed: u32) -> Option<String> {
    let out = Command::new("python3")
        .arg(script)
        .args(["1500", &seed.to_string()])
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8(out.stdout).unwrap())
}

#[test]
fn labelled_events_are_told_apart() {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/identity/gen.py");
    if !script.exists() {
        println!(
            "not run: there are no labelled events at {}",
            script.display()
        );
        return;
    }
    let mut precisions = Vec::new();
    for seed in 1..=5 {
        let Some(text) = sample(&script, seed) else {
            println!("not run: python3 is missing");
            return;
        };
        let events: Vec<Value> = text
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let truth: Vec<String> = events
            .iter()
            .map(|it| it["truth"].as_str().unwrap().to_owned())
            .collect();
        let sightings = record::read(&text).unwrap();
        let answers = record::answers(&sightings, &Limits::default());
        let profile: Vec<String> = answers.iter().map(|it| it.profile.clone()).collect();
        let found = score(&profile, &truth);
        let reachable = score(&bound(&events), &truth);
        println!(
            "seed {seed}: precision {:.4}, recall {:.4} (bound {:.4})",
            found.precision, found.recall, reachable.recall
        );
        assert!(
            found.recall >= reachable.recall,
            "seed {seed}: recall {}",
            found.recall
        );
        let mut mixed: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        for (contact, person) in profile.iter().zip(&truth) {
            mixed.entry(contact).or_default().insert(person);
        }
        let largest = mixed.values().map(BTreeSet::len).max();
        assert!(
            largest <= Some(3),
            "seed {seed}: {largest:?} people on one contact"
        );
        precisions.push(found.precision);
    }
    precisions.sort_by(f64::total_cmp);
    assert!(precisions[2] >= 0.95, "median precision {}", precisions[2]);
}
