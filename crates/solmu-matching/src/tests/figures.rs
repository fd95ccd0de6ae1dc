//! What a simulation says at its end is right also where work is left over or goes on after a shift.

use crate::simulate::{Report, read_plan, run};

fn simulated(text: &str) -> Report {
    run(&read_plan(text.as_bytes()).unwrap(), |_| {})
}

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 1e-6
}

#[test]
fn what_nobody_took_is_not_in_time() {
    let report = simulated(
        r#"{"type":"agent","id":"A","teams":["s"],"capacity":10,"shifts":[[0,60]]}
{"type":"ticket","id":"1","at":0,"handle":100,"team":"s","channel":"mail","within":60,"priority":"high"}
{"type":"ticket","id":"2","at":1,"handle":100,"team":"s","channel":"mail","within":60}
{"type":"ticket","id":"3","at":2,"handle":100,"team":"s","channel":"mail"}"#,
    );
    assert_eq!((report.all.count, report.all.left, report.left), (1, 2, 2));
    assert_eq!(report.all.within, Some(0.5), "one of two with a limit");
    let normal = &report.by_priority["normal"];
    assert_eq!((normal.count, normal.left), (0, 2));
    assert_eq!(normal.within, Some(0.0));
    assert_eq!(report.by_priority["high"].within, Some(1.0));
}

#[test]
fn occupancy_is_a_share_and_work_after_the_shift_is_told_apart() {
    let one = r#"{"type":"agent","id":"A","teams":["s"],"capacity":10}
{"type":"ticket","id":"1","at":0,"handle":0,"team":"s","channel":"mail"}"#;
    let report = simulated(one);
    assert!(
        near(report.occupancy, 0.0) && near(report.fairness, 1.0),
        "{report:?}"
    );
    let report = simulated(&one.replace(r#""handle":0"#, r#""handle":50"#));
    assert!(near(report.occupancy, 1.0), "{report:?}");
    let late = r#"{"type":"agent","id":"A","teams":["s"],"capacity":10,"shifts":[[0,100]]}
{"type":"ticket","id":"1","at":50,"handle":100,"team":"s","channel":"mail"}"#;
    let report = simulated(late);
    assert!(near(report.occupancy, 0.5), "{report:?}");
    assert!(near(report.agents[0].overtime, 50.0), "{report:?}");
    // What began before the end of the warm-up counts from there on.
    let warm = format!("{}\n{late}", r#"{"type":"policy","warm_up":75}"#);
    let report = simulated(&warm);
    assert!(near(report.occupancy, 1.0), "{report:?}");
    assert_eq!((report.all.count, report.agents[0].tickets), (0, 0));
}

#[test]
fn shifts_that_overlap_are_one() {
    let report = simulated(
        r#"{"type":"agent","id":"A","teams":["s"],"capacity":10,"shifts":[[1000,2000],[0,7200],[7200,8000]]}
{"type":"ticket","id":"1","at":3000,"handle":800,"team":"s","channel":"mail"}
{"type":"ticket","id":"2","at":7200,"handle":10,"team":"s","channel":"mail"}"#,
    );
    assert_eq!((report.left, report.all.count), (0, 2));
    assert!(
        near(report.all.max, 0.0) && near(report.agents[0].occupancy, 810.0 / 8_000.0),
        "{report:?}"
    );
}

#[test]
fn no_policy_is_the_usual_one() {
    let agent = r#"{"type":"agent","id":"A","teams":["s"]}"#;
    let tickets: Vec<String> = (0..12)
        .map(|id| {
            format!(
                r#"{{"type":"ticket","id":"{id}","at":0,"handle":100,"team":"s","channel":"mail"}}"#
            )
        })
        .collect();
    let day = format!("{agent}\n{}", tickets.join("\n"));
    let without = simulated(&day);
    assert_eq!(
        without,
        simulated(&format!("{}\n{day}", r#"{"type":"policy"}"#))
    );
    // A capacity of 100 holds ten of weight 10.
    assert!(
        near(without.all.p50, 0.0) && near(without.all.max, 100.0),
        "{without:?}"
    );
}
