//! The rules, one case each. An event is `[id, seconds, name, evidence...]`, evidence is `kind:value:assurance[:scope]`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use solmu_identity::{Limits, Sighting, record, resolve};

pub(crate) fn sighting(event: &[Value]) -> Sighting {
    let text = |index: usize| event[index].as_str().unwrap().to_owned();
    let ids: Vec<Value> = event[3..]
        .iter()
        .map(|it| it.as_str().unwrap())
        .filter(|it| !it.is_empty())
        .map(|it| {
            let parts: Vec<&str> = it.split(':').collect();
            let scope = parts.get(3).copied().unwrap_or_default();
            serde_json::json!({"t": parts[0], "raw": parts[1], "a": parts[2], "scope": scope})
        })
        .collect();
    let line = serde_json::json!({"id": text(0), "at": event[1], "name": text(2), "ids": ids});
    record::read(&line.to_string()).unwrap().remove(0)
}

/// Groups as sets of ids.
pub(crate) fn groups(events: &[Sighting], of: &[usize]) -> BTreeSet<String> {
    let mut groups: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for (event, group) in events.iter().zip(of) {
        groups.entry(*group).or_default().insert(&event.id);
    }
    groups
        .into_values()
        .map(|ids| ids.into_iter().collect())
        .collect()
}

#[test]
fn every_rule_has_its_case() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["case"].as_str().unwrap();
        let rows = case["events"].as_array().unwrap();
        let events: Vec<Sighting> = rows
            .iter()
            .map(|it| sighting(it.as_array().unwrap()))
            .collect();
        let resolution = resolve(&events, &Limits::default());
        for (graph, of) in [
            ("profile", &resolution.profile),
            ("access", &resolution.access),
        ] {
            let wanted = case[graph].as_array().unwrap().iter();
            let wanted: BTreeSet<String> =
                wanted.map(|it| it.as_str().unwrap().to_owned()).collect();
            let found = groups(&events, of);
            if found != wanted {
                wrong.push(format!("{name}: {graph} {found:?}, not {wanted:?}"));
            }
        }
        let told: Vec<String> = resolution
            .suggestions
            .iter()
            .map(|it| {
                let mut pair = [events[it.a].id.as_str(), events[it.b].id.as_str()];
                pair.sort_unstable();
                format!("{} {} {}", pair[0], pair[1], it.reason.code())
            })
            .collect();
        if let Some(wanted) = case["suggestions"].as_array() {
            let wanted: BTreeSet<&str> = wanted.iter().map(|it| it.as_str().unwrap()).collect();
            let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
            if told != wanted {
                wrong.push(format!("{name}: suggestions {told:?}, not {wanted:?}"));
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 15);
}

#[test]
fn a_person_has_only_so_many_values() {
    let mut events = Vec::new();
    for n in 0..60 {
        let row = serde_json::json!([
            format!("e{n:02}"),
            n,
            "Aino Virtanen",
            format!("cookie:c{n}:weak"),
            format!("cookie:c{}:weak", n + 1),
        ]);
        events.push(sighting(row.as_array().unwrap()));
    }
    let limits = Limits {
        values_per_person: 10,
        ..Limits::default()
    };
    let resolution = resolve(&events, &limits);
    let mut largest: BTreeMap<usize, usize> = BTreeMap::new();
    for group in &resolution.profile {
        *largest.entry(*group).or_default() += 1;
    }
    // Nine events in a row have ten cookies.
    assert_eq!(largest.values().max(), Some(&9));
    assert!(
        resolution
            .suggestions
            .iter()
            .any(|it| it.reason.code() == "too_large")
    );
}

#[test]
fn lines_that_are_no_events_are_named() {
    for (text, wanted) in [
        ("{}\n", "line 1 is no event"),
        (
            "\n{\"id\":\"a\",\"ids\":[{\"t\":\"fax\",\"raw\":\"1\",\"a\":\"weak\"}]}",
            "line 2: there is no 'fax'",
        ),
        (
            "{\"id\":\"a\",\"ids\":[{\"t\":\"x\",\"raw\":\"1\",\"a\":\"sure\"}]}",
            "line 1: there is no 'sure'",
        ),
    ] {
        assert_eq!(record::read(text).unwrap_err().to_string(), wanted);
    }
}
