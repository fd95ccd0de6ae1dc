//! A short run of every target, the same in every run.

use crate::{
    chance::Chance,
    change::changed,
    pool::Pool,
    supervisor,
    targets::{self, Target},
};

/// Inputs of each target.
const INPUTS: usize = 60;
/// As in a worker: a deep recursion has to show here too.
const STACK: usize = 2 * 1024 * 1024;

/// Reads on a thread of its own, so that a panic comes with the input that caused it.
fn feed(target: &mut dyn Target, number: usize, input: &[u8]) -> u64 {
    let reading = std::panic::AssertUnwindSafe(|| target.read(input));
    std::panic::catch_unwind(reading).unwrap_or_else(|_| {
        let head = &input[..input.len().min(400)];
        panic!("input {number}: {}", head.escape_ascii());
    })
}

#[test]
fn every_target_reads_what_it_is_given() {
    let run = || {
        for mut target in targets::all().unwrap() {
            let (name, begun) = (target.name(), std::time::Instant::now());
            let mut pool = Pool::new(target.seeds(), 20_261_122);
            for (number, input) in pool.given().to_vec().iter().enumerate() {
                let way = feed(target.as_mut(), number, input);
                pool.learn(input, way);
            }
            for number in 0..INPUTS {
                let input = pool.next(target.as_ref());
                assert!(input.len() <= target.longest(), "{name}");
                let way = feed(target.as_mut(), number, &input);
                pool.learn(&input, way);
            }
            assert!(pool.ways() > 5, "{name} reads everything alike");
            eprintln!("{name}: {:?}", begun.elapsed());
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.unwrap().join().unwrap();
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let made = |seed| {
        let target = targets::all().unwrap().swap_remove(0);
        let mut pool = Pool::new(target.seeds(), seed);
        (0..50)
            .map(|_| pool.next(target.as_ref()))
            .collect::<Vec<_>>()
    };
    assert!(made(7) == made(7));
    assert!(made(7) != made(8));
}

#[test]
fn a_change_keeps_the_limit() {
    let mut chance = Chance::new(3);
    for length in [0, 1, 10, 500] {
        let input = vec![b'1'; length];
        for _ in 0..300 {
            let bytes = changed(
                &mut chance,
                &input,
                std::slice::from_ref(&input),
                &["word"],
                600,
            );
            assert!(bytes.len() <= 600);
        }
    }
}

#[test]
fn a_finding_is_a_file_and_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    supervisor::save(folder.path(), "mail", "panicked", b"bytes").unwrap();
    let names: Vec<String> = walkdir::WalkDir::new(folder.path().join("findings"))
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let split: Vec<_> = names
        .iter()
        .filter_map(|name| name.rsplit_once('.'))
        .collect();
    let [(name, "bin"), (of, "txt")] = split[..] else {
        panic!("{names:?}");
    };
    assert!(name == of && name.starts_with("mail-"), "{names:?}");
}
