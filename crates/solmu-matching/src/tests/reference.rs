//! Random snapshots, decided here and by the reference of their format: names that stand there twice, work that weighs
//! nothing, level 0, and all that the fixtures have.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};
use solmu_domain::rng::{Rng as _, SeededRng};

use crate::snapshot::eval_line;

/// Snapshots of one run.
const CASES: usize = 1_500;
/// Reads snapshots and prints what the reference decides on each, a line a line.
const ASK: &str = "
import json, sys
sys.path.insert(0, sys.argv[1])
import router_ref
for line in sys.stdin:
    print(json.dumps(router_ref.run(json.loads(line))))
";
const CHANNELS: [&str; 5] = ["phone", "chat", "email", "social", "form"];
const TEAMS: [&str; 3] = ["support", "billing", "night"];
const SKILLS: [&str; 4] = ["fi", "sv", "billing", "tech"];
const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "low"];

struct Dice(SeededRng);

impl Dice {
    fn below(&self, count: i64) -> i64 {
        let count = u64::try_from(count).unwrap();
        i64::try_from(self.0.next_u64() % count).unwrap()
    }

    /// True in so many of a hundred cases.
    fn odds(&self, hundredths: i64) -> bool {
        self.below(100) < hundredths
    }

    fn one<T: Copy>(&self, of: &[T]) -> T {
        let index = self.below(i64::try_from(of.len()).unwrap());
        of[usize::try_from(index).unwrap()]
    }

    /// Some of them, each once.
    fn some<'a>(&self, of: &[&'a str], hundredths: i64) -> Vec<&'a str> {
        let some = of.iter().copied();
        some.filter(|_| self.odds(hundredths)).collect()
    }

    fn numbers(&self, of: &[&str], odds: i64, below: i64) -> Value {
        let some = self.some(of, odds).into_iter();
        let numbers = some.map(|name| (name.to_owned(), json!(self.below(below))));
        Value::Object(numbers.collect::<Map<_, _>>())
    }

    fn place(&self) -> Value {
        json!([60 + self.below(3), 22 + self.below(5)])
    }

    fn policy(&self) -> Value {
        let mut policy = json!({
            "weights": {"phone": 100, "chat": self.one(&[20, 34, 50]), "email": self.one(&[0, 5, 10, 25]), "social": 20},
            "exclusive": if self.odds(80) { vec!["phone"] } else { Vec::new() },
            "live": ["phone", "chat"],
            "age_step": self.one(&[120, 900, 3_600]),
            "risk_lead": self.one(&[0, 900]),
            "strategy": self.one(&["balanced", "round_robin", "spare", "fewest_skills"]),
            "sticky_hold": self.one(&[0, 60, 600]),
        });
        if self.odds(50) {
            let (from, to) = (self.one(&TEAMS), self.some(&TEAMS, 50));
            policy["overflow"] = json!({from: {"after": self.one(&[0, 60, 1_800]), "to": to}});
        }
        policy
    }

    fn agent(&self) -> Value {
        let mut agent = json!({
            // Few names, so that some are there twice.
            "id": self.one(&["a", "b", "c", "d", "ä", "A"]),
            "teams": self.some(&TEAMS, 60),
            "skills": self.numbers(&SKILLS, 40, 6),
            "items": self.numbers(&CHANNELS, 25, 4),
            "max": self.numbers(&CHANNELS, 40, 6),
            "capacity": self.one(&[10, 50, 100, 150]),
            "last_assigned": self.below(900),
            "open": self.odds(90),
        });
        match self.below(10) {
            0 => agent["presence"] = json!("away"),
            1 => agent["presence"] = json!({"chat": "online", "email": "busy"}),
            _ => {}
        }
        if self.odds(50) {
            agent["geo"] = self.place();
        }
        agent
    }

    fn wish(&self) -> Value {
        let mut wish = json!({"n": self.one(&SKILLS), "lvl": self.below(5)});
        match self.below(4) {
            0 => wish["relax"] = json!(self.one(&[0, 60, 600])),
            1 => wish["kind"] = json!("preferred"),
            2 => wish["relax"] = Value::Null,
            _ => {}
        }
        wish
    }

    fn ticket(&self, now: i64) -> Value {
        let wishes = (0..self.below(3)).map(|_| self.wish());
        let mut ticket = json!({
            "id": self.one(&["t", "u", "v", "w", "x", "y", "z", "Ö"]),
            "channel": self.one(&CHANNELS),
            "team": self.one(&TEAMS),
            "priority": self.one(&PRIORITIES),
            "arrived": now - self.one(&[0, 10, 60, 61, 300, 1_800]),
            "vip": self.odds(20),
            "skills": wishes.collect::<Vec<_>>(),
        });
        if self.odds(30) {
            ticket["due"] = json!(now + self.below(7_000) - 600);
        }
        if self.odds(40) {
            ticket["sticky"] = json!(self.one(&["a", "b", "c", "nobody"]));
        }
        if self.odds(15) {
            ticket["excluded"] = json!([self.one(&["a", "b", "ä", "nobody"])]);
        }
        if self.odds(30) {
            ticket["geo"] = self.place();
        }
        ticket
    }

    fn case(&self, number: usize) -> Value {
        let now = 5_000 + self.below(5_000);
        let agents = (0..=self.below(8)).map(|_| self.agent());
        let agents: Vec<Value> = agents.collect();
        let queue = (0..=self.below(12)).map(|_| self.ticket(now));
        json!({"id": number.to_string(), "now": now, "policy": self.policy(), "agents": agents,
            "queue": queue.collect::<Vec<_>>()})
    }
}

/// What the reference says; absent, with the reason printed, where it cannot be asked.
fn decided(folder: &Path, cases: &str) -> Option<Vec<Value>> {
    let mut python = Command::new("python3")
        .args(["-c", ASK])
        .arg(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .inspect_err(|error| eprintln!("not run: there is no python3 ({error})"))
        .ok()?;
    let mut input = python.stdin.take().unwrap();
    let cases = cases.to_owned();
    let writing = std::thread::spawn(move || input.write_all(cases.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "the reference failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(answers.collect())
}

#[test]
fn random_snapshots_are_decided_as_by_the_reference() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/routing");
    if !folder.join("router_ref.py").exists() {
        eprintln!("not run: no reference in {}", folder.display());
        return;
    }
    let dice = Dice(SeededRng::new(20_261_123));
    let cases: Vec<String> = (0..CASES)
        .map(|number| dice.case(number).to_string())
        .collect();
    let Some(wanted) = decided(&folder, &(cases.join("\n") + "\n")) else {
        return;
    };
    assert_eq!(wanted.len(), CASES);
    let differ = cases.iter().zip(wanted).filter_map(|(case, wanted)| {
        let found = serde_json::to_value(eval_line(case).unwrap()).unwrap();
        (found["assignments"] != wanted).then(|| {
            let found = &found["assignments"];
            format!("{case}\n  the reference: {wanted}\n  here:          {found}")
        })
    });
    let differ: Vec<String> = differ.collect();
    let first: Vec<&str> = differ.iter().take(3).map(String::as_str).collect();
    assert!(
        differ.is_empty(),
        "{} of {CASES} differ:\n{}",
        differ.len(),
        first.join("\n")
    );
}
